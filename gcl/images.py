"""Image files: listing, decoding to oriented 8-bit RGB, and saving as PNG without half-written files."""

import struct
import zlib
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from gcl.errors import UserError
from gcl.files import write_whole

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")


class BadImageError(UserError):
    """A file that cannot be used as an image; the message names the file and the reason."""


def list_images(folder: Path) -> list[Path]:
    """The image files directly in ``folder``, by name; hidden files and other suffixes are passed over."""
    return sorted(
        path
        for path in folder.iterdir()
        if path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and path.is_file()
    )


def read_rgb(path: Path) -> Image.Image:
    """Decodes ``path`` fully, turns it upright by its EXIF orientation and converts it to 8-bit RGB.

    Raises BadImageError for a file that is empty, truncated, no image or not readable.
    """
    try:
        with Image.open(path) as image:
            image.load()
            return _to_rgb(ImageOps.exif_transpose(image))
    except UnidentifiedImageError as error:
        raise BadImageError(f"{path}: not an image that can be read") from error
    except (OSError, SyntaxError, ValueError, TypeError, IndexError, EOFError, struct.error, zlib.error) as error:
        raise BadImageError(f"{path}: {error}") from error
    except Image.DecompressionBombError as error:
        raise BadImageError(f"{path}: {error}") from error


def _to_rgb(image: Image.Image) -> Image.Image:
    """Any mode as 8-bit RGB: 16-bit gray is scaled, transparency is laid on white."""
    if image.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(image, dtype=np.float32) / 257).round().astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image.convert("RGBA")).convert("RGB")
    return image.convert("RGB")


def check_stems(images: list[Path]) -> None:
    """UserError if two of ``images`` would become the same PNG."""
    by_stem: dict[str, Path] = {}
    for path in images:
        other = by_stem.setdefault(path.stem, path)
        if other is not path:
            raise UserError(
                f"{path.parent}: {other.name} and {path.name} would both become {path.stem}.png; rename one"
            )


def save_png(pixels: Image.Image | np.ndarray, path: Path) -> None:
    """Writes ``pixels`` (an image, or (H, W[, 3]) uint8) to ``path`` at once: never a part of a file."""
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    encoded = BytesIO()
    image.save(encoded, format="PNG")
    write_whole(path, encoded.getvalue())
