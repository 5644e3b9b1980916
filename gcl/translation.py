"""Translating images of any size with a trained generator."""

from collections.abc import Iterator
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from gcl.data import to_pixels, to_signed, to_tensor
from gcl.errors import UserError
from gcl.images import check_stems, list_images, save_png
from gcl.networks import Generator


@torch.inference_mode()
def translate_image(generator: Generator, images: Tensor) -> Tensor:
    """Translates (B, 3, H, W) in [-1, 1] of any size: padded to the generator's stride, cropped back."""
    height, width = images.shape[-2:]
    bottom, right = -height % generator.stride, -width % generator.stride
    padded = F.pad(images, (0, right, 0, bottom), mode="replicate")
    return generator(padded)[..., :height, :width]


def translate_folder(generator: Generator, source: Path, target: Path, device: torch.device) -> Iterator[Path]:
    """Writes the translation of every image of ``source`` to ``target`` as PNG of the same stem.

    Yields each path when it is written. UserError if there is nothing to translate.
    """
    images = list_images(source)
    if not images:
        raise UserError(f"{source}: no images to translate")
    check_stems(images)
    generator = generator.to(device).eval()
    for path in images:
        signed = to_signed(to_tensor(path)).unsqueeze(0).to(device)  # (1, 3, H, W)
        pixels = to_pixels(translate_image(generator, signed))[0].permute(1, 2, 0)  # (H, W, 3)
        written = target / f"{path.stem}.png"
        save_png(pixels.cpu().numpy(), written)
        yield written
