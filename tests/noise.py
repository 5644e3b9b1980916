"""Folders of random noise for the tests of metrics."""

from pathlib import Path

import numpy as np
import torch

from gcl.images.decoding import save_png
from gcl.images.pixels import to_tensor


def write_noise(folder: Path, count: int, seed: int, size: tuple = (32, 32), top: int = 255) -> Path:
    """Writes ``count`` PNGs of ``size`` (height, width), each one colour with noise and no brighter than ``top``."""
    random = np.random.default_rng(seed)
    folder.mkdir()
    for index in range(count):
        colour, noise = random.uniform(0, 0.7, 3), random.uniform(0, 0.3, (*size, 3))
        save_png(((colour + noise) * top).astype(np.uint8), folder / f"{index:03}.png")
    return folder


def stacked(folder: Path) -> torch.Tensor:
    return torch.stack([to_tensor(file) for file in sorted(folder.glob("*.png"))])
