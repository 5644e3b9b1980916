"""Converts images to tensors and back: uint8 in 0 ... 255 and float in [-1, 1]."""

from pathlib import Path

import torch
from torch import Tensor
from torchvision.transforms.v2 import functional as transforms

from gcl.images.decoding import read_rgb


def to_tensor(path: Path) -> Tensor:
    """The image at ``path`` as (3, H, W) uint8."""
    return transforms.pil_to_tensor(read_rgb(path))


def to_signed(pixels: Tensor) -> Tensor:
    """Converts uint8 in 0 ... 255 to float in [-1, 1]."""
    return pixels.float() / 127.5 - 1


def to_pixels(images: Tensor) -> Tensor:
    """Converts float in [-1, 1] to uint8 in 0 ... 255, rounded; values outside are clipped."""
    return ((images.float() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
