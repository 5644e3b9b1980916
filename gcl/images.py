"""One image file: decoded to upright, opaque 8-bit RGB whatever it was, and saved as PNG without half-written files.

The content decides, not the suffix: a PNG named .jpg is read, a GIF or HEIC named .jpg is not.

| a file that holds | becomes |
| --- | --- |
| RGB of 8 bits (JPEG, PNG, WebP, BMP, TIFF) | its pixels |
| gray, black and white, 2 or 4 bits | three equal channels, black at 0 and white at 255 |
| a palette | the palette's colours |
| transparency: a channel, of a palette, one colour | laid on white |
| 16 bits a channel, gray or colour; 12-bit gray TIFF | scaled by 255/65535 (255/4095) and rounded |
| 16-bit gray with alpha (PNG), premultiplied alpha (TIFF) | its high bytes, at most one step off |
| 16-bit colours in separate planes (TIFF) | refused: Pillow misreads them |
| signed, 32-bit or floating-point pixels (TIFF) | refused: nothing says what is white |
| CMYK, YCCK; in JPEG inverted, as Adobe stores them | what the inks leave of white, unless a profile says how |
| YCbCr, Lab (TIFF) | converted |
| a colour profile that is not sRGB | converted to sRGB; where that is impossible, read as sRGB, with a remark |
| an EXIF or XMP orientation, 2 to 8 | turned and mirrored upright; damaged EXIF is passed over |
| several frames or pages (PNG, WebP, TIFF, MPO) | the first, with a remark |
| more than 178,956,970 pixels | refused, before anything is decoded |
| anything else, nothing, or only a part | refused with the reason |
"""

import re
import warnings
from io import BytesIO
from pathlib import Path
from threading import Lock

import numpy as np
from PIL import ExifTags, Image, ImageCms, ImageOps, UnidentifiedImageError

from gcl.errors import UserError
from gcl.files import write_whole

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF")
"""Of Pillow's decoders, those that a file may reach: among the others is one that starts programs."""

WARNING_FILTERS = Lock()
"""Python has one set of them for all threads."""

FIRST_FRAME = "several frames or pages, the first is used"
ODD_PROFILE = "a colour profile that does not fit, the colours are read as sRGB"
"""The remarks that :func:`decode` may make."""

DEEP_COLOURS = re.compile(r"(RGB|RGBX|RGBA|CMYK);16[LBN]")
"""Pillow's names for the layouts of 16-bit colours, which end in the byte order: little, big, native."""

OTHER_ORDER = {"L": "B", "B": "L", "N": "B"}

GRAY_STEP = {"L;2": 85, "L;4": 17}
"""How far two neighbouring grays of 2 and of 4 bits lie apart when they have become 8."""


class BadImageError(UserError):
    """A file that cannot be used as an image, and the reason."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(path, reason)
        self.path, self.reason = path, reason

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"


def list_images(folder: Path) -> list[Path]:
    """The image files directly in ``folder``, by name; hidden files and other suffixes are passed over."""
    return sorted(
        path
        for path in folder.iterdir()
        if path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and path.is_file()
    )


def read_rgb(path: Path) -> Image.Image:
    """The image at ``path`` as upright, opaque 8-bit RGB. Raises BadImageError."""
    return decode(path)[0]


def decode(path: Path) -> tuple[Image.Image, list[str]]:
    """Decodes ``path`` fully to upright, opaque 8-bit RGB, with remarks on what of the file that leaves out.

    Raises BadImageError for a file that is empty, truncated, no image, too large or not readable.
    """
    try:
        if not path.is_file():
            raise BadImageError(path, "no file, or a link to nothing")
        if path.stat().st_size == 0:
            raise BadImageError(path, "empty file")
        with WARNING_FILTERS, warnings.catch_warnings():
            # Of metadata that does not matter here, and of images large but below the limit.
            warnings.simplefilter("ignore")
            with Image.open(path, formats=FORMATS) as image:
                return _upright_rgb(image, path)
    except BadImageError:
        raise
    # Decoders raise whatever they stumble over in a damaged file.
    except Exception as error:
        raise BadImageError(path, _reason(error)) from error


def _reason(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        return "not an image that can be read; PNG, JPEG, WebP, BMP and TIFF can"
    if isinstance(error, Image.DecompressionBombError):
        return f"more than {2 * Image.MAX_IMAGE_PIXELS:,} pixels"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return f"cannot be decoded: {str(error) or type(error).__name__}"


def _upright_rgb(image: Image.Image, path: Path) -> tuple[Image.Image, list[str]]:
    # Loading forgets the layout.
    layout = _layout(image)
    image.load()
    remarks = [FIRST_FRAME] if getattr(image, "is_animated", False) else []
    opaque = _opaque(_eight_bits(image, layout, path))
    try:
        rgb = _to_srgb(opaque, image.info.get("icc_profile"))
    except (OSError, ImageCms.PyCMSError):
        rgb = opaque.convert("RGB")
        remarks.append(ODD_PROFILE)
    # Or a profile that no longer applies would be saved with the pixels.
    rgb.info.clear()
    rgb.getexif()[ExifTags.Base.Orientation] = image.getexif().get(ExifTags.Base.Orientation)
    ImageOps.exif_transpose(rgb, in_place=True)
    return rgb, remarks


def _layout(image: Image.Image) -> str:
    """Pillow's name for the order of bits and bytes in the file."""
    arguments = image.tile[0].args if image.tile else ""
    return str(arguments[0] if isinstance(arguments, tuple) and arguments else arguments)


def _eight_bits(image: Image.Image, layout: str, path: Path) -> Image.Image:
    """``image`` with 8 bits a channel and in a mode that Pillow converts from without loss."""
    tags = getattr(image, "tag_v2", {})
    if image.mode in ("I", "F"):
        reason = "signed, 32-bit or floating-point pixels have no fixed white; convert it to 8 or 16 bits"
        raise BadImageError(path, reason)
    if image.mode.startswith("I;16"):
        white = 4095 if tags.get(ExifTags.Base.BitsPerSample) == (12,) else 65535
        pixels = np.asarray(image)[..., None]
        white_is_zero = tags.get(ExifTags.Base.PhotometricInterpretation) == 0
        return _scaled(image, white - pixels if white_is_zero else pixels, white)
    if tags.get(ExifTags.Base.PlanarConfiguration) == 2 and max(tags[ExifTags.Base.BitsPerSample]) > 8:
        reason = "16-bit colours in separate planes cannot be read; save it with interleaved channels"
        raise BadImageError(path, reason)
    if DEEP_COLOURS.fullmatch(layout):
        return _scaled(image, np.asarray(image).astype(np.uint16) << 8 | _low_bytes(path), 65535)
    if layout in GRAY_STEP and "transparency" in image.info:
        # Pillow widens the pixels but not the one gray that is transparent.
        image.info["transparency"] *= GRAY_STEP[layout]
    return image


def _low_bytes(path: Path) -> np.ndarray:
    """Of 16-bit colours the low bytes (H, W, C): Pillow keeps the high ones, so it is told the wrong byte order."""
    with Image.open(path, formats=FORMATS) as image:
        image.tile = [tile._replace(args=_other_order(tile.args)) for tile in image.tile]
        return np.asarray(image)


def _other_order(arguments: str | tuple) -> tuple:
    layout, *others = (arguments,) if isinstance(arguments, str) else arguments
    return (layout[:-1] + OTHER_ORDER[layout[-1]], *others)


def _scaled(image: Image.Image, deep: np.ndarray, white: int) -> Image.Image:
    """``deep`` (H, W, C) from 0 ... ``white`` to 0 ... 255, what of it ``image`` calls transparent laid on white."""
    pixels = (deep.astype(np.float32) * 255 / white).round().astype(np.uint8)
    transparent = image.info.get("transparency")
    if transparent is not None:
        pixels[(deep == transparent).all(axis=-1)] = 255
    return Image.frombytes("L" if deep.shape[-1] == 1 else image.mode, image.size, pixels.tobytes())


def _opaque(image: Image.Image) -> Image.Image:
    """Any mode of 8 bits as L, RGB or CMYK, which colour profiles are for; transparency is laid on white."""
    gray = image.mode in ("1", "L", "LA")
    if image.has_transparency_data:
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image.convert("RGBA"))
    elif image.mode == "CMYK":
        return image.copy()
    return image.convert("L" if gray else "RGB")


def _to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """An image in mode L, RGB or CMYK as sRGB; OSError or PyCMSError if ``profile`` is damaged or for another mode."""
    if profile is None:
        return image.convert("RGB")
    source = ImageCms.ImageCmsProfile(BytesIO(profile))
    if ImageCms.getProfileDescription(source).startswith("sRGB"):
        return image.convert("RGB")
    if source.profile.xcolor_space == "RGB " and image.mode == "L":
        image = image.convert("RGB")
    return ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode="RGB")


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
