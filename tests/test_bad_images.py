"""The messages about files that cannot be used as images."""

import os
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from gcl.images.decoding import BadImageError, decode, read_rgb, save_png
from tests.pictures import png, png_header, png_of, saved, tiff

RANDOM = np.random.default_rng(0)
RGB, LARGE = RANDOM.integers(0, 256, (7, 5, 3), dtype=np.uint8), RANDOM.integers(0, 256, (90, 80, 3), dtype=np.uint8)
L = RGB[..., 0]

UNREADABLE = "not an image that can be read; PNG, JPEG, WebP, AVIF, GIF, BMP and TIFF can"
HEIC = "a HEIC image, which cannot be read; convert it to JPEG or PNG"
NO_WHITE = "pixels: signed, 32-bit or floating-point pixels have no fixed white; convert the image to 8 or 16 bits"
BOMB = "more than 178,956,970 pixels"


def layout(told: str) -> str:
    """The message about a TIFF with a layout that Pillow does not know."""
    return f"a TIFF of {told} cannot be read; save it as gray or RGB with 8 or 16 bits per channel"


BAD = {
    "empty.jpg": (b"", "empty file"),
    "text.jpg": (b"this is no picture", UNREADABLE),
    "web page.png": (b"<!DOCTYPE html><title>404</title>", UNREADABLE),
    "noise.webp": (RANDOM.bytes(999), UNREADABLE),
    "zeros.tif": (bytes(999), UNREADABLE),
    "EPS.jpg": (saved(RGB, "EPS"), UNREADABLE),
    "PDF.jpg": (saved(RGB, "PDF"), UNREADABLE),
    "ICO.png": (saved(Image.fromarray(LARGE), "ICO"), UNREADABLE),
    "HEIC.jpg": (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(99), HEIC),
    "SVG.png": (b'<svg xmlns="http://www.w3.org/2000/svg"/>', UNREADABLE),
    "only a signature.png": (b"\x89PNG\r\n\x1a\n", UNREADABLE),
    "truncated header.jpg": (saved(LARGE, "JPEG")[:100], "cannot be decoded: Truncated File Read"),
    "truncated.png": (saved(LARGE, "PNG")[:9000], "cannot be decoded: image file is truncated"),
    "truncated.jpg": (saved(LARGE, "JPEG", quality=100)[:5000], "cannot be decoded: image file is truncated"),
    "truncated.webp": (
        saved(LARGE, "WEBP", lossless=True)[:9000],
        "cannot be decoded: could not create decoder object",
    ),
    "truncated.gif": (saved(LARGE, "GIF")[:5000], "cannot be decoded: image file is truncated"),
    "truncated.avif": (saved(LARGE, "AVIF")[:5000], UNREADABLE),
    "truncated.bmp": (saved(LARGE, "BMP")[:9000], "cannot be decoded: image file is truncated"),
    "truncated.tif": (tiff(LARGE, photometric="rgb")[:-9000], "cannot be decoded: image file is truncated"),
    "truncated, index last.tif": (saved(LARGE, "TIFF", compression="tiff_lzw")[:-9000], UNREADABLE),
    "no pixels.png": (png_of(png_header(0, 5), (b"IDAT", zlib.compress(b""))), UNREADABLE),
    "damaged pixels.png": (png_of(png_header(5, 5), (b"IDAT", b"no zlib")), "cannot be decoded: broken data stream"),
    "damaged checksum.png": (saved(RGB, "PNG").replace(b"IHDR\0", b"IHDR\1", 1), UNREADABLE),
    "text bomb.png": (png(RGB, 8, 2, (b"zTXt", b"k\0\0" + zlib.compress(bytes(1 << 22)))), "too large"),
    "bomb.png": (png_of(png_header(20_000, 20_000), (b"IDAT", zlib.compress(bytes(99)))), BOMB),
    "bomb.bmp": (saved(RGB, "BMP")[:18] + struct.pack("<ii", 30_000, 30_000) + saved(RGB, "BMP")[26:], BOMB),
    "float.tif": (tiff(L.astype(np.float32)), f"1 band of 32-bit floating-point {NO_WHITE}"),
    "32 bits.tif": (tiff(L.astype(np.uint32)), f"1 band of 32-bit {NO_WHITE}"),
    "signed.tif": (tiff(L.astype(np.int16)), f"1 band of 16-bit signed {NO_WHITE}"),
    "16-bit RGB in planes.tif": (
        tiff(np.zeros((3, 7, 5), np.uint16), photometric="rgb"),
        "3 bands of 16-bit pixels in separate planes cannot be read; save it with interleaved channels",
    ),
    "double.tif": (tiff(L.astype(np.float64)), layout("1 band of 64-bit floating-point pixels")),
    "float RGB.tif": (
        tiff(RGB.astype(np.float32), photometric="rgb"),
        layout("3 bands of 32-bit floating-point pixels"),
    ),
    "BigTIFF.tif": (
        tiff(np.zeros((7, 5, 4), np.float32), photometric="rgb", bigtiff=True),
        layout("4 bands of 32-bit floating-point pixels"),
    ),
    "five channels.tif": (
        tiff(np.zeros((7, 5, 5), np.uint8), photometric=1, planarconfig=1),
        layout("5 bands of 8-bit pixels"),
    ),
    "five planes.tif": (
        tiff(np.zeros((5, 7, 5), np.int16), photometric=1, planarconfig=2),
        "cannot be decoded: unknown raw mode for given image mode (a TIFF of 5 bands of 16-bit signed pixels in"
        " separate planes)",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_is_refused_with_the_reason(tmp_path, name, recwarn):
    content, reason = BAD[name]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(BadImageError) as error:
        decode(tmp_path / name)
    assert reason in error.value.reason
    assert str(error.value) == f"{tmp_path / name}: {error.value.reason}"
    assert not recwarn.list


@pytest.mark.parametrize("kind", ["folder", "link to nothing", "link to itself", "pipe", "missing"])
def test_what_is_no_file_is_refused(tmp_path, kind):
    path = tmp_path / "image.png"
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind.startswith("link"):
        path.symlink_to(path if kind == "link to itself" else tmp_path / "nowhere")
    with pytest.raises(BadImageError, match=r"image\.png: not a file, or a broken link$"):
        decode(path)


def test_a_file_that_may_not_be_read_is_refused(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied", "secret.png")

    save_png(RGB, tmp_path / "secret.png")
    monkeypatch.setattr(Image, "open", refuse)
    with pytest.raises(BadImageError, match=r"secret\.png: Permission denied$"):
        decode(tmp_path / "secret.png")


def test_large_images_below_the_limit_pass_without_a_warning(tmp_path, monkeypatch, recwarn):
    save_png(RGB, tmp_path / "large.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 20)
    assert np.array_equal(np.asarray(read_rgb(tmp_path / "large.png")), RGB)
    assert not recwarn.list
