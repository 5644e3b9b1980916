"""The sample grids of a training: the first test images of both domains and their translations, at regular steps."""

import shutil
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torchvision.transforms.v2 import functional as transforms
from torchvision.utils import make_grid

from gcl.config import TrainConfig
from gcl.images.decoding import save_png
from gcl.images.pixels import to_pixels, to_signed, to_tensor
from gcl.images.prepared import Prepared
from gcl.networks.inference import translate_image
from gcl.training.trainer import Trainer


class Samples:
    """The sample grids, one file per step, with copies for a call that resumes after step ``start``."""

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
        """Writes the ``grid`` (H, W, 3) uint8 of this ``step``."""
        for path in (self.copies, self.folder):
            save_png(grid, path / f"step_{step:06d}.png")


def sample_grid(trainer: Trainer, a: Tensor, b: Tensor) -> np.ndarray:
    """A grid (H, W, 3) uint8, one row per image: A, its translation, B, its translation (as in the identity term)."""
    generator = trainer.translator.eval()
    columns = [a, translate_image(generator, a), b, translate_image(generator, b)]
    generator.train()
    rows = torch.stack(columns, dim=1).flatten(0, 1)  # (N, 4, 3, H, W) -> (4N, 3, H, W)
    grid = make_grid(rows.float().cpu(), nrow=len(columns), padding=2, pad_value=1)  # (3, H, W)
    return to_pixels(grid).permute(1, 2, 0).numpy()


def sample_images(prepared: Prepared, config: TrainConfig, device: torch.device) -> list[Tensor]:
    """The first test images of A and of B, equally many, cropped to squares; (N, 3, H, W) in [-1, 1] each."""
    files = [prepared.images(split) for split in ("testA", "testB")]
    count = min(config.sample_images, *map(len, files))
    return [
        to_signed(torch.stack([_square(path, config.crop_size) for path in paths[:count]])).to(device)
        for paths in files
    ]


def _square(path: Path, size: int) -> Tensor:
    """The central square of an image, (3, size, size) uint8."""
    return transforms.center_crop(transforms.resize(to_tensor(path), [size], antialias=True), [size])
