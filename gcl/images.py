"""Image files: listing, decoding to oriented 8-bit RGB, and saving as PNG without half-written files."""

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
            return ImageOps.exif_transpose(image).convert("RGB")
    except UnidentifiedImageError as error:
        raise BadImageError(f"{path}: not an image that can be read") from error
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise BadImageError(f"{path}: {error}") from error


def save_png(pixels: Image.Image | np.ndarray, path: Path) -> None:
    """Writes ``pixels`` (an image, or (H, W[, 3]) uint8) to ``path`` at once: never a part of a file."""
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    encoded = BytesIO()
    image.save(encoded, format="PNG")
    write_whole(path, encoded.getvalue())
