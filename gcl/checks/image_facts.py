"""Reads what the checks need to know of one image file: its header, a fingerprint, and numbers that describe it."""

import hashlib
import warnings
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

import imagehash
import numpy as np
from PIL import ExifTags, Image, ImageCms, ImageOps

from gcl.checks.image_numbers import numbers_of
from gcl.checks.jpeg_quality import jpeg_quality
from gcl.images.decoding import FORMATS, BadImageError, decode, read_rgb
from gcl.images.manifest import Skipped
from gcl.sources.folder import SMALLEST_SIDE

HASH_SIZE = 16
"""The perceptual hash has 16 x 16 bits. With 8 x 8, leaves on a plain ground are as alike as copies are."""

THUMBNAIL = 32
"""The width and height of the thumbnails that confirm what the hashes suspect."""

LOSSLESS = ("PNG", "GIF", "BMP", "TIFF")
"""The formats that, as a rule, lose nothing of a picture."""

TURNED = range(5, 9)
"""The EXIF orientations that exchange width and height."""


class ImageFile(NamedTuple):
    """A file that may be an image: its split, its path within the split in readable characters, and its path."""

    split: str
    label: str
    path: Path


@dataclass(frozen=True)
class ImageFacts:
    """What is known of one image.

    Attributes:
        split, label, path: where it lies, see :class:`ImageFile`.
        width, height: in pixels, upright.
        format: JPEG, PNG, ...
        kinds: what is special about its pixels, such as "gray" or "16 bits".
        remarks: what its 8-bit RGB pixels leave out (:func:`gcl.images.decoding.decode`).
        numbers: the numbers of :mod:`gcl.checks.groups`, by name.
        shrunken: SHA-256 of the size and the shrunken pixels.
        reduced: whether they were decoded at a fraction of their size, so that ``shrunken`` differs from that of the
            same pixels in a file of another format; :func:`all_pixels` compares them.
        fingerprint, mirrored: perceptual hashes of the image and of its mirror image, (4,) uint64 each.
        thumbnail: (32, 32, 3) uint8.
    """

    split: str
    label: str
    path: Path
    width: int
    height: int
    format: str
    kinds: tuple[str, ...]
    remarks: tuple[str, ...]
    numbers: dict[str, float]
    shrunken: str
    reduced: bool
    fingerprint: np.ndarray
    mirrored: np.ndarray
    thumbnail: np.ndarray

    @property
    def told(self) -> str:
        """What messages call it."""
        return f"{self.split}/{self.label}"

    @property
    def stem(self) -> str:
        """Its path within the split without the suffix, which a test image shares with its partner."""
        return self.label.rpartition(".")[0]

    @property
    def shorter_side(self) -> int:
        """In pixels."""
        return min(self.width, self.height)


def shorter_side(file: ImageFile) -> int | None:
    """The shorter side that the header states, in pixels; None if there is no readable header."""
    with warnings.catch_warnings(action="ignore"):
        try:
            with Image.open(file.path, formats=FORMATS) as image:
                return min(image.size)
        # A decoder may raise any exception on a damaged file; read_facts gives the reason.
        except Exception:
            return None


def read_facts(side: int, file: ImageFile) -> ImageFacts | Skipped:
    """The facts of one image, whose pixels are compared after its shorter side has been shrunk to ``side`` at most.

    Returns the reason if ``gcl prepare`` would refuse the file whatever the parameters are.
    """
    with warnings.catch_warnings(action="ignore"):
        try:
            large_jpeg = _large_jpeg(file.path, side)
            image, size, remarks = large_jpeg or _any_image(file.path)
        except BadImageError as error:
            return Skipped(file.split, file.label, error.reason)
        width, height = size
        if min(size) < SMALLEST_SIDE:
            reason = f"{width}x{height} pixels; at least {SMALLEST_SIDE} per side are needed"
            return Skipped(file.split, file.label, reason)
        format, kinds, header_numbers = _header(file.path)
    image = _shrunk(image, side)
    sizes = {"shorter_side": min(size), "elongation": max(size) / min(size), "shape": width / height}
    return ImageFacts(
        file.split,
        file.label,
        file.path,
        width,
        height,
        format,
        kinds,
        tuple(remarks),
        numbers_of(image) | sizes | header_numbers,
        _digest(image, size),
        large_jpeg is not None,
        _fingerprint(image),
        _fingerprint(ImageOps.mirror(image)),
        np.asarray(image.resize((THUMBNAIL, THUMBNAIL), Image.Resampling.BOX)),
    )


def all_pixels(path: Path) -> str:
    """SHA-256 of the size and of all pixels, fully decoded. Raises BadImageError."""
    image = read_rgb(path)
    return _digest(image, image.size)


def _digest(image: Image.Image, size: tuple[int, int]) -> str:
    return hashlib.sha256(f"{size}".encode() + image.tobytes()).hexdigest()


def _any_image(path: Path) -> tuple[Image.Image, tuple[int, int], list[str]]:
    image, remarks = decode(path)
    return image, image.size, remarks


def _large_jpeg(path: Path, side: int) -> tuple[Image.Image, tuple[int, int], list[str]] | None:
    """A JPEG much larger than ``side``, upright and at a fraction of its size, and its full size.

    libjpeg decodes it several times faster that way. None for other files, and for files with any fault, which
    :func:`gcl.images.decoding.decode` names.
    """
    try:
        with Image.open(path, formats=FORMATS) as image:
            size = image.size
            if image.format != "JPEG" or image.mode not in ("L", "RGB") or min(size) < 4 * side or not _is_srgb(image):
                return None
            image.draft(image.mode, (2 * side, 2 * side))
            upright = ImageOps.exif_transpose(image).convert("RGB")
            turned = image.getexif().get(ExifTags.Base.Orientation) in TURNED
            return upright, size[::-1] if turned else size, []
    # A decoder may raise any exception on a damaged file.
    except Exception:
        return None


def _is_srgb(image: Image.Image) -> bool:
    profile = image.info.get("icc_profile")
    if profile is None:
        return True
    return ImageCms.getProfileDescription(ImageCms.ImageCmsProfile(BytesIO(profile))).startswith("sRGB")


def _header(path: Path) -> tuple[str, tuple[str, ...], dict[str, float]]:
    """The format, the kinds of pixels, and what tells of the compression, of a file that can be decoded."""
    with Image.open(path, formats=FORMATS) as image:
        layout = str(image.tile[0].args) if image.tile else ""
        kinds = {
            "gray": image.mode in ("1", "L", "LA", "I;16", "I;16B", "I;16L"),
            "palette": image.mode == "P",
            "transparency": image.has_transparency_data,
            "CMYK": image.mode == "CMYK",
            "16 bits": ";16" in layout or image.mode.startswith("I;16"),
        }
        table = getattr(image, "quantization", {}).get(0)
        # A phone's JPEG with a second picture inside is called MPO.
        format = "JPEG" if image.format == "MPO" else image.format
        numbers = {
            "jpeg": 100.0 * (table is not None),
            "jpeg_quality": 100.0 if table is None else jpeg_quality(table),
            "lossless": 100.0 * (format in LOSSLESS),
        }
        return format, tuple(kind for kind, present in kinds.items() if present), numbers


def _shrunk(image: Image.Image, side: int) -> Image.Image:
    """``image`` with its shorter side shrunk to ``side``; never enlarged."""
    shorter = min(image.size)
    if shorter <= side:
        return image
    size = [max(side, round(length * side / shorter)) for length in image.size]
    return image.resize(size, Image.Resampling.LANCZOS, reducing_gap=3)


def _fingerprint(image: Image.Image) -> np.ndarray:
    """The perceptual hash of ``image``, (4,) uint64."""
    bits = imagehash.phash(image, hash_size=HASH_SIZE).hash
    return np.packbits(bits).view(np.uint64)
