"""What is said of files that cannot be used as images."""

import os
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from gcl.images import BadImageError, decode, read_rgb, save_png
from tests.pictures import png, png_header, png_of, saved, tiff

RANDOM = np.random.default_rng(0)
RGB, LARGE = RANDOM.integers(0, 256, (7, 5, 3), dtype=np.uint8), RANDOM.integers(0, 256, (90, 80, 3), dtype=np.uint8)
L = RGB[..., 0]

UNREADABLE = "not an image that can be read; PNG, JPEG, WebP, BMP and TIFF can"
NO_WHITE = "signed, 32-bit or floating-point pixels have no fixed white; convert it to 8 or 16 bits"
IN_PLANES = "16-bit colours in separate planes cannot be read; save it with interleaved channels"
BOMB = "more than 178,956,970 pixels"

BAD = {
    "empty.jpg": (b"", "empty file"),
    "text.jpg": (b"this is no picture", UNREADABLE),
    "web page.png": (b"<!DOCTYPE html><title>404</title>", UNREADABLE),
    "noise.webp": (RANDOM.bytes(999), UNREADABLE),
    "zeros.tif": (bytes(999), UNREADABLE),
    "GIF.png": (saved(RGB, "GIF"), UNREADABLE),
    "EPS.jpg": (saved(RGB, "EPS"), UNREADABLE),
    "PDF.jpg": (saved(RGB, "PDF"), UNREADABLE),
    "AVIF.jpg": (saved(RGB, "AVIF"), UNREADABLE),
    "HEIC.jpg": (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(99), UNREADABLE),
    "SVG.png": (b'<svg xmlns="http://www.w3.org/2000/svg"/>', UNREADABLE),
    "only a signature.png": (b"\x89PNG\r\n\x1a\n", UNREADABLE),
    "truncated header.jpg": (saved(LARGE, "JPEG")[:100], "cannot be decoded: Truncated File Read"),
    "truncated.png": (saved(LARGE, "PNG")[:9000], "cannot be decoded: image file is truncated"),
    "truncated.jpg": (saved(LARGE, "JPEG", quality=100)[:5000], "cannot be decoded: image file is truncated"),
    "truncated.webp": (
        saved(LARGE, "WEBP", lossless=True)[:9000],
        "cannot be decoded: could not create decoder object",
    ),
    "truncated.bmp": (saved(LARGE, "BMP")[:9000], "cannot be decoded: image file is truncated"),
    "truncated.tif": (tiff(LARGE, photometric="rgb")[:-9000], "cannot be decoded: image file is truncated"),
    "truncated, index last.tif": (saved(LARGE, "TIFF", compression="tiff_lzw")[:-9000], UNREADABLE),
    "no pixels.png": (png_of(png_header(0, 5), (b"IDAT", zlib.compress(b""))), UNREADABLE),
    "damaged pixels.png": (png_of(png_header(5, 5), (b"IDAT", b"no zlib")), "cannot be decoded: broken data stream"),
    "damaged checksum.png": (saved(RGB, "PNG").replace(b"IHDR\0", b"IHDR\1", 1), UNREADABLE),
    "text bomb.png": (png(RGB, 8, 2, (b"zTXt", b"k\0\0" + zlib.compress(bytes(1 << 22)))), "too large"),
    "bomb.png": (png_of(png_header(20_000, 20_000), (b"IDAT", zlib.compress(bytes(99)))), BOMB),
    "bomb.bmp": (saved(RGB, "BMP")[:18] + struct.pack("<ii", 30_000, 30_000) + saved(RGB, "BMP")[26:], BOMB),
    "float.tif": (tiff(L.astype(np.float32)), NO_WHITE),
    "double.tif": (tiff(L.astype(np.float64)), UNREADABLE),
    "float RGB.tif": (tiff(RGB.astype(np.float32), photometric="rgb"), UNREADABLE),
    "32 bits.tif": (tiff(L.astype(np.uint32)), NO_WHITE),
    "signed.tif": (tiff(L.astype(np.int16)), NO_WHITE),
    "16-bit RGB in planes.tif": (tiff(np.zeros((3, 7, 5), np.uint16), photometric="rgb"), IN_PLANES),
    "five channels.tif": (tiff(np.zeros((7, 5, 5), np.uint8), photometric=1, planarconfig=1), UNREADABLE),
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
    with pytest.raises(BadImageError, match=r"image\.png: no file, or a link to nothing$"):
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
