"""Makes image files as bytes, including kinds that no single library writes, and the pixels that they must become."""

import struct
import zlib
from io import BytesIO

import numpy as np
import tifffile
from PIL import Image, ImageCms


def saved(pixels: np.ndarray | Image.Image, format: str, **options) -> bytes:
    """An image file written by Pillow."""
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    stream = BytesIO()
    image.save(stream, format=format, **options)
    return stream.getvalue()


def tiff(pixels: np.ndarray, **options) -> bytes:
    """A TIFF written by tifffile."""
    stream = BytesIO()
    tifffile.imwrite(stream, pixels, **options)
    return stream.getvalue()


def tiff_of_12_bits(pixels: np.ndarray) -> bytes:
    """A gray TIFF that packs two pixels into three bytes."""
    height, width = pixels.shape
    nibbles = np.stack([pixels >> 8, pixels >> 4 & 15, pixels & 15], axis=-1).reshape(-1, 2)
    data = (nibbles[:, 0] << 4 | nibbles[:, 1]).astype(np.uint8).tobytes()
    tags = {256: width, 257: height, 258: 12, 259: 1, 262: 1, 273: 122, 277: 1, 278: height, 279: len(data)}
    fields = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + fields + bytes(4) + data


def bmp_of_16_bits(pixels: np.ndarray) -> bytes:
    """A BMP in which a pixel is one number with five bits of red, six of green and five of blue."""
    height, width = pixels.shape
    rows = np.zeros((height, width + width % 2), "<u2")
    rows[::-1, :width] = pixels
    data, masks = rows.tobytes(), struct.pack("<III", 0xF800, 0x07E0, 0x001F)
    header = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 16, 3, len(data), 0, 0, 0, 0)
    return b"BM" + struct.pack("<IHHI", 66 + len(data), 0, 0, 66) + header + masks + data


def png(pixels: np.ndarray, bits: int, colour_type: int, *chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG of packed rows, with ``chunks`` before the data."""
    rows = pixels.astype(">u2") if bits == 16 else pixels
    data = zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))
    width = pixels.shape[1] * 8 // bits if bits < 8 else pixels.shape[1]
    header = png_header(width, len(pixels), bits, colour_type)
    return png_of(header, *chunks, (b"IDAT", data))


def png_header(width: int, height: int, bits: int = 8, colour_type: int = 2) -> tuple[bytes, bytes]:
    """The first chunk of a PNG."""
    return b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colour_type, 0, 0, 0)


def png_of(*chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG of these chunks, valid or not, and the closing chunk."""
    parts = [
        struct.pack(">I", len(data)) + tag + data + struct.pack(">I", zlib.crc32(tag + data))
        for tag, data in (*chunks, (b"IEND", b""))
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def palette(indices: np.ndarray, colours: np.ndarray) -> Image.Image:
    """An image whose pixels are indices of ``colours``."""
    image = Image.new("P", indices.shape[::-1])
    image.putdata(indices.reshape(-1).tolist())
    image.putpalette(colours.reshape(-1).tolist())
    return image


def without_adobe_marker(jpeg: bytes) -> bytes:
    """The JPEG without the marker that says that it follows Adobe's conventions."""
    start = jpeg.index(b"\xff\xee")
    return jpeg[:start] + jpeg[start + 2 + int.from_bytes(jpeg[start + 2 : start + 4], "big") :]


def exif(orientation: int) -> Image.Exif:
    """EXIF data with nothing but an orientation."""
    tags = Image.Exif()
    tags[0x0112] = orientation
    return tags


def turned(upright: np.ndarray, orientation: int) -> np.ndarray:
    """``upright`` as a camera held in this ``orientation`` stores it, by EXIF's definition of row 0 and column 0."""
    rows, columns = upright.shape[:2]
    row, column = np.mgrid[:rows, :columns]
    right, bottom = columns - 1 - column, rows - 1 - row
    stored_row, stored_column = {
        1: (row, column),
        2: (row, right),
        3: (bottom, right),
        4: (bottom, column),
        5: (column, row),
        6: (right, row),
        7: (right, bottom),
        8: (column, bottom),
    }[orientation]
    stored = np.empty((columns, rows, *upright.shape[2:]) if orientation > 4 else upright.shape, upright.dtype)
    stored[stored_row, stored_column] = upright
    return stored


def profile(name: str) -> bytes:
    """A colour profile; "swapped" is sRGB with red and green exchanged."""
    if name != "swapped":
        return ImageCms.ImageCmsProfile(ImageCms.createProfile(name)).tobytes()
    renamed = profile("sRGB").replace("sRGB".encode("utf-16-be"), "swap".encode("utf-16-be"))
    return renamed.replace(b"rXYZ", b"????").replace(b"gXYZ", b"rXYZ").replace(b"????", b"gXYZ")


def gray(pixels: np.ndarray) -> np.ndarray:
    """Repeats pixels (H, W) as (H, W, 3)."""
    return np.repeat(pixels[..., None], 3, axis=2)


def on_white(pixels: np.ndarray) -> np.ndarray:
    """Lays pixels (H, W, C), whose last channel is alpha 0 ... 255, on white: (H, W, 3)."""
    colours, alpha = pixels[..., :-1], pixels[..., -1:] / 255
    return np.broadcast_to(np.round(colours * alpha + 255 * (1 - alpha)), (*pixels.shape[:2], 3))


def without_ink(cmyk: np.ndarray) -> np.ndarray:
    """The colours of inks 0 ... 255 on white paper, for files without a colour profile."""
    return np.round((255 - cmyk[..., :3].astype(float)) * (255 - cmyk[..., 3:].astype(float)) / 255)
