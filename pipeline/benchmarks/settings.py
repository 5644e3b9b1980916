"""The settings to measure, and what they need to run without a data set and without internet access."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from ruamel.yaml import YAML

from gcl.config import Params, TrainConfig
from gcl.images.prepared import Prepared
from gcl.networks.encoders import encoder_kind
from gcl.networks.model_folder import save_weights
from pipeline.console import console
from pipeline.params import parse_params
from pipeline.presets.apply import PUBLISHED
from pipeline.stages.prepare import prepare


def published(params: Params) -> Params:
    """``params`` in the published setting, as `gcl preset horse2zebra` writes it, but with drawn scenes."""
    sections = params.model_dump()
    for name, values in YAML(typ="safe").load(PUBLISHED).items():
        sections[name] |= values
    sections["data"]["source"], sections["method"] = "scenes", "gcl"
    return parse_params(sections, PUBLISHED)


def on_one_device(config: TrainConfig) -> TrainConfig:
    """``config`` for one process, whatever it requests."""
    return config.model_copy(update={"devices": 1, "num_nodes": 1, "strategy": "auto"})


@contextmanager
def offline(params: Params) -> Iterator[Params]:
    """``params`` with random weights instead of downloaded ones: they take the same time."""
    untrained = encoder_kind(params.encoder.name).untrained
    if untrained is None:
        yield params
        return
    with TemporaryDirectory() as folder, torch.random.fork_rng():
        weights = Path(folder) / "random.safetensors"
        save_weights(untrained(params.encoder.layers), weights)
        yield params.model_copy(update={"encoder": params.encoder.model_copy(update={"weights": weights})})


@contextmanager
def drawn_data(params: Params, train: int, test: int) -> Iterator[Prepared]:
    """A prepared data set of drawn scenes of the setting's size, with ``train`` and ``test`` images per domain."""
    changes = {"source": "scenes", "image_size": drawn_size(params), "scenes_train": train, "scenes_test": test}
    with TemporaryDirectory() as folder:
        target = Path(folder) / "prepared"
        with console.capture():
            prepare(params.data.model_copy(update=changes), target)
        yield Prepared(target)


def drawn_size(params: Params) -> int:
    """The side in pixels of the setting's stored images, or of its crops if each image keeps its own size."""
    return params.data.image_size or params.train.crop_size
