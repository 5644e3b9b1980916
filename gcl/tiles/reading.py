"""Reads a picture of any size into a file of rows, upright and opaque, as :mod:`gcl.images.decoding` would decode it.

Pillow decodes whole pictures and refuses those of more than 178,956,970 pixels. libvips decodes row by row, and Pillow
converts what it decoded. libvips is given only what both decode alike:

| a file with | becomes |
| --- | --- |
| 8 bits, gray, RGB or a palette (PNG, JPEG, WebP, GIF, TIFF) | its pixels |
| 16 bits, gray or RGB (PNG, TIFF) | scaled by 255/65535 and rounded |
| an alpha channel (not of TIFF) | composited onto white; also a file of its own, if asked for and not opaque |
| a colour profile, an orientation, several frames | the same as in smaller pictures |
| anything else, such as CMYK, YCbCr in a TIFF, AVIF or BMP | what Pillow makes of it, if there is memory |

Interlaced PNGs, progressive JPEGs, WebP and GIF are held in memory by libvips too, 3 to 10 bytes per pixel.
So are two rows of a TIFF's tiles, a compressed strip, or a strip of separate planes twice.
"""

import logging
import os
import re
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyvips
from PIL import ExifTags, Image, ImageCms, ImageFile, JpegImagePlugin, PngImagePlugin, TiffImagePlugin

from gcl.images.decoding import (
    BRIGHTEST_OF_12_BITS,
    FIRST_FRAME,
    FORMATS,
    NEARLY_BLACK,
    ODD_PROFILE,
    WARNING_FILTERS,
    BadImageError,
    decode,
    decode_with_alpha,
    to_srgb,
)
from gcl.tiles.turning import TURNS, turn
from gcl.tiles.writing import naming

logging.getLogger("pyvips").propagate = False
# Its cache would keep files open and their pixels in memory.
pyvips.cache_set_max(0)
# The content decides on the decoder, so an SVG named .png would reach one that nobody expects.
pyvips.block_untrusted_set(True)

DECODED = 48
"""The bytes per pixel that decoding with Pillow may take; 16-bit colours take the most."""

MOST_PIXELS = 2 * Image.MAX_IMAGE_PIXELS
"""Pictures with more pixels are refused by Pillow."""

NOT_STREAMED = (
    f"more than {MOST_PIXELS:,} pixels, and of a kind that is not read row by row; save it as gray or RGB with 8 or 16 "
    "bits per channel"
)

STRIP = 2**22
"""The bytes of pixels that are read at once."""

LOADERS = ("pngload_source", "jpegload_source", "webpload_source", "gifload_source", "tiffload_source")
"""libvips' decoders that may read a file."""

PARSERS = {
    "pngload_source": PngImagePlugin.PngImageFile,
    "jpegload_source": JpegImagePlugin.jpeg_factory,
    "tiffload_source": TiffImagePlugin.TiffImageFile,
}
"""What reads a header as Pillow sees it, without Pillow's limit of pixels, by libvips' decoder of the same file."""

YCBCR, UNCOMPRESSED, JPEG_IN_TIFF, SEPARATE_PLANES = 6, 1, 7, 2
"""TIFF's codes for colours, compressions and a layout."""

ORIENTATION_IN_XMP = re.compile(rb'tiff:Orientation(?:="|>)([1-8])')


class Header(NamedTuple):
    """What a file says of its picture.

    Attributes:
        height, width: the upright size.
        is_streamed: whether libvips reads it row by row, rather than Pillow as a whole.
        memory: the bytes that decoding it takes.
    """

    height: int
    width: int
    is_streamed: bool
    memory: int

    @property
    def pixels(self) -> int:
        return self.height * self.width


def header(path: Path) -> Header:
    """What ``path`` says of its picture, without decoding it. Raises BadImageError."""
    try:
        image = _opened(path)
        tags = _parsed(path, image).tag_v2 if image.get("vips-loader") == "tiffload_source" else {}
        if _is_plain(image, tags):
            return _header(image, _orientation(image), is_streamed=True, memory=_held(image, tags))
    except Exception:
        pass  # Pillow reads more kinds, and tells what is wrong
    with WARNING_FILTERS, warnings.catch_warnings(action="ignore"):
        try:
            with Image.open(path, formats=FORMATS) as image:
                # The size of a TIFF with this tag is upright already.
                is_upright = ExifTags.Base.Orientation in getattr(image, "tag_v2", {})
                orientation = 1 if is_upright else image.getexif().get(ExifTags.Base.Orientation, 1)
                return _header(image, orientation, is_streamed=False, memory=DECODED * image.width * image.height)
        except Image.DecompressionBombError as error:
            raise BadImageError(path, NOT_STREAMED) from error
        except Exception:
            pass
    decode(path)  # tells what is wrong
    raise BadImageError(path, "its size cannot be read")


def _opened(path: Path) -> pyvips.Image:
    """The picture as libvips will decode it, once; by a descriptor, since pyvips takes no names that are not UTF-8."""
    with path.open("rb") as stream:
        source = pyvips.Source.new_from_descriptor(stream.fileno())
    options = {"access": "sequential", "fail_on": "error"}
    image = pyvips.Image.new_from_source(source, "", **options)
    # Otherwise no strip or tile of a TIFF may have more than 50 MiB.
    is_tiff = image.get("vips-loader") == "tiffload_source"
    return pyvips.Image.tiffload_source(source, unlimited=True, **options) if is_tiff else image


def _header(image: pyvips.Image | Image.Image, orientation: int, is_streamed: bool, memory: int) -> Header:
    sideways = TURNS.get(orientation, TURNS[1])[0]
    height, width = (image.width, image.height) if sideways else (image.height, image.width)
    return Header(height, width, is_streamed, memory)


def _held(image: pyvips.Image, tags: Mapping) -> int:
    """The bytes that libvips holds at once while it decodes ``image``, a TIFF of these ``tags``, besides a few rows."""
    fields, stored = image.get_fields(), image.bands * (2 if image.format == "ushort" else 1)
    match image.get("vips-loader"):
        case "pngload_source":
            each = stored if "interlaced" in fields else 0
        case "jpegload_source":
            each = 2 * stored if "jpeg-multiscan" in fields else 0
        case "tiffload_source":
            return _held_of_tiff(image.height, image.width * stored, stored, tags)
        case _:
            each = 2 * (stored + 1)
    return each * image.width * image.height


def _held_of_tiff(height: int, row: int, pixel: int, tags: Mapping) -> int:
    """The same, as it was measured, for a TIFF with so many bytes in a row and in a pixel."""
    if ExifTags.Base.TileLength in tags:
        # Two rows of tiles, each up to a tile wider than the picture, and one tile.
        return tags[ExifTags.Base.TileLength] * (2 * row + 3 * pixel * tags[ExifTags.Base.TileWidth])
    if tags.get(ExifTags.Base.PlanarConfiguration) == SEPARATE_PLANES:
        return 2 * row * min(height, tags.get(ExifTags.Base.RowsPerStrip, height))
    # A strip is decoded row by row.
    is_compressed = tags.get(ExifTags.Base.Compression, UNCOMPRESSED) != UNCOMPRESSED
    return max(tags.get(ExifTags.Base.StripByteCounts, (0,))) if is_compressed else 0


def _is_plain(image: pyvips.Image, tags: Mapping) -> bool:
    """Whether libvips decodes ``image``, a TIFF if there are ``tags``, as Pillow would."""
    is_known = image.get("vips-loader") in LOADERS and image.format in ("uchar", "ushort") and image.bands <= 4
    # A fourth band of a TIFF may be anything, and its colours may be multiplied by it.
    is_odd = bool(tags) and image.hasalpha()
    # libvips takes YCbCr for RGB unless JPEG's decoder has converted it.
    is_ycbcr = tags.get(ExifTags.Base.PhotometricInterpretation) == YCBCR
    is_odd |= is_ycbcr and tags.get(ExifTags.Base.Compression) != JPEG_IN_TIFF
    return is_known and image.interpretation in ("srgb", "b-w", "rgb16", "grey16") and not is_odd


def _parsed(path: Path, image: pyvips.Image) -> ImageFile.ImageFile:
    """The header of a PNG, JPEG or TIFF as Pillow sees it; the file is closed. May raise any exception."""
    with WARNING_FILTERS, warnings.catch_warnings(action="ignore"):
        with PARSERS[image.get("vips-loader")](path) as parsed:
            return parsed


def read_rows(path: Path, colours: Path, alpha: Path | None, is_streamed: bool) -> list[str]:
    """Decodes ``path`` into the file ``colours``, uint8 (H, W, 3), and returns the remarks of :func:`decode`.

    Where an ``alpha`` file is asked for, it is written too, (H, W), unless all of it is 255. Raises BadImageError,
    or OSError if there is no room for the files.
    """
    with naming(colours):
        return (_read_by_rows if is_streamed else _read_as_a_whole)(path, colours, alpha)


def _read_by_rows(path: Path, colours: Path, alpha: Path | None) -> list[str]:
    try:
        image = _opened(path)
        remarks = _stream(image, _has_frames(image, path), colours, alpha if image.hasalpha() else None)
        orientation = _orientation(image)
    except pyvips.Error as error:
        lines = [line.strip() for line in str(error).splitlines()]
        raise BadImageError(path, f"cannot be decoded: {lines[-1]}") from error
    for file, bands in ((colours, 3), (alpha, 1)):
        if orientation != 1 and file and file.exists():
            turn(file, image.height, image.width, bands, orientation)
    return remarks


def _read_as_a_whole(path: Path, colours: Path, alpha: Path | None) -> list[str]:
    image, transparency, remarks = decode_with_alpha(path)
    about = header(path)
    if image.size != (about.width, about.height):
        told = f"its header tells {about.width} x {about.height} pixels, but it has {image.width} x {image.height}"
        raise BadImageError(path, told)
    for file, pixels in ((colours, image), (alpha, transparency)):
        if file and pixels:
            with file.open("wb") as stream:
                rows = max(1, STRIP // (3 * image.width))
                for top in range(0, image.height, rows):
                    stream.write(np.asarray(pixels.crop((0, top, image.width, min(top + rows, image.height)))))
    return remarks


def _orientation(image: pyvips.Image) -> int:
    """The orientation 1 ... 8 in the EXIF or XMP data."""
    fields = image.get_fields()
    if "orientation" in fields:
        orientation = image.get("orientation")
        return orientation if orientation in TURNS else 1
    found = ORIENTATION_IN_XMP.search(image.get("xmp-data")) if "xmp-data" in fields else None
    return int(found[1]) if found else 1


def _has_frames(image: pyvips.Image, path: Path) -> bool:
    if "n-pages" in image.get_fields():
        return image.get("n-pages") > 1
    try:
        # libvips knows nothing of animated PNGs and of several pictures in a JPEG.
        return getattr(_parsed(path, image), "is_animated", False)
    except Exception:
        return False  # a header that only libvips reads


def _stream(image: pyvips.Image, has_frames: bool, colours: Path, alpha: Path | None) -> list[str]:
    """Writes the stored rows of ``image`` as they are, not turned; returns the remarks."""
    fields = image.get_fields()
    remarks = {FIRST_FRAME: has_frames}
    profile = image.get("icc-profile-data") if "icc-profile-data" in fields else None
    brightest, least_opaque = 0, 255
    with colours.open("wb") as stream, (alpha or Path(os.devnull)).open("wb") as alpha_stream:
        for strip in _strips(image):
            if strip.dtype == np.uint16:
                brightest = max(brightest, int(strip[..., :3].max()))
                strip = (strip.astype(np.float32) * 255 / 65535).round().astype(np.uint8)
            pixels = Image.fromarray(strip[..., 0] if image.bands == 1 else strip)
            if image.hasalpha():
                least_opaque = min(least_opaque, int(strip[..., -1].min()))
                alpha_stream.write(strip[..., -1].tobytes())
                on_white = Image.alpha_composite(Image.new("RGBA", pixels.size, "white"), pixels.convert("RGBA"))
                pixels = on_white.convert("L" if image.bands == 2 else "RGB")
            try:
                rgb = to_srgb(pixels, profile)
            except (OSError, ImageCms.PyCMSError):
                rgb, remarks[ODD_PROFILE] = pixels.convert("RGB"), True
            stream.write(np.asarray(rgb))
    if alpha and least_opaque == 255:
        alpha.unlink()
    remarks[NEARLY_BLACK] = image.format == "ushort" and brightest <= BRIGHTEST_OF_12_BITS
    return [remark for remark, applies in remarks.items() if applies]


def _strips(image: pyvips.Image) -> Iterator[np.ndarray]:
    """The rows of ``image`` from top to bottom, (rows, W, bands) uint8 or uint16."""
    region, kind = pyvips.Region.new(image), {"uchar": np.uint8, "ushort": np.uint16}[image.format]
    rows = max(1, STRIP // (16 * image.width))  # four float32 a pixel
    for top in range(0, image.height, rows):
        count = min(rows, image.height - top)
        fetched = region.fetch(0, top, image.width, count)
        yield np.frombuffer(fetched, kind).reshape(count, image.width, image.bands)
