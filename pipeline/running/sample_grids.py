"""The sample grids of a training: test images of both domains and their translations, at regular steps."""

import shutil
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.transforms.v2 import functional as transforms
from torchvision.utils import make_grid

from gcl.config import TrainConfig
from gcl.images.decoding import save_png
from gcl.images.pixels import to_pixels, to_signed, to_tensor
from gcl.images.prepared import Prepared
from gcl.networks.inference import translate_image
from gcl.training.trainer import Trainer

LONGEST = 1280
"""The longer side, in pixels, of a single picture that is translated for a sample grid."""

HEIGHT = 288
"""The height, in pixels, at which single pictures are shown in a sample grid."""


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


def sample_grid(trainer: Trainer, a: Tensor, b: Tensor, whole: bool = False) -> np.ndarray:
    """A grid (H, W, 3) uint8, one row per image: A, its translation, B, its translation (as in the identity term).

    ``whole`` pictures, which may be of any size, are shown HEIGHT pixels high.
    """
    generator = trainer.translator.eval()
    columns = [a, translate_image(generator, a), b, translate_image(generator, b)]
    generator.train()
    columns = _one_size(columns) if whole else columns
    rows = torch.stack(columns, dim=1).flatten(0, 1)  # (N, 4, 3, H, W) -> (4N, 3, H, W)
    grid = make_grid(rows.float().cpu(), nrow=len(columns), padding=2, pad_value=1)  # (3, H, W)
    return to_pixels(grid).permute(1, 2, 0).numpy()


def _one_size(columns: list[Tensor]) -> list[Tensor]:
    """Images (N, 3, H, W) of any sizes, resized to one height and padded with white to one width."""
    resized = [
        transforms.resize(images, [HEIGHT, round(images.shape[3] * HEIGHT / images.shape[2])], antialias=True)
        for images in columns
    ]
    widest = max(images.shape[3] for images in resized)
    return [F.pad(images, (0, widest - images.shape[3]), value=1.0) for images in resized]


def sample_images(prepared: Prepared, config: TrainConfig, device: torch.device) -> list[Tensor]:
    """The first test images of A and of B, equally many, cropped to squares; (N, 3, H, W) in [-1, 1] each.

    A single picture of each domain is not cropped, and shrunk only if its longer side has more than LONGEST pixels.
    """
    files = [prepared.images(split) for split in ("testA", "testB")]
    if prepared.manifest.single_image:
        return [to_signed(_whole(only)).unsqueeze(0).to(device) for (only,) in files]
    count = min(config.sample_images, *map(len, files))
    return [
        to_signed(torch.stack([_square(path, config.crop_size) for path in paths[:count]])).to(device)
        for paths in files
    ]


def _whole(path: Path) -> Tensor:
    """A picture of at most LONGEST pixels on either side, (3, H, W) uint8."""
    image = to_tensor(path)
    longest = max(image.shape[1:])
    if longest <= LONGEST:
        return image
    return transforms.resize(image, [round(side * LONGEST / longest) for side in image.shape[1:]], antialias=True)


def _square(path: Path, size: int) -> Tensor:
    """The central square of an image, (3, size, size) uint8."""
    return transforms.center_crop(transforms.resize(to_tensor(path), [size], antialias=True), [size])
