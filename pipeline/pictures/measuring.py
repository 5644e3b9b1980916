"""How anybody's pictures are measured: as params.yaml says, if the working directory has one, or by the defaults."""

from pathlib import Path
from typing import NamedTuple

from gcl.config import EvaluateConfig, Params
from gcl.errors import UserError
from pipeline.console import announce
from pipeline.params import read_params
from pipeline.running.devices import one_device

DEFAULTS = {
    "features": "small",
    "inception_weights": None,
    "alexnet_weights": None,
    "batch_size": 50,
    "seed": 0,
}
"""The section ``evaluate`` of the project's params.yaml, for where there is no params.yaml."""


class Measuring(NamedTuple):
    """The section ``evaluate``, and the type of the device, such as "cpu"."""

    config: EvaluateConfig
    device: str


def measuring(params_file: Path, features: str | None) -> Measuring:
    """Features, weights, batch size, seed and accelerator of ``params_file``; ``features`` come first if given.

    Without this file they are the defaults, and so they are, with a note, if it is not one of this project. UserError
    if this machine lacks the accelerator.
    """
    params = _params_in(params_file) if params_file.is_file() else None
    settings = params.evaluate.model_dump() if params else DEFAULTS
    config = EvaluateConfig(**settings | ({"features": features} if features else {}))
    return Measuring(config, one_device(params.train.accelerator if params else "auto").type)


def _params_in(file: Path) -> Params | None:
    try:
        return read_params(file)
    except UserError as error:
        first, *_ = str(error).splitlines()
        announce(f"note: measured by the default settings, because {file} cannot be used here ({first})")
        return None
