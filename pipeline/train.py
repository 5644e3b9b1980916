"""Stage 2: prepared images -> the model, its curves and sample grids."""

import platform
import time
from collections.abc import Iterable, Iterator
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from lightning_fabric import Fabric, seed_everything
from rich.progress import TextColumn
from torch import Tensor
from torchvision.transforms.v2 import functional as transforms
from torchvision.utils import make_grid

from gcl.checkpoints import save_generator, save_weights
from gcl.config import Params, TrainConfig
from gcl.data import UnpairedImages, to_pixels, to_signed, to_tensor
from gcl.encoders import load_encoder
from gcl.errors import UserError
from gcl.files import digest, replaced_folder, write_whole
from gcl.images import list_images, save_png
from gcl.losses import GraphContrastiveLoss
from gcl.manifest import Manifest, read_manifest
from gcl.networks import Discriminator, Generator
from gcl.training import GraphContrast, Record, Trainer, train
from gcl.translation import translate_image
from pipeline.console import announce, bar, console
from pipeline.devices import make_fabric
from pipeline.tracking import Run, run_identity, save_run, tracked

TRAINING_SECTIONS = ("encoder", "graph", "generator", "discriminator", "train")

LIBRARIES = ("torch", "torchvision", "torch-geometric", "lightning-fabric")

SATURATION_WARNING = (
    "warning: by step {step} the discriminator's loss fell below 0.01: it tells every translation from a real image, "
    "and the generator learns nothing from it any more. Train it slower: lower train.discriminator_lr."
)


def run_training(params: Params, prepared: Path, model: Path, reports: Path, run_file: Path) -> None:
    """Trains on ``prepared`` as a new MLflow run, whose id is kept in ``run_file``.

    Writes the ``model`` folder and, into ``reports``, curves.csv and the grids in samples/.
    """
    manifest = read_manifest(prepared)
    _check_crop(manifest, params.train.crop_size)
    seed_everything(params.train.seed, verbose=False)
    trainer = build_trainer(params, make_fabric(params.train.accelerator, params.train.precision))
    # The folders come first: better to fail on a missing permission now than after the training.
    with replaced_folder(model) as unfinished, tracked(run_identity(params, manifest)) as run:
        run.log_params(params.model_dump(mode="json"))
        started = time.monotonic()
        _train(trainer, params.train, prepared, reports, run)
        seconds = time.monotonic() - started
        _save(trainer, params, manifest, unfinished)
        run.log_metrics({"training_seconds": seconds}, params.train.steps)
        for path in sorted(unfinished.glob("[!.]*")):
            run.log_file(path, "model")
        save_run(run, run_file)
    announce(f"trained {params.train.steps} steps in {seconds:.0f} s: {model}")


def _train(trainer: Trainer, config: TrainConfig, prepared: Path, reports: Path, run: Run) -> None:
    """Runs the loop; writes and logs losses and sample grids on the way."""
    fixed = _fixed_images(prepared, config, trainer.fabric.device)
    curves, samples = Curves(reports / "curves.csv"), reports / "samples"
    samples.mkdir(parents=True, exist_ok=True)
    for old in samples.glob("step_*.png"):
        old.unlink()
    records = train(trainer, training_pairs(config, prepared), config)
    for record in _with_progress(records, config.steps, config.batch_size):
        if record.losses is not None:
            curves.add(record)
            run.log_metrics(record.losses, record.step)
        if record.step % config.sample_every == 0 or record.step == config.steps:
            grid = sample_grid(trainer, *fixed)
            save_png(grid, samples / f"step_{record.step:06d}.png")
            run.log_image(grid, "samples", record.step)


def build_trainer(params: Params, fabric: Fabric) -> Trainer:
    """The networks, losses and optimisers that ``params`` describe, freshly initialised."""
    encoder = load_encoder(params.encoder.name, params.encoder.layers, params.encoder.weights)
    loss = GraphContrastiveLoss(encoder.channels, **params.graph.loss_arguments)
    return Trainer(
        fabric,
        Generator(**params.generator.model_dump()),
        Discriminator(**params.discriminator.model_dump()),
        GraphContrast(encoder, loss),
        weight=params.graph.weight,
        identity_term=params.graph.identity_term,
        config=params.train,
    )


def training_pairs(config: TrainConfig, prepared: Path) -> UnpairedImages:
    """The training images of ``prepared``, as many pairs as the steps need."""
    return UnpairedImages(
        (list_images(prepared / "trainA"), list_images(prepared / "trainB")),
        length=config.steps * config.batch_size,
        seed=config.seed,
        load_size=config.load_size,
        crop_size=config.crop_size,
        flip=config.flip,
    )


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

    def __init__(self, path: Path):
        self.path, self.rows = path, []

    def add(self, record: Record) -> None:
        """Appends one row: the step and its losses."""
        self.rows.append({"step": record.step, **record.losses})
        self.path.parent.mkdir(parents=True, exist_ok=True)
        text = pd.DataFrame(self.rows).to_csv(index=False, float_format="%.6g")
        write_whole(self.path, text.encode())


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


def _with_progress(records: Iterable[Record], steps: int, batch_size: int) -> Iterator[Record]:
    """Draws step, speed, time left and losses; without a terminal, a line every tenth of the way."""
    losses, started, warned = "", time.monotonic(), False
    with bar(TextColumn("{task.fields[speed]:.3g} images/s  {task.fields[losses]}")) as progress:
        task = progress.add_task("training", total=steps, losses="", speed=0.0)
        for record in records:
            speed = record.step * batch_size / (time.monotonic() - started)
            if record.losses is not None:
                losses = "  ".join(f"{name} {value:.3f}" for name, value in record.losses.items())
            progress.update(task, completed=record.step, losses=losses, speed=speed)
            if not console.is_terminal and record.step % max(steps // 10, 1) == 0:
                announce(f"step {record.step}/{steps}  {speed:.3g} images/s  {losses}")
            if record.saturated and not warned:
                warned = True
                announce(SATURATION_WARNING.format(step=record.step))
            yield record


def _save(trainer: Trainer, params: Params, manifest: Manifest, folder: Path) -> None:
    """Fills the model folder: weights, and everything that they came from."""
    sections = params.model_dump(mode="json", include=set(TRAINING_SECTIONS))
    if params.encoder.weights is not None:
        # Where it lies belongs to one machine.
        sections["encoder"]["weights"] = f"{params.encoder.weights.name} (sha256 {digest(params.encoder.weights)})"
    versions = {"python": platform.python_version(), **{name: version(name) for name in LIBRARIES}}
    origin = {"data_sha256": manifest.sha256, "versions": versions, "threads": torch.get_num_threads()}
    save_generator(folder, trainer.translator, {**sections, **origin})
    save_weights(trainer.contrast.loss, folder / "contrast.safetensors")
