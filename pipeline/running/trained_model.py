"""What a training leaves: the model folder, with the weights and everything that they were made from."""

import math
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from gcl.config import Params
from gcl.contrast.methods import read_by_training
from gcl.files import digest
from gcl.images.manifest import Manifest
from gcl.measures.rounding import rounded
from gcl.networks.model_folder import GENERATORS, save_generator, save_tensors, save_weights
from gcl.training.start_from import CONTRAST, DISCRIMINATOR, Start
from gcl.training.trainer import Trainer
from gcl.training.validations import Validations

LIBRARIES = ("torch", "torchvision", "lightning-fabric")

NOT_OF_TRAINING = ("data", "translate", "evaluate")
"""The sections of params.yaml that shape what is done before and after a training."""


def made_from(params: Params, manifest: Manifest, processes: int, start: Start | None) -> dict[str, Any]:
    """Everything that shapes a training; two trainings with the same go through the same states."""
    return {
        "data.sha256": manifest.sha256,
        "processes": processes,
        "start_from": None if start is None else start.lineage["generator_sha256"],
        "judge": {"features": params.evaluate.features, "seed": params.evaluate.seed} if manifest.validates else None,
        **_sections(params, None),
    }


def save_model(
    folder: Path,
    trainer: Trainer,
    params: Params,
    manifest: Manifest,
    step: int,
    validations: Validations | None,
    start: Start | None,
) -> None:
    """Fills the model ``folder`` after the training's last ``step``."""
    sections = _sections(params, start)
    if "encoder" in sections and params.encoder.weights is not None:
        # The file's folder differs from machine to machine.
        sections["encoder"]["weights"] = f"{params.encoder.weights.name} (sha256 {digest(params.encoder.weights)})"
    versions = {"python": platform.python_version(), **{name: version(name) for name in LIBRARIES}}
    description = {
        **sections,
        "data": _data(params, manifest),
        "checkpoints": _checkpoints(step, validations),
        "validation": None if validations is None else _validation(validations),
        "start_from": None if start is None else start.lineage,
        "data_sha256": manifest.sha256,
        "versions": versions,
        "threads": torch.get_num_threads(),
        "processes": trainer.fabric.world_size,
    }
    save_generator(folder, trainer.translator, description)
    save_weights(trainer.discriminator, folder / DISCRIMINATOR)
    save_weights(trainer.contrast.loss, folder / CONTRAST)
    if validations is not None:
        save_tensors(validations.best["weights"], folder / GENERATORS["best"])


def _sections(params: Params, start: Start | None) -> dict[str, Any]:
    sections = {name: values for name, values in read_by_training(params).items() if name not in NOT_OF_TRAINING}
    # A path differs from machine to machine.
    sections["train"]["start_from"] = None if start is None else start.lineage["model"]
    return sections


def _data(params: Params, manifest: Manifest) -> dict[str, Any]:
    data = params.data
    name = data.path.name if data.source == "folder" else data.source
    return {"source": data.source, "name": name, "direction": manifest.direction, "images": manifest.counts()}


def _checkpoints(step: int, validations: Validations | None) -> dict[str, Any]:
    """The step of each checkpoint, and its metrics on the validation images."""
    if validations is None:
        return {"last": {"step": step}}
    return {
        "last": {"step": step, "validation": _rounded(validations.last)},
        "best": {"step": validations.best["step"], "validation": _rounded(validations.best["metrics"])},
    }


def _validation(validations: Validations) -> dict[str, Any]:
    """By which metric the best checkpoint was chosen, on how many images, and the yardsticks."""
    yardsticks = {name: _rounded(metrics) for name, metrics in validations.yardsticks.items()}
    return {"best_by": validations.by, "images": validations.images, **yardsticks}


def _rounded(metrics: dict[str, float]) -> dict[str, float | None]:
    return {name: rounded(value) if math.isfinite(value) else None for name, value in metrics.items()}
