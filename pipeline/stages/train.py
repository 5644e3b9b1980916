"""Stage 2: prepared images -> the model, its curves and sample grids."""

import platform
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric

from gcl.config import MAIN, Params, TrainConfig
from gcl.contrast.methods import read_by_training
from gcl.errors import UserError
from gcl.files import digest, replaced_folder
from gcl.images.manifest import Manifest
from gcl.images.prepared import Prepared
from gcl.locks import only_writer
from gcl.networks.model_folder import save_generator, save_weights
from gcl.training.loop import Record
from gcl.training.states import State
from gcl.training.trainer import Trainer
from pipeline.console import announce
from pipeline.running.processes import begin_training
from pipeline.running.progress import with_progress
from pipeline.running.resuming import Unfinished
from pipeline.running.run_folder import RunFolder, SavedRun
from pipeline.running.sample_grids import Samples, sample_grid, sample_images
from pipeline.running.stopping import stopping_between_steps
from pipeline.tracking.handing_over import hand_over
from pipeline.tracking.run import TrackedRun, run_identity, tracked

LIBRARIES = ("torch", "torchvision", "lightning-fabric")


def run_training(
    fabric: Fabric, params: Params, prepared: Prepared, run: RunFolder, unfinished: Path, restart: bool = False
) -> None:
    """Trains on ``prepared`` as an MLflow run, and writes the model, the curves and the sample grids of ``run``.

    Must be called in the first process of ``fabric``, inside :func:`pipeline.running.processes.on_all_devices`. Resumes
    what an interrupted call left in the folder ``unfinished``, unless ``restart``.
    """
    manifest = prepared.manifest
    _check_crop(manifest, params.train.crop_size)
    made_from = {"data.sha256": manifest.sha256, "processes": fabric.world_size, **_shaping_the_model(params)}
    saved = Unfinished(unfinished, made_from)
    # Experiments in clones may share a training: the same variant, while other settings differ.
    with only_writer(run.curves_file, run.run_file), only_writer(saved.folder, wait=saved.in_clone):
        # The folder is created first, so that a missing permission is found now and not after the training.
        with replaced_folder(run.model) as folder:
            state = saved.find(restart)
            known = None if state is None else SavedRun(**state.contents["run"])
            trained = (0, None) if state is None else (state.step, state.contents["trainer"])
            trainer, records = begin_training(fabric, params, prepared, *trained)
            with tracked(run_identity(params, manifest, run.variant or MAIN), known) as mlflow_run:
                mlflow_run.log_params(read_by_training(params))
                seconds = _train(trainer, records, params.train, prepared, run, mlflow_run, saved, state)
                _save(trainer, params, manifest, folder)
                mlflow_run.log_metrics({"training_seconds": seconds}, params.train.steps)
                for path in sorted(folder.glob("[!.]*")):
                    mlflow_run.log_file(path, "model")
                if run.variant is None:
                    hand_over(mlflow_run, folder)
                run.save(mlflow_run.saved, seconds)
        saved.finish()
    announce(f"trained {params.train.steps} steps in {seconds:.0f} s: {run.model}")


def _train(
    trainer: Trainer,
    records: Iterator[Record],
    config: TrainConfig,
    prepared: Prepared,
    run: RunFolder,
    mlflow_run: TrackedRun,
    unfinished: Unfinished,
    state: State | None,
) -> float:
    """Runs the loop, and writes and logs losses and sample grids; returns the seconds taken, also by earlier calls."""
    images = sample_images(prepared, config, trainer.fabric.device)
    start, contents = (0, {}) if state is None else (state.step, state.contents)
    curves, samples = contents.get("curves", []), Samples(run.samples, unfinished.samples, start)
    logged = mlflow_run.last_step("discriminator") if start else 0
    begun = time.monotonic() - contents.get("seconds", 0.0)
    with stopping_between_steps() as stop:
        for record in with_progress(records, start, config.steps, config.batch_size * trainer.fabric.world_size):
            if record.losses is not None:
                curves.append({"step": record.step, **record.losses})
                run.write_curves(curves)
                if record.step > logged:
                    mlflow_run.log_metrics(record.losses, record.step)
            if record.step % config.sample_every == 0 or record.step == config.steps:
                grid = sample_grid(trainer, *images)
                samples.add(grid, record.step)
                mlflow_run.log_image(grid, "samples", record.step)
            due = record.step % config.save_every == 0 or record.step == config.steps
            if due or (stop.signal and not trainer.diverged):
                seconds = time.monotonic() - begun
                resumable = {"run": asdict(mlflow_run.saved), "curves": curves, "seconds": seconds}
                unfinished.save(record.step, {**resumable, "trainer": trainer.state()})
            if stop.signal:
                announce(f"stopped after step {record.step}; the same command goes on from there")
                sys.exit(128 + stop.signal)
    return time.monotonic() - begun


def _check_crop(manifest: Manifest, crop_size: int) -> None:
    """UserError if an image is smaller than the crop. Only load_size enlarges images, so this must be a mistake."""
    for split in ("trainA", "trainB"):
        for entry in manifest.splits[split]:
            if min(entry.width, entry.height) < crop_size:
                raise UserError(
                    f"{split}/{entry.name}: {entry.width}x{entry.height} pixels, smaller than train.crop_size "
                    f"{crop_size}; use larger images or a smaller crop"
                )


def _save(trainer: Trainer, params: Params, manifest: Manifest, folder: Path) -> None:
    """Fills the model folder with the weights and everything that they were made from."""
    sections = _shaping_the_model(params)
    if "encoder" in sections and params.encoder.weights is not None:
        # The file's folder differs from machine to machine.
        sections["encoder"]["weights"] = f"{params.encoder.weights.name} (sha256 {digest(params.encoder.weights)})"
    versions = {"python": platform.python_version(), **{name: version(name) for name in LIBRARIES}}
    machine = {"threads": torch.get_num_threads(), "processes": trainer.fabric.world_size}
    origin = {"data_sha256": manifest.sha256, "versions": versions, **machine}
    save_generator(folder, trainer.translator, {**sections, **origin})
    save_weights(trainer.contrast.loss, folder / "contrast.safetensors")


def _shaping_the_model(params: Params) -> dict[str, Any]:
    return {name: values for name, values in read_by_training(params).items() if name not in ("data", "evaluate")}
