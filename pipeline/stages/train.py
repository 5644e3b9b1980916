"""Stage 2: prepared images -> the model, its curves and sample grids."""

import platform
import shutil
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from lightning_fabric import Fabric
from rich.progress import TextColumn
from torch import Tensor
from torchvision.transforms.v2 import functional as transforms
from torchvision.utils import make_grid

from gcl.config import MAIN, Params, TrainConfig
from gcl.contrast.methods import read_by_training
from gcl.errors import UserError
from gcl.files import digest, replaced_folder, write_whole
from gcl.images.decoding import list_images, save_png
from gcl.images.manifest import Manifest, read_manifest
from gcl.images.pixels import to_pixels, to_signed, to_tensor
from gcl.locks import only_writer
from gcl.networks.checkpoints import save_generator, save_weights
from gcl.networks.inference import translate_image
from gcl.training.loop import Record
from gcl.training.states import State
from gcl.training.trainer import Trainer
from pipeline.console import announce, bar, console
from pipeline.running.processes import begin_training
from pipeline.running.resuming import Unfinished
from pipeline.running.stopping import stopping_between_steps
from pipeline.tracking.run import Run, SavedRun, run_identity, save_run, tracked

LIBRARIES = ("torch", "torchvision", "lightning-fabric")

SATURATION_WARNING = (
    "warning: by step {step} the discriminator's loss fell below 0.01: it tells every translation from a real image, "
    "and the generator learns nothing from it any more. Set discriminator.spectral_norm: true, or lower "
    "train.discriminator_lr."
)


def run_training(
    fabric: Fabric,
    params: Params,
    prepared: Path,
    model: Path,
    reports: Path,
    run_file: Path,
    unfinished: Path,
    variant: str = MAIN,
    restart: bool = False,
) -> None:
    """Trains on ``prepared`` as an MLflow run of that ``variant``, whose id is kept in ``run_file``.

    Called in the first of the processes of ``fabric``, inside :func:`pipeline.running.processes.on_all_devices`.

    Writes the ``model`` folder and, into ``reports``, curves.csv and the grids in samples/. What an interrupted call
    left in the folder ``unfinished`` is gone on from, unless ``restart``.
    """
    manifest = read_manifest(prepared)
    _check_crop(manifest, params.train.crop_size)
    made_from = {"data.sha256": manifest.sha256, "processes": fabric.world_size, **_shaping_the_model(params)}
    saved = Unfinished(unfinished, made_from)
    # Experiments in clones may have trainings in common: the same variant beside different settings of others.
    with only_writer(reports / "curves.csv", run_file), only_writer(saved.folder, wait=saved.in_clone):
        # The folder comes first: better to fail on a missing permission now than after the training.
        with replaced_folder(model) as folder:
            state = saved.find(restart)
            known = None if state is None else SavedRun(**state.contents["run"])
            trained = (0, None) if state is None else (state.step, state.contents["trainer"])
            trainer, records = begin_training(fabric, params, prepared, *trained)
            with tracked(run_identity(params, manifest, variant), known) as run:
                run.log_params(read_by_training(params))
                seconds = _train(trainer, records, params.train, prepared, reports, run, saved, state)
                _save(trainer, params, manifest, folder)
                run.log_metrics({"training_seconds": seconds}, params.train.steps)
                for path in sorted(folder.glob("[!.]*")):
                    run.log_file(path, "model")
                save_run(run, run_file, seconds)
        saved.finish()
    announce(f"trained {params.train.steps} steps in {seconds:.0f} s: {model}")


def _train(
    trainer: Trainer,
    records: Iterator[Record],
    config: TrainConfig,
    prepared: Path,
    reports: Path,
    run: Run,
    unfinished: Unfinished,
    state: State | None,
) -> float:
    """Runs the loop; writes and logs losses and sample grids on the way. Seconds taken, interrupted calls included."""
    fixed = _fixed_images(prepared, config, trainer.fabric.device)
    start, contents = (0, {}) if state is None else (state.step, state.contents)
    curves = Curves(reports / "curves.csv", contents.get("curves", []))
    samples = Samples(reports / "samples", unfinished.samples, start)
    logged = run.last_step("discriminator") if start else 0
    begun = time.monotonic() - contents.get("seconds", 0.0)
    with stopping_between_steps() as stop:
        for record in _with_progress(records, start, config.steps, config.batch_size * trainer.fabric.world_size):
            if record.losses is not None:
                curves.add(record)
                if record.step > logged:
                    run.log_metrics(record.losses, record.step)
            if record.step % config.sample_every == 0 or record.step == config.steps:
                grid = sample_grid(trainer, *fixed)
                samples.add(grid, record.step)
                run.log_image(grid, "samples", record.step)
            due = record.step % config.save_every == 0 or record.step == config.steps
            if due or (stop.signal and not trainer.diverged):
                seconds = time.monotonic() - begun
                resumable = {"run": asdict(run.saved), "curves": curves.rows, "seconds": seconds}
                unfinished.save(record.step, {**resumable, "trainer": trainer.state()})
            if stop.signal:
                announce(f"stopped after step {record.step}; the same command goes on from there")
                sys.exit(128 + stop.signal)
    return time.monotonic() - begun


def sample_grid(trainer: Trainer, a: Tensor, b: Tensor) -> np.ndarray:
    """One row an image: A, its translation, B, its translation (the identity term's): (H, W, 3) uint8."""
    generator = trainer.translator.eval()
    columns = [a, translate_image(generator, a), b, translate_image(generator, b)]
    generator.train()
    rows = torch.stack(columns, dim=1).flatten(0, 1)  # (N, 4, 3, H, W) -> (4N, 3, H, W)
    grid = make_grid(rows.float().cpu(), nrow=len(columns), padding=2, pad_value=1)  # (3, H, W)
    return to_pixels(grid).permute(1, 2, 0).numpy()


class Curves:
    """The losses over the steps, as a CSV that DVC plots. Written whole, under a temporary name first."""

    def __init__(self, path: Path, rows: list[dict[str, float]]):
        self.path, self.rows = path, rows

    def add(self, record: Record) -> None:
        """Appends one row: the step and its losses."""
        self.rows.append({"step": record.step, **record.losses})
        self.path.parent.mkdir(parents=True, exist_ok=True)
        text = pd.DataFrame(self.rows).to_csv(index=False, float_format="%.6g")
        write_whole(self.path, text.encode())


class Samples:
    """The sample grids, a file a step, with copies for a call that goes on after step ``start``."""

    def __init__(self, folder: Path, copies: Path, start: int):
        self.folder, self.copies = folder, copies
        for path in (folder, copies):
            path.mkdir(parents=True, exist_ok=True)
        for old in folder.glob("step_*.png"):
            old.unlink()
        for copy in copies.glob("step_*.png"):
            if int(copy.stem.removeprefix("step_")) <= start:
                shutil.copyfile(copy, folder / copy.name)

    def add(self, grid: np.ndarray, step: int) -> None:
        """Writes the (H, W, 3) uint8 ``grid`` of that step."""
        for path in (self.copies, self.folder):
            save_png(grid, path / f"step_{step:06d}.png")


def _fixed_images(prepared: Path, config: TrainConfig, device: torch.device) -> list[Tensor]:
    """The first test images of A and of B, equally many, cropped to squares: (N, 3, H, W) in [-1, 1] each."""
    files = [list_images(prepared / split) for split in ("testA", "testB")]
    count = min(config.sample_images, *map(len, files))
    return [
        to_signed(torch.stack([_square(path, config.crop_size) for path in paths[:count]])).to(device)
        for paths in files
    ]


def _square(path: Path, size: int) -> Tensor:
    """The middle of an image, (3, size, size) uint8."""
    return transforms.center_crop(transforms.resize(to_tensor(path), [size], antialias=True), [size])


def _check_crop(manifest: Manifest, crop_size: int) -> None:
    """Enlarging is for load_size to decide; an image that could not even fill the crop is a mistake."""
    for split in ("trainA", "trainB"):
        for entry in manifest.splits[split]:
            if min(entry.width, entry.height) < crop_size:
                raise UserError(
                    f"{split}/{entry.name}: {entry.width}x{entry.height} pixels, smaller than train.crop_size "
                    f"{crop_size}; use larger images or a smaller crop"
                )


def _with_progress(records: Iterable[Record], start: int, steps: int, images: int) -> Iterator[Record]:
    """Draws step, speed by ``images`` a step, time left, losses; without a terminal, a line every tenth of the way."""
    losses, started, warned = "", time.monotonic(), False
    with bar(TextColumn("{task.fields[speed]:.3g} images/s{task.fields[losses]}")) as progress:
        task = progress.add_task("training", total=steps, completed=start, losses="", speed=0.0)
        for record in records:
            speed = (record.step - start) * images / (time.monotonic() - started)
            if record.losses is not None:
                shown = "  ".join(f"{name} {value:.3f}" for name, value in record.losses.items())
                # They are the means up to this step, and stand there until the next ones.
                losses = f"  losses at step {record.step}: {shown}"
            progress.update(task, completed=record.step, losses=losses, speed=speed)
            if not console.is_terminal and record.step % max(steps // 10, 1) == 0:
                announce(f"step {record.step}/{steps}  {speed:.3g} images/s{losses}")
            if record.saturated and not warned:
                warned = True
                announce(SATURATION_WARNING.format(step=record.step))
            yield record


def _save(trainer: Trainer, params: Params, manifest: Manifest, folder: Path) -> None:
    """Fills the model folder: weights, and everything that they came from."""
    sections = _shaping_the_model(params)
    if "encoder" in sections and params.encoder.weights is not None:
        # Where it lies belongs to one machine.
        sections["encoder"]["weights"] = f"{params.encoder.weights.name} (sha256 {digest(params.encoder.weights)})"
    versions = {"python": platform.python_version(), **{name: version(name) for name in LIBRARIES}}
    machine = {"threads": torch.get_num_threads(), "processes": trainer.fabric.world_size}
    origin = {"data_sha256": manifest.sha256, "versions": versions, **machine}
    save_generator(folder, trainer.translator, {**sections, **origin})
    save_weights(trainer.contrast.loss, folder / "contrast.safetensors")


def _shaping_the_model(params: Params) -> dict[str, Any]:
    return {name: values for name, values in read_by_training(params).items() if name not in ("data", "evaluate")}
