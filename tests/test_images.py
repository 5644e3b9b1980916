"""What every kind of image file becomes, pixel by pixel."""

import struct
from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image

from gcl.images.decoding import (
    ALPHA_BAND,
    FIRST_FRAME,
    NEARLY_BLACK,
    ODD_PROFILE,
    OTHER_BANDS,
    decode,
    read_rgb,
    save_png,
)
from tests.pictures import (
    bmp_of_16_bits,
    exif,
    gray,
    on_white,
    palette,
    png,
    profile,
    saved,
    tiff,
    tiff_of_12_bits,
    turned,
    without_adobe_marker,
    without_ink,
)

RANDOM = np.random.default_rng(0)
RGB = RANDOM.integers(0, 256, (7, 5, 3), dtype=np.uint8)
RGBA, CMYK = RANDOM.integers(0, 256, (2, 7, 5, 4), dtype=np.uint8)
L, LA, LATER = RGB[..., 0], RGBA[..., 2:], Image.fromarray(255 - RGB)
RAMP = np.linspace(40, 200, 16 * 24 * 3).reshape(16, 24, 3).astype(np.uint8)
"""Smooth, so that JPEG hardly changes it."""
RAMP_A = np.dstack([RAMP, RAMP[..., 0]])
BILEVEL, BITS = gray((L > 99) * np.uint8(255)), Image.fromarray((L > 99) * np.uint8(255)).convert("1")
PACKED, TWO_BITS = np.uint8([[0b00011011], [0b11100100]]), np.uint8([[0, 85, 170, 255], [255, 170, 85, 0]])
INDICES, PALETTE = L % 4, np.uint8([[255, 0, 0], [0, 255, 0], [0, 0, 255], [9, 8, 7]])
COLOURS, PAINTED, ALPHAS = PALETTE[INDICES], palette(INDICES, PALETTE), np.asarray([255, 128, 0, 255])
DEEP = RANDOM.integers(0, 65536, (7, 5, 4), dtype=np.uint16)
DEEP[0, 0] = [0x8000, 0x807F, 0xFF00, 0xFFFF]
SCALED = np.round(DEEP / 257).astype(np.uint8)
"""The first pixel is 128, 128, 254, 255; high bytes alone would be 255 for the third."""
DEEP_RGB, DEEP_L, DEEP_ON_WHITE = DEEP[..., :3], DEEP[..., 0], on_white(SCALED)
DIM, WHITE, DARK = DEEP_RGB >> 4, np.full((7, 5), 65535, np.uint16), (NEARLY_BLACK,)
DIM[0, 0] = 4095
DIMMED, PALE = np.round(DIM / 257), np.dstack([DIM, DIM[..., 0]])
DIM_L, DIMMED_L = DIM[..., 0], DIMMED[..., 0]
SWAPPED, PRIMARIES = profile("swapped"), np.uint8([[[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255]]])
INK = Image.new("CMYK", (8, 8), (0, 100, 200, 30))
FINE = {"quality": 100, "subsampling": 0}


def laid_on_white(pixels: np.ndarray, transparent: np.ndarray, result: np.ndarray) -> np.ndarray:
    """``result``, but white where ``pixels`` have the transparent colour."""
    return np.where((np.atleast_3d(pixels) == transparent).all(-1, keepdims=True), 255, result)


class Good(NamedTuple):
    """A file, what it must become, how far off a pixel may be, and the remarks."""

    kind: str
    suffix: str
    content: bytes
    pixels: np.ndarray
    tolerance: int = 0
    remarks: tuple[str, ...] = ()


GOOD = [
    Good("RGB", "png", saved(RGB, "PNG"), RGB),
    Good("RGB", "bmp", saved(RGB, "BMP"), RGB),
    Good("RGB", "webp", saved(RGB, "WEBP", lossless=True), RGB),
    Good("RGB", "tif", saved(RGB, "TIFF"), RGB),
    Good("RGB by LZW", "tiff", saved(RGB, "TIFF", compression="tiff_lzw"), RGB),
    Good("RGB in planes", "tif", tiff(RGB.transpose(2, 0, 1), photometric="rgb"), RGB),
    Good("RGB in tiles", "tif", tiff(RAMP, photometric="rgb", tile=(16, 16)), RAMP),
    Good("RGB", "jpg", saved(RAMP, "JPEG", **FINE), RAMP, 3),
    Good("RGB, progressive", "jpeg", saved(RAMP, "JPEG", **FINE, progressive=True), RAMP, 3),
    Good("RGB, lossy", "webp", saved(RAMP, "WEBP", quality=100), RAMP, 6),
    Good("gray", "png", saved(L, "PNG"), gray(L)),
    Good("gray", "bmp", saved(L, "BMP"), gray(L)),
    Good("gray", "tif", saved(L, "TIFF"), gray(L)),
    Good("gray", "jpg", saved(RAMP[..., 0], "JPEG", quality=100), gray(RAMP[..., 0]), 3),
    Good("gray, white is zero", "tif", tiff(255 - L, photometric="miniswhite"), gray(L)),
    Good("black and white", "png", saved(BITS, "PNG"), BILEVEL),
    Good("black and white", "bmp", saved(BITS, "BMP"), BILEVEL),
    Good("black and white, fax", "tif", saved(BITS, "TIFF", compression="group4"), BILEVEL),
    Good("2-bit gray", "png", png(PACKED, 2, 0), gray(TWO_BITS)),
    Good("4-bit gray", "png", png(PACKED, 4, 0), gray(np.uint8([[17, 187], [238, 68]]))),
    Good("palette", "png", saved(PAINTED, "PNG"), COLOURS),
    Good("palette", "bmp", saved(PAINTED, "BMP"), COLOURS),
    Good("palette", "tif", saved(PAINTED, "TIFF"), COLOURS),
    Good("alpha", "png", saved(RGBA, "PNG"), on_white(RGBA), 1),
    Good("alpha", "webp", saved(RGBA, "WEBP", lossless=True, exact=True), on_white(RGBA), 1),
    Good("alpha", "tif", saved(RGBA, "TIFF"), on_white(RGBA), 1, (ALPHA_BAND,)),
    Good("alpha and a profile", "tif", saved(RGBA, "TIFF", icc_profile=profile("sRGB")), on_white(RGBA), 1),
    Good("alpha without transparency", "tif", saved(RGBA | np.uint8([0, 0, 0, 255]), "TIFF"), RGBA[..., :3]),
    Good("a fourth band", "tif", tiff(RGBA, photometric="rgb", extrasamples=[0]), RGBA[..., :3], 0, (OTHER_BANDS,)),
    Good(
        "a fifth band",
        "tif",
        tiff(np.dstack([RGBA, L]), photometric="rgb", extrasamples=[2, 0]),
        on_white(RGBA),
        1,
        (OTHER_BANDS, ALPHA_BAND),
    ),
    Good("nothing but transparency", "png", saved(RGBA & np.uint8([255, 255, 255, 0]), "PNG"), np.full_like(RGB, 255)),
    Good("alpha without transparency", "png", saved(RGBA | np.uint8([0, 0, 0, 255]), "PNG"), RGBA[..., :3]),
    Good("gray with alpha", "png", saved(LA, "PNG"), on_white(LA), 1),
    Good("gray with alpha", "tif", saved(LA, "TIFF"), on_white(LA), 1),
    Good(
        "premultiplied alpha",
        "tif",
        tiff(np.full((3, 2, 4), [100, 50, 0, 100], np.uint8), photometric="rgb", extrasamples=["assocalpha"]),
        np.full((3, 2, 3), [255, 205, 155]),
        1,
        (ALPHA_BAND,),
    ),
    Good(
        "palette with a transparent colour",
        "png",
        saved(PAINTED, "PNG", transparency=2),
        laid_on_white(INDICES, 2, COLOURS),
    ),
    Good(
        "palette with alpha",
        "png",
        saved(PAINTED, "PNG", transparency=bytes(ALPHAS.tolist())),
        on_white(np.dstack([COLOURS, ALPHAS[INDICES]])),
        1,
    ),
    Good(
        "one transparent colour",
        "png",
        png(RGB, 8, 2, (b"tRNS", RGB[0, 0].astype(">u2").tobytes())),
        laid_on_white(RGB, RGB[0, 0], RGB),
    ),
    Good(
        "one transparent gray",
        "png",
        png(L, 8, 0, (b"tRNS", struct.pack(">H", L[0, 0]))),
        laid_on_white(L, L[0, 0], gray(L)),
    ),
    Good(
        "one transparent 2-bit gray",
        "png",
        png(PACKED, 2, 0, (b"tRNS", b"\0\1")),
        laid_on_white(TWO_BITS, 85, gray(TWO_BITS)),
    ),
    Good("16-bit gray", "png", png(DEEP_L, 16, 0), gray(SCALED[..., 0])),
    Good("16-bit gray, little-endian", "tif", tiff(DEEP_L, byteorder="<"), gray(SCALED[..., 0])),
    Good("16-bit gray, big-endian", "tif", tiff(DEEP_L, byteorder=">"), gray(SCALED[..., 0])),
    Good("16-bit gray, white is zero", "tif", tiff(65535 - DEEP_L, photometric="miniswhite"), gray(SCALED[..., 0])),
    Good(
        "one transparent 16-bit gray",
        "png",
        png(DEEP_L, 16, 0, (b"tRNS", b"\x80\0")),
        laid_on_white(DEEP_L, 0x8000, gray(SCALED[..., 0])),
    ),
    Good("12-bit gray", "tif", tiff_of_12_bits(DEEP_L[:, :4] >> 4), gray(np.round((DEEP_L[:, :4] >> 4) / 4095 * 255))),
    Good("16-bit RGB", "png", png(DEEP_RGB, 16, 2), SCALED[..., :3]),
    Good("16-bit RGB, little-endian", "tif", tiff(DEEP_RGB, photometric="rgb", byteorder="<"), SCALED[..., :3]),
    Good("16-bit RGB, big-endian", "tif", tiff(DEEP_RGB, photometric="rgb", byteorder=">"), SCALED[..., :3]),
    Good("16-bit RGB, packed", "tif", tiff(DEEP_RGB, photometric="rgb", compression="zlib"), SCALED[..., :3]),
    Good(
        "one transparent 16-bit colour",
        "png",
        png(DEEP_RGB, 16, 2, (b"tRNS", DEEP_RGB[0, 0].astype(">u2").tobytes())),
        laid_on_white(DEEP_RGB, DEEP_RGB[0, 0], SCALED[..., :3]),
    ),
    Good("16-bit alpha", "png", png(DEEP, 16, 6), DEEP_ON_WHITE, 1),
    Good("16-bit alpha", "tif", tiff(DEEP, photometric="rgb", extrasamples=[2]), DEEP_ON_WHITE, 1, (ALPHA_BAND,)),
    Good("12 bits in 16, gray", "png", png(DIM_L, 16, 0), gray(DIMMED_L), 0, DARK),
    Good("12 bits in 16, gray", "tif", tiff(DIM_L), gray(DIMMED_L), 0, DARK),
    Good("12 bits in 16, white is zero", "tif", tiff(65535 - DIM_L, photometric="miniswhite"), gray(DIMMED_L), 0, DARK),
    Good("12 bits in 16, RGB", "png", png(DIM, 16, 2), DIMMED, 0, DARK),
    Good("12 bits in 16, RGB", "tif", tiff(DIM, photometric="rgb"), DIMMED, 0, DARK),
    Good("12 bits in 16, alpha", "png", png(np.dstack([DIM, WHITE]), 16, 6), DIMMED, 1, DARK),
    Good("12 bits in 16, gray with alpha", "png", png(np.dstack([DIM_L, WHITE]), 16, 4), gray(DIMMED_L), 1, DARK),
    Good("12 bits of ink in 16", "tif", tiff(PALE, photometric="separated"), without_ink(np.round(PALE / 257)), 1),
    Good("more than 12 bits", "png", png(DIM + np.uint16(1), 16, 2), np.round((DIM + 1) / 257)),
    Good("dark colours of 16 bits a pixel", "bmp", bmp_of_16_bits(L % 2), gray(L % 2 * 8) * [0, 0, 1], 1),
    Good(
        "16 bits, 4 bands", "tif", tiff(DEEP, photometric="rgb", extrasamples=[0]), SCALED[..., :3], 0, (OTHER_BANDS,)
    ),
    Good("16-bit gray with alpha", "png", png(DEEP[..., :2], 16, 4), on_white(DEEP[..., :2] / 257), 2),
    Good("CMYK", "tif", saved(Image.frombytes("CMYK", (5, 7), CMYK.tobytes()), "TIFF"), without_ink(CMYK), 1),
    Good("16-bit CMYK", "tif", tiff(DEEP, photometric="separated"), without_ink(SCALED), 1),
    Good("CMYK of Adobe's", "jpg", saved(INK, "JPEG", quality=100), np.full((8, 8, 3), [225, 137, 49]), 2),
    Good(
        "CMYK of nobody's",
        "jpg",
        without_adobe_marker(saved(INK, "JPEG", quality=100)),
        np.full((8, 8, 3), [225, 137, 49]),
        2,
    ),
    Good("YCbCr", "tif", saved(Image.fromarray(RAMP).convert("YCbCr"), "TIFF"), RAMP, 2),
    Good("Lab", "tif", saved(Image.new("LAB", (4, 4), (128, 128, 128)), "TIFF"), np.full((4, 4, 3), 119), 1),
    Good(
        "Lab and its profile",
        "tif",
        saved(Image.new("LAB", (4, 4), (128, 128, 128)), "TIFF", icc_profile=profile("LAB")),
        np.full((4, 4, 3), 119),
        1,
    ),
    Good("profile of sRGB", "png", saved(RGB, "PNG", icc_profile=profile("sRGB")), RGB),
    Good("other profile", "png", saved(PRIMARIES, "PNG", icc_profile=SWAPPED), PRIMARIES[..., [1, 0, 2]], 1),
    Good("other profile", "tif", saved(PRIMARIES, "TIFF", icc_profile=SWAPPED), PRIMARIES[..., [1, 0, 2]], 1),
    Good(
        "other profile",
        "webp",
        saved(PRIMARIES, "WEBP", icc_profile=SWAPPED, lossless=True),
        PRIMARIES[..., [1, 0, 2]],
        1,
    ),
    Good(
        "other profile",
        "jpg",
        saved(Image.new("RGB", (8, 8), (255, 0, 0)), "JPEG", icc_profile=SWAPPED, **FINE),
        np.full((8, 8, 3), [0, 255, 0]),
        3,
    ),
    Good("profile of colours for grays", "png", saved(L, "PNG", icc_profile=SWAPPED), gray(L), 1),
    Good("unfit profile", "png", saved(RGB, "PNG", icc_profile=profile("LAB")), RGB, 0, (ODD_PROFILE,)),
    Good("damaged profile", "png", saved(RGB, "PNG", icc_profile=SWAPPED[:200]), RGB, 0, (ODD_PROFILE,)),
    *[Good(f"orientation {tag}", "png", saved(turned(RGB, tag), "PNG", exif=exif(tag)), RGB) for tag in range(1, 9)],
    Good("orientation 6", "tif", saved(turned(RGB, 6), "TIFF", exif=exif(6)), RGB),
    Good("orientation 7", "webp", saved(turned(RGB, 7), "WEBP", exif=exif(7), lossless=True), RGB),
    Good("orientation 8", "jpg", saved(turned(RAMP, 8), "JPEG", exif=exif(8), **FINE), RAMP, 3),
    Good(
        "orientation in XMP",
        "png",
        png(turned(RGB, 5), 8, 2, (b"iTXt", b'XML:com.adobe.xmp\0\0\0\0\0<x tiff:Orientation="5"/>')),
        RGB,
    ),
    Good(
        "orientation of 16-bit RGB",
        "png",
        png(turned(DEEP_RGB, 6), 16, 2, (b"eXIf", exif(6).tobytes().removeprefix(b"Exif\0\0"))),
        SCALED[..., :3],
    ),
    Good("orientation unheard of", "png", saved(RGB, "PNG", exif=exif(9)), RGB),
    Good("damaged EXIF", "jpg", saved(RAMP, "JPEG", exif=b"Exif\0\0MM\0*\xff\xff", **FINE), RAMP, 3),
    Good("frames", "png", saved(RGB, "PNG", save_all=True, append_images=[LATER]), RGB, 0, (FIRST_FRAME,)),
    Good(
        "frames",
        "webp",
        saved(RGB, "WEBP", save_all=True, append_images=[LATER], lossless=True),
        RGB,
        0,
        (FIRST_FRAME,),
    ),
    Good("pages", "tif", saved(RGB, "TIFF", save_all=True, append_images=[LATER]), RGB, 0, (FIRST_FRAME,)),
    Good("MPO", "jpg", saved(RAMP, "MPO", save_all=True, append_images=[LATER], **FINE), RAMP, 3, (FIRST_FRAME,)),
    Good("RGB", "jfif", saved(RAMP, "JPEG", **FINE), RAMP, 3),
    Good("RGB", "avif", saved(RAMP, "AVIF", quality=100, subsampling="4:4:4"), RAMP, 3),
    Good("alpha", "avif", saved(RAMP_A, "AVIF", quality=100, subsampling="4:4:4"), on_white(RAMP_A), 3),
    Good(
        "frames",
        "avif",
        saved(RAMP, "AVIF", save_all=True, append_images=[LATER.resize((24, 16))], quality=100),
        RAMP,
        6,
        (FIRST_FRAME,),
    ),
    *[
        Good(f"orientation {tag}", "avif", saved(turned(RAMP, tag), "AVIF", exif=exif(tag), quality=100), RAMP, 6)
        for tag in (3, 5, 6, 7)
    ],
    Good("palette", "gif", saved(PAINTED, "GIF"), COLOURS),
    Good("gray", "gif", saved(L, "GIF"), gray(L)),
    Good(
        "palette with a transparent colour",
        "gif",
        saved(PAINTED, "GIF", transparency=2),
        laid_on_white(INDICES, 2, COLOURS),
    ),
    Good("frames", "gif", saved(PAINTED, "GIF", save_all=True, append_images=[LATER]), COLOURS, 0, (FIRST_FRAME,)),
    Good("GIF by another name", "png", saved(PAINTED, "GIF"), COLOURS),
    Good("PNG by another name", "jpg", saved(RGB, "PNG"), RGB),
    Good("TIFF by another name", "bmp", saved(RGB, "TIFF"), RGB),
    Good("one pixel", "png", saved(RGB[:1, :1], "PNG"), RGB[:1, :1]),
    Good("one row", "bmp", saved(RGB[:1], "BMP"), RGB[:1]),
]


@pytest.mark.parametrize("file", GOOD, ids=lambda file: f"{file.kind}.{file.suffix}")
def test_a_good_file_becomes_these_pixels(tmp_path, file):
    path = tmp_path / f"image.{file.suffix}"
    path.write_bytes(file.content)
    image, remarks = decode(path)
    assert image.mode == "RGB"
    pixels = np.asarray(image).astype(int)
    assert pixels.shape == file.pixels.shape
    assert np.abs(pixels - file.pixels).max() <= file.tolerance
    assert tuple(remarks) == file.remarks
    save_png(image, tmp_path / "stored.png")
    assert np.array_equal(np.asarray(read_rgb(tmp_path / "stored.png")), pixels)
