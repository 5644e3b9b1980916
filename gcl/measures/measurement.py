"""What all measurements have in common: the files they read, the value, and what it was measured with."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from PIL import Image
from torch import Tensor
from torchvision.transforms.v2 import functional as transforms

from gcl.errors import UserError
from gcl.images.decoding import list_images
from gcl.images.pixels import to_tensor


@dataclass(frozen=True)
class Measurement:
    """A value and what it was measured with; ``dataclasses.asdict`` of it is valid JSON.

    Attributes:
        value: the value of the set, or the mean over the pairs.
        features: the network, with the digest of its weights and its dimensions; None if no network is involved.
        library: the library that computed the value, with its version.
        images, reference: the numbers of samples in the two sets.
        resize: the side of the square that all images were resized and cropped to; None if they were not.
        subset_size: the size of KID's subsets.
        per_image: the value of every pair, by the stem of its file names; None for the value of a set.
        note: a caution about the value.
    """

    value: float
    features: str | None
    library: str
    images: int
    reference: int
    resize: int | None = None
    subset_size: int | None = None
    per_image: dict[str, float] | None = None
    note: str | None = None


MOST_PIXELS = 4 * 1024 * 1024
"""To so many pixels larger pictures are shrunk before a network compares them, which takes memory per pixel."""


def library_version(package: str) -> str:
    """The name and version of the installed ``package``, as shown beside the values that it computes."""
    return f"{package} {version(package)}"


def png_files(folder: Path, at_least: int) -> list[Path]:
    """The PNGs in ``folder``, sorted by name; UserError if there are fewer than ``at_least``."""
    files = [path for path in list_images(folder) if path.suffix.lower() == ".png"]
    if len(files) < at_least:
        raise UserError(f"{folder} holds {len(files)} PNG images; at least {at_least} are needed")
    return files


def bounded_pixels(file: Path) -> Tensor:
    """The picture as (3, H, W) uint8, shrunk to at most MOST_PIXELS."""
    image = to_tensor(file)
    pixels = image[0].numel()
    if pixels <= MOST_PIXELS:
        return image
    scale = math.sqrt(MOST_PIXELS / pixels)
    return transforms.resize(image, [int(side * scale) for side in image.shape[1:]], antialias=True)


def shrinking(files: Iterable[Path]) -> str | None:
    """A note for a measurement, if some of the PNGs ``files`` are shrunk by :func:`bounded_pixels`."""
    large = [file for file in files if math.prod(_size(file)) > MOST_PIXELS]
    return f"pictures of more than {MOST_PIXELS:,} pixels were shrunk to that many" if large else None


def _size(file: Path) -> tuple[int, int]:
    with Image.open(file) as image:
        return image.size
