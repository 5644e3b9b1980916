"""Translates images of any size with a trained generator."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.transforms.v2.functional import pil_to_tensor

from gcl.errors import UserError
from gcl.images.decoding import SUFFIXES, decode_with_alpha, save_png
from gcl.images.finding import find_images, passed_over
from gcl.images.pixels import to_pixels, to_signed
from gcl.images.transparency import with_alpha
from gcl.networks.generator import Generator

Autocast = Callable[[], AbstractContextManager]
"""Opens a context that sets the precision of the operations inside it."""

MOST_AT_ONCE = 8
"""The most images of a folder that are translated at the same time."""

LARGE_IMAGE = 512 * 1024
"""Images with at least this many pixels are translated one at a time: several at once could fill the memory."""


Outcome = tuple[Path, Path, list[str] | None]
"""An image, the path of its translation and the remarks on it; None instead if it is large and not translated yet."""


class NotFiniteError(UserError):
    """A translation that would be black, because its values are not finite."""


@torch.inference_mode()
def translate_image(generator: Generator, images: Tensor) -> Tensor:
    """Translates (B, 3, H, W) in [-1, 1] of any size: pads to a size that the generator accepts, then crops back."""
    height, width = images.shape[-2:]
    bottom, right = padded_side(height, generator) - height, padded_side(width, generator) - width
    padded = F.pad(images, (0, right, 0, bottom), mode="replicate")
    return generator(padded)[..., :height, :width]


def padded_side(side: int, generator: Generator) -> int:
    """The rows or columns to which ``side`` is padded: a multiple of the stride, and at least two strides.

    Reflection padding needs at least 4 pixels, and 2 at the residual blocks. ``side`` may be symbolic, that is, known
    only when an exported program runs.
    """
    return torch.sym_max(side + -side % generator.stride, max(2 * generator.stride, 4))


class Translation(NamedTuple):
    """The file that was written, the image it translates, and remarks on what was left out of that image."""

    path: Path
    source: Path
    remarks: list[str]


class Large(Protocol):
    """Translates large images; :class:`gcl.tiles.translation.LargePictures` does it in tiles where memory is short."""

    def concerns(self, path: Path, at_once: int) -> bool:
        """Whether the image is too large to be one of so many that are translated ``at_once``."""

    def translate(self, source: Path, target: Path) -> list[str]:
        """Writes the translation of ``source`` to ``target``; returns the remarks on the image."""


def translated_names(images: Sequence[Path], source: Path) -> list[Path]:
    """The paths of the translations of ``images``, relative to a target folder that mirrors ``source``.

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
    generator: Generator,
    source: Path,
    target: Path,
    device: torch.device,
    autocast: Autocast = nullcontext,
    large: Large | None = None,
    keep_alpha: bool = False,
) -> Iterator[Translation]:
    """Writes the translation of every image in ``source``, nested or not, to the same place in ``target``, as PNG.

    Yields each translation once it is written, in the order of the paths. Several images are translated at once, one
    per core, so that no device waits for files; large ones are translated one at a time, by ``large`` or as a whole.
    ``autocast`` is opened around every image, in its thread; for a precision other than float32, pass Fabric's. The
    generator stays on the device, channels last. With ``keep_alpha`` the translation of an image that is not opaque has
    the image's alpha.

    UserError if there is nothing to translate, an image cannot be read or a translation is not finite. Translations
    that have been started by then are still written.
    """
    images, others = find_images(source)
    if not images:
        hints = [f"files ending in {' '.join(SUFFIXES)} are read", *passed_over(others)]
        raise UserError(f"{source}: no images to translate; {'; '.join(hints)}")
    targets = [target / name for name in translated_names(images, source)]
    generator = _ready(generator, device)

    def translate_small(path: Path, written: Path) -> list[str] | None:
        """The remarks on the image; None if it is large and has not been translated yet."""
        if large is not None and large.concerns(path, at_once):
            return None
        pixels, alpha, remarks = _read(path, keep_alpha)
        if pixels[0].numel() >= LARGE_IMAGE:
            return None
        _translate(generator, path, pixels, alpha, written, device, autocast)
        return remarks

    # Two images on one core each finish sooner than one after the other on two cores.
    at_once = min(torch.get_num_threads(), MOST_AT_ONCE)
    pool = ThreadPoolExecutor(at_once, initializer=torch.set_num_threads, initargs=(1,))
    try:
        outcomes = zip(images, targets, pool.map(translate_small, images, targets), strict=True)
        for path, written, remarks in _all_before_large_ones(outcomes):
            if remarks is not None:
                yield Translation(written, path, remarks)
            elif large is not None:
                yield Translation(written, path, large.translate(path, written))
            else:
                yield translate_file(generator, path, written, device, autocast, keep_alpha)
    finally:
        pool.shutdown(cancel_futures=True)


def _all_before_large_ones(outcomes: Iterator[Outcome]) -> Iterator[Outcome]:
    """Yields the ``outcomes`` in their order; waits for all of them before the first large image, which may take all
    memory that is free."""
    for outcome in outcomes:
        if outcome[-1] is None:
            yield from [outcome, *outcomes]
        else:
            yield outcome


def translate_file(
    generator: Generator,
    source: Path,
    target: Path,
    device: torch.device,
    autocast: Autocast = nullcontext,
    keep_alpha: bool = False,
) -> Translation:
    """Writes the translation of one image to the PNG ``target``.

    UserError if the image cannot be read or its translation is not finite.

    ``autocast`` and ``keep_alpha`` are used, and the generator is moved, as in :func:`translate_folder`.
    """
    pixels, alpha, remarks = _read(source, keep_alpha)
    _translate(_ready(generator, device), source, pixels, alpha, target, device, autocast)
    return Translation(target, source, remarks)


def _read(path: Path, keep_alpha: bool) -> tuple[Tensor, np.ndarray | None, list[str]]:
    """The image at ``path`` on white, (3, H, W) uint8; its alpha to keep, (H, W) uint8 or None; the remarks on it."""
    image, alpha, remarks = decode_with_alpha(path)
    return pil_to_tensor(image), np.asarray(alpha) if keep_alpha and alpha else None, remarks


def _ready(generator: Generator, device: torch.device) -> Generator:
    return generator.to(device, memory_format=torch.channels_last).eval()


def _translate(
    generator: Generator,
    source: Path,
    pixels: Tensor,
    alpha: np.ndarray | None,
    target: Path,
    device: torch.device,
    autocast: Autocast,
) -> None:
    """Writes one translation, transparent if there is an ``alpha``; NotFiniteError, and nothing is written, if it holds
    values that are not finite."""
    signed = to_signed(pixels).unsqueeze(0).to(device)  # (1, 3, H, W)
    with autocast():
        translated = translate_image(generator, signed)
    if not translated.isfinite().all():
        raise NotFiniteError(f"{source}: its translation holds values that are not finite")
    translated = to_pixels(translated)[0].permute(1, 2, 0).cpu().numpy()  # (H, W, 3)
    target.parent.mkdir(parents=True, exist_ok=True)
    save_png(translated if alpha is None else with_alpha(translated, alpha), target)
