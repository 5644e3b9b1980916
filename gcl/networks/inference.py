"""Translating images of any size with a trained generator."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.transforms.v2.functional import pil_to_tensor

from gcl.errors import UserError
from gcl.images.decoding import SUFFIXES, decode, save_png
from gcl.images.finding import find_images, passed_over
from gcl.images.pixels import to_pixels, to_signed
from gcl.networks.generator import Generator

Autocast = Callable[[], AbstractContextManager]
"""Opens what decides the precision of the operations inside it."""

MOST_AT_ONCE = 8
"""Images that a folder's translation works on at the same time, at most."""

LARGE_IMAGE = 512 * 1024
"""Pixels from which on an image is large: a few of them at once could fill the memory."""


class NotFiniteError(UserError):
    """A translation that would be black, since its values are not finite."""


@torch.inference_mode()
def translate_image(generator: Generator, images: Tensor) -> Tensor:
    """Translates (B, 3, H, W) in [-1, 1] of any size: padded to what the generator takes, cropped back."""
    height, width = images.shape[-2:]
    bottom, right = padded_side(height, generator) - height, padded_side(width, generator) - width
    padded = F.pad(images, (0, right, 0, bottom), mode="replicate")
    return generator(padded)[..., :height, :width]


def padded_side(side: int, generator: Generator) -> int:
    """The rows or columns that the generator takes in the place of ``side``: whole strides, and at least two of them.

    Its reflections need 4 pixels, and 2 between its blocks. A number that is only known when an exported program runs
    is taken as well.
    """
    return torch.sym_max(side + -side % generator.stride, max(2 * generator.stride, 4))


class Translation(NamedTuple):
    """The PNG that was written, the image that it translates, and remarks on what of that was left out."""

    path: Path
    source: Path
    remarks: list[str]


def translated_names(images: Sequence[Path], source: Path) -> list[Path]:
    """Where the translations of ``images`` belong, relative to the folder that is to mirror ``source``.

    UserError if two images would become the same PNG.
    """
    by_name: dict[Path, Path] = {}
    for path in images:
        name = path.relative_to(source).with_suffix(".png")
        other = by_name.setdefault(name, path)
        if other is not path:
            raise UserError(f"{path.parent}: {other.name} and {path.name} would both become {name.name}; rename one")
    return list(by_name)


def translate_folder(
    generator: Generator, source: Path, target: Path, device: torch.device, autocast: Autocast = nullcontext
) -> Iterator[Translation]:
    """Writes the translation of every image in ``source``, nested or not, to the same place in ``target``, as PNG.

    Yields each, in the order of the paths, when it is written. Several images are worked on at once, one a core, so
    that no device waits for files; large ones one after the other. ``autocast`` is opened around every image, in its
    thread: Fabric's, for another precision than float32. The generator is left on the device, channels last.

    UserError if there is nothing to translate, an image cannot be read or a translation is not finite; what was begun
    before is then still written.
    """
    images, others = find_images(source)
    if not images:
        hints = [f"files ending in {' '.join(SUFFIXES)} are read", *passed_over(others)]
        raise UserError(f"{source}: no images to translate; {'; '.join(hints)}")
    targets = [target / name for name in translated_names(images, source)]
    generator = _ready(generator, device)

    def translate_small(path: Path, written: Path) -> list[str] | None:
        """The remarks on the image; None if it is large and still to do."""
        pixels, remarks = _read(path)
        if pixels[0].numel() >= LARGE_IMAGE:
            return None
        _translate(generator, path, pixels, written, device, autocast)
        return remarks

    # Two images on a core each are done before one after the other on two cores.
    at_once = min(torch.get_num_threads(), MOST_AT_ONCE)
    pool = ThreadPoolExecutor(at_once, initializer=torch.set_num_threads, initargs=(1,))
    try:
        for path, written, remarks in zip(images, targets, pool.map(translate_small, images, targets), strict=True):
            if remarks is None:
                pixels, remarks = _read(path)
                _translate(generator, path, pixels, written, device, autocast)
            yield Translation(written, path, remarks)
    finally:
        pool.shutdown(cancel_futures=True)


def translate_file(
    generator: Generator, source: Path, target: Path, device: torch.device, autocast: Autocast = nullcontext
) -> Translation:
    """Writes the translation of one image to the PNG ``target``.

    UserError if the image cannot be read or its translation is not finite.

    ``autocast`` and what becomes of the generator are as in :func:`translate_folder`.
    """
    pixels, remarks = _read(source)
    _translate(_ready(generator, device), source, pixels, target, device, autocast)
    return Translation(target, source, remarks)


def _read(path: Path) -> tuple[Tensor, list[str]]:
    """The image at ``path`` as (3, H, W) uint8, and the remarks on it."""
    image, remarks = decode(path)
    return pil_to_tensor(image), remarks


def _ready(generator: Generator, device: torch.device) -> Generator:
    return generator.to(device, memory_format=torch.channels_last).eval()


def _translate(
    generator: Generator, source: Path, pixels: Tensor, target: Path, device: torch.device, autocast: Autocast
) -> None:
    """NotFiniteError, and nothing written, if the translation holds values that are not finite."""
    signed = to_signed(pixels).unsqueeze(0).to(device)  # (1, 3, H, W)
    with autocast():
        translated = translate_image(generator, signed)
    if not translated.isfinite().all():
        raise NotFiniteError(f"{source}: its translation holds values that are not finite")
    translated = to_pixels(translated)[0].permute(1, 2, 0)  # (H, W, 3)
    target.parent.mkdir(parents=True, exist_ok=True)
    save_png(translated.cpu().numpy(), target)
