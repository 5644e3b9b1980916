"""Large pictures as files: read row by row as Pillow decodes them, written without metadata, and never half."""

import os
import resource
import shutil
import signal
import struct
import subprocess
import sys
import time
from collections import namedtuple
from contextlib import contextmanager

import numpy as np
import pytest
import pyvips
import tifffile
import torch
from PIL import Image

from gcl.errors import UserError
from gcl.images.decoding import BadImageError, decode
from gcl.tiles import reading, writing
from gcl.tiles.memory import free_in_groups
from gcl.tiles.reading import header, read_rows
from gcl.tiles.translation import LargePictures
from gcl.tiles.turning import TURNS
from gcl.tiles.writing import RowFile, encode
from tests.models import save_model, small_generator
from tests.pictures import exif, on_white, palette, png, png_header, png_of, profile, saved, tiff, turned, without_ink
from tests.project import ROOT

IN_TILES = 70_000_000
"""Bytes with which a small picture goes in tiles."""

random = np.random.default_rng(0)
RGBA = random.integers(0, 256, (37, 53, 4), dtype=np.uint8)
RGB, GRAY = RGBA[..., :3].copy(), RGBA[..., 0].copy()
SMOOTH = np.asarray(Image.fromarray(RGB[:6, :8].copy()).resize((53, 37), Image.Resampling.BICUBIC))
DEEP = random.integers(0, 65536, (37, 53, 4), dtype=np.uint16)
COLOURS = palette(GRAY % 16, random.integers(0, 256, (16, 3)))
XMP = b'<rdf:Description xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6"/>'

STREAMED = {
    "rgb.png": saved(RGB, "PNG"),
    "gray.png": saved(GRAY, "PNG"),
    "black and white.png": saved(Image.fromarray(GRAY).convert("1"), "PNG"),
    "alpha.png": saved(RGBA, "PNG"),
    "gray alpha.png": saved(Image.fromarray(RGBA).convert("LA"), "PNG"),
    "palette.png": saved(COLOURS, "PNG", transparency=3),
    "one transparent colour.png": png(RGB, 8, 2, (b"tRNS", RGB[3, 3].astype(">u2").tobytes())),
    "profile.png": saved(SMOOTH, "PNG", icc_profile=profile("swapped")),
    "rgb.jpg": saved(SMOOTH, "JPEG"),
    "progressive.jpg": saved(SMOOTH, "JPEG", progressive=True),
    "gray.jpg": saved(GRAY, "JPEG"),
    "xmp.jpg": saved(SMOOTH, "JPEG", xmp=XMP),
    "rgb.webp": saved(SMOOTH, "WEBP"),
    "frames.gif": saved(COLOURS, "GIF", save_all=True, append_images=[COLOURS.rotate(180)]),
    "frames.png": saved(RGB, "PNG", save_all=True, append_images=[Image.fromarray(RGB[::-1])]),
    "frames.jpg": saved(SMOOTH, "MPO", save_all=True, append_images=[Image.fromarray(SMOOTH[::-1])]),
    "frames.tif": saved(RGB, "TIFF", save_all=True, append_images=[Image.fromarray(RGB[::-1])]),
    "strips.tif": saved(RGB, "TIFF"),
    "tiles.tif": tiff(RGB, tile=(16, 16)),
    "jpeg.tif": saved(Image.fromarray(SMOOTH).convert("YCbCr"), "TIFF", compression="jpeg"),
    "white is zero.tif": tiff(GRAY, photometric="miniswhite"),
} | {f"{orientation}.png": saved(RGB, "PNG", exif=exif(orientation)) for orientation in TURNS}
STREAMED_DEEP = {
    "gray.png": png(DEEP[..., 0], 16, 0),
    "rgb.png": png(DEEP[..., :3], 16, 2),
    "alpha.png": png(DEEP, 16, 6),
    "dark.png": png(DEEP[..., 0] // 32, 16, 0),
    "rgb.tif": tiff(DEEP[..., :3], photometric="rgb"),
}
BY_PILLOW = {
    "cmyk.jpg": saved(Image.fromarray(SMOOTH).convert("CMYK"), "JPEG"),
    "alpha.tif": saved(RGBA, "TIFF"),
    "ycbcr.tif": saved(Image.fromarray(SMOOTH).convert("YCbCr"), "TIFF"),
    "ycbcr lzw.tif": saved(Image.fromarray(SMOOTH).convert("YCbCr"), "TIFF", compression="tiff_lzw"),
    "ycbcr deflate.tif": saved(Image.fromarray(SMOOTH).convert("YCbCr"), "TIFF", compression="tiff_adobe_deflate"),
    "rgb.avif": saved(SMOOTH, "AVIF"),
    "rgb.bmp": saved(RGB, "BMP"),
}


def noise(height, width, channels=3):
    return random.integers(0, 256, (height, width, channels), dtype=np.uint8)


def both(path, content):
    """Pixels and remarks of the file, read row by row and decoded as a whole, and whether libvips read it."""
    path.write_bytes(content)
    about = header(path)
    remarks = read_rows(path, path.with_name("rows"), None, about.is_streamed)
    rows = np.fromfile(path.with_name("rows"), np.uint8).reshape(about.height, about.width, 3)
    image, its_remarks = decode(path)
    return (rows, remarks), (np.asarray(image), its_remarks), about.is_streamed


@pytest.mark.parametrize("name", STREAMED)
def test_rows_are_what_pillow_decodes(tmp_path, name):
    (rows, remarks), (expected, its_remarks), is_streamed = both(tmp_path / name, STREAMED[name])
    assert is_streamed and remarks == its_remarks
    np.testing.assert_array_equal(rows, expected)


@pytest.mark.parametrize("name", STREAMED_DEEP)
def test_rows_of_16_bits_are_within_one_step(tmp_path, name):
    (rows, remarks), (expected, its_remarks), is_streamed = both(tmp_path / name, STREAMED_DEEP[name])
    assert is_streamed and remarks == its_remarks
    np.testing.assert_allclose(rows.astype(int), expected, atol=1)


@pytest.mark.parametrize("name", BY_PILLOW)
def test_what_libvips_decodes_otherwise_is_left_to_pillow(tmp_path, name):
    (rows, remarks), (expected, its_remarks), is_streamed = both(tmp_path / name, BY_PILLOW[name])
    assert not is_streamed and remarks == its_remarks
    np.testing.assert_array_equal(rows, expected)


TURNED_TIFFS = {
    "gray": (GRAY, {}, GRAY[..., None].repeat(3, axis=-1), True),
    "colours": (RGB, {"photometric": "rgb"}, RGB, True),
    "alpha": (RGBA, {"photometric": "rgb", "extrasamples": [2]}, on_white(RGBA), False),
    "inks": (RGBA, {"photometric": "separated"}, without_ink(RGBA), False),
}


@pytest.mark.parametrize("compression", [None, "deflate"])
@pytest.mark.parametrize("orientation", TURNS)
@pytest.mark.parametrize("name", TURNED_TIFFS)
def test_tiffs_become_upright_in_rows_and_as_a_whole(tmp_path, name, orientation, compression):
    pixels, options, upright, by_rows = TURNED_TIFFS[name]
    tag = (0x0112, "H", 1, orientation, True)
    content = tiff(turned(pixels, orientation), compression=compression, extratags=[tag], **options)
    (rows, remarks), (whole, its_remarks), is_streamed = both(tmp_path / "turned.tif", content)
    assert is_streamed == by_rows and remarks == its_remarks
    np.testing.assert_array_equal(rows, whole)
    # Half-transparent pixels and inks may be rounded to either level.
    np.testing.assert_allclose(whole.astype(int), upright, atol=0 if by_rows else 1)


def test_a_picture_of_another_size_than_its_header_tells_is_refused(tmp_path, monkeypatch):
    (tmp_path / "a.bmp").write_bytes(BY_PILLOW["rgb.bmp"])
    about = header(tmp_path / "a.bmp")
    monkeypatch.setattr(reading, "header", lambda path: about._replace(height=about.width, width=about.height))
    with pytest.raises(BadImageError, match=r"a\.bmp: its header tells 37 x 53 pixels, but it has 53 x 37"):
        read_rows(tmp_path / "a.bmp", tmp_path / "rows", None, is_streamed=False)


def test_a_strip_of_more_than_50_mib_is_read(tmp_path):
    pixels = np.tile(noise(60, 60), (70, 70, 1))
    strip = {"rowsperstrip": len(pixels), "compression": "deflate", "compressionargs": {"level": 0}}
    (rows, _), _, is_streamed = both(tmp_path / "strip.tif", tiff(pixels, **strip))
    assert is_streamed and header(tmp_path / "strip.tif").memory > 50 * 2**20
    np.testing.assert_array_equal(rows, pixels)


LAYOUTS = {
    "tiles": ({"tile": (64, 64), "compression": "deflate"}, 64 * (2 * 600 + 3 * 64) * 3),
    "planes": ({"planarconfig": "separate", "rowsperstrip": 100}, 2 * 100 * 600 * 3),
    "one plane": ({"rowsperstrip": 500}, 0),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_tiff_is_held_only_as_far_as_its_layout_demands(tmp_path, name):
    options, memory = LAYOUTS[name]
    pixels = noise(500, 600)
    stored = pixels.transpose(2, 0, 1) if name == "planes" else pixels
    (rows, _), _, is_streamed = both(tmp_path / "a.tif", tiff(stored, photometric="rgb", **options))
    assert is_streamed and header(tmp_path / "a.tif").memory == memory
    np.testing.assert_array_equal(rows, pixels)


@pytest.fixture
def translated(tmp_path):
    """Translates a file in tiles on the CPU: translated(content, "in.png", "out.png") returns the written file."""

    def translate(content, name="in.png", target="out.png", memory=IN_TILES, **options):
        (tmp_path / name).write_bytes(content)
        told = []
        large = LargePictures(
            small_generator(),
            torch.device("cpu"),
            memory=memory,
            tell=lambda source, plan: told.append(plan),
            **options,
        )
        large.translate(tmp_path / name, tmp_path / target)
        assert bool(told) == (memory == IN_TILES)
        return tmp_path / target

    return translate


@pytest.mark.parametrize("target", ["out.png", "out.tif"])
def test_a_picture_in_tiles_becomes_the_file_that_the_whole_becomes(translated, tmp_path, target):
    content = saved(noise(301, 203), "PNG", exif=exif(6))
    tiles = np.asarray(Image.open(translated(content, target=target))).astype(int)
    whole = np.asarray(Image.open(translated(content, target=f"whole_{target}", memory=10**10)))
    assert tiles.shape == (203, 301, 3) and tiles.std() > 1
    # A value that lies between two levels may be rounded to either.
    assert np.abs(tiles - whole).max() <= 1 and (tiles != whole).mean() < 1e-3
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(["in.png", target, f"whole_{target}"])


@pytest.mark.parametrize("target", ["out.png", "out.tif"])
def test_the_transparency_is_kept_where_it_is_asked_for(translated, target):
    pixels = noise(301, 203, 4)
    pixels[:100, :, 3], pixels[100:200, :, 3] = 0, 255
    kept = np.asarray(Image.open(translated(saved(pixels, "PNG", exif=exif(3)), target=target, keep_alpha=True)))
    np.testing.assert_array_equal(kept[..., 3], pixels[::-1, ::-1, 3])
    flat = np.asarray(Image.open(translated(saved(pixels, "PNG", exif=exif(3)), target=f"flat_{target}")))
    opaque = kept[..., 3] == 255
    np.testing.assert_array_equal(kept[opaque][:, :3], flat[opaque])


def test_the_transparency_of_what_pillow_reads_is_kept_too(translated):
    pixels = noise(250, 203, 4)
    pixels[:100, :, 3] = 0
    content = saved(pixels, "TIFF")
    tiles = np.asarray(Image.open(translated(content, "in.tif", keep_alpha=True)))
    np.testing.assert_array_equal(tiles[..., 3], pixels[..., 3])
    whole = np.asarray(Image.open(translated(content, "in.tif", "whole.png", memory=10**10, keep_alpha=True)))
    # Under an alpha of a few levels, a step of the translation becomes many.
    seen = pixels[..., 3] > 127
    assert np.abs(tiles[seen].astype(int) - whole[seen]).max() <= 2


@pytest.mark.parametrize("format", ["PNG", "TIFF"])
def test_an_alpha_that_is_opaque_everywhere_is_left_out(translated, format):
    pixels = noise(250, 203, 4)
    pixels[..., 3] = 255
    assert Image.open(translated(saved(pixels, format), keep_alpha=True)).mode == "RGB"


@pytest.mark.parametrize("alpha", [False, True])
def test_a_tiff_is_tiled_and_nothing_tells_of_camera_and_colours(translated, alpha):
    tags = exif(1)
    tags[0x010F] = "the camera's maker"
    content = saved(noise(301, 303, 3 + alpha), "PNG", exif=tags, icc_profile=profile("sRGB"))
    with tifffile.TiffFile(translated(content, target="out.tiff", keep_alpha=alpha)) as written:
        (page,) = written.pages
        assert page.is_tiled and page.tile == (256, 256) and page.compression == tifffile.COMPRESSION.ADOBE_DEFLATE
        assert not {"Make", "ExifTag", "GPSTag", "InterColorProfile", "XMP"} & {tag.name for tag in page.tags}
    with Image.open(translated(content, keep_alpha=alpha)) as written:
        assert set(written.info) <= {"dpi"} and not written.getexif()


@pytest.mark.parametrize("name, format", [("a.png", "PNG"), ("a.jpg", "JPEG"), ("a.tif", "TIFF")])
def test_a_truncated_picture_is_told_and_nothing_is_left(translated, tmp_path, capfd, name, format):
    content = saved(noise(301, 203), format)
    with pytest.raises(BadImageError, match=rf"{name}: cannot be decoded"):
        translated(content[: len(content) * 2 // 3], name)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert capfd.readouterr().err == ""


def row_file(path, pixels):
    """Writes ``pixels`` (H, W, 3) as the translation that is encoded."""
    with RowFile(path, *pixels.shape[:2], alpha=None) as translation:
        translation.write(pixels)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_rows_wider_than_a_strip_are_encoded(tmp_path, monkeypatch, suffix):
    monkeypatch.setattr(writing, "STRIP", 1000)
    for height, width in ((1, 1), (7, 500), (300, 100)):
        pixels = noise(height, width)
        row_file(tmp_path / "rows", pixels)
        encode(tmp_path / "rows", tmp_path / f"out{suffix}")
        np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / f"out{suffix}")), pixels)


def test_a_strip_of_a_very_wide_translation_is_not_too_large_to_be_read(tmp_path):
    height, width = 130, 280_000
    with RowFile(tmp_path / "rows", height, width, alpha=None) as translation:
        translation.write(np.full((1, width, 3), 255, np.uint8))
    os.truncate(tmp_path / "rows", (tmp_path / "rows").stat().st_size + 3 * width * (height - 1))
    rows = pyvips.Image.new_from_file(str(tmp_path / "rows"), access="sequential")
    assert rows.avg() == pytest.approx(255 / height)


def test_a_translation_that_may_not_fit_becomes_a_big_tiff(tmp_path, monkeypatch):
    row_file(tmp_path / "rows", noise(30, 40))
    for most, is_big in ((2**32, False), (2**20, True)):
        monkeypatch.setattr(writing, "MOST_IN_TIFF", most)
        encode(tmp_path / "rows", tmp_path / "out.tif")
        with tifffile.TiffFile(tmp_path / "out.tif") as written:
            assert written.is_bigtiff == is_big


@contextmanager
def files_of_at_most(size):
    """Lets the process write no larger file, as if the disk were full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_a_full_disk_is_told_with_its_reason(tmp_path, suffix):
    pixels = noise(300, 300)
    (tmp_path / "in.png").write_bytes(saved(pixels, "PNG"))
    (tmp_path / "in.bmp").write_bytes(saved(pixels, "BMP"))
    row_file(tmp_path / "rows", pixels)
    with files_of_at_most(50_000):
        with pytest.raises(OSError, match=r"the translation cannot be written: File too large$"):
            encode(tmp_path / "rows", tmp_path / f"out{suffix}")
        with pytest.raises(OSError, match=r"File too large: .*full"):
            row_file(tmp_path / "full", pixels)
        for name in ("in.png", "in.bmp"):
            with pytest.raises(OSError, match=r"File too large: .*colours"):
                read_rows(tmp_path / name, tmp_path / "colours", None, header(tmp_path / name).is_streamed)


BOMB = png_of(png_header(100_000, 100_000), (b"IDAT", bytes(100)))


def test_a_bomb_is_told_before_anything_is_decoded(translated, tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: namedtuple("Usage", "free")(10**11))
    with pytest.raises(UserError, match=r"bomb\.png: translating it takes [\d.]+ GB of disk, but only 100\.0 GB"):
        translated(BOMB, "bomb.png", memory=2 * 10**9)
    with pytest.raises(UserError, match=r"100000 x 100000 pixels takes at least 0\.\d\d GB .* only 0\.08 GB"):
        translated(BOMB, "bomb.png", memory=80_000_000)
    assert [path.name for path in tmp_path.iterdir()] == ["bomb.png"]


def test_too_many_pixels_of_a_kind_that_is_not_read_by_rows_are_refused(tmp_path):
    header_of_bmp = struct.pack("<2sIHHIIiiHHIIiiII", b"BM", 54, 0, 0, 54, 40, 20_000, 10_000, 1, 24, 0, 0, 0, 0, 0, 0)
    (tmp_path / "large.bmp").write_bytes(header_of_bmp)
    with pytest.raises(BadImageError, match="178,956,970 pixels, and of a kind that is not read row by row"):
        header(tmp_path / "large.bmp")


def test_somebody_elses_folder_in_the_way_is_left_alone(translated, tmp_path):
    (tmp_path / ".out.png.tiles").mkdir()
    (tmp_path / ".out.png.tiles/mine").write_text("mine")
    with pytest.raises(UserError, match="did not make this folder"):
        translated(saved(noise(301, 203), "PNG"))
    assert (tmp_path / ".out.png.tiles/mine").read_text() == "mine"


def test_the_command_tells_its_tiles_and_a_kill_leaves_only_what_the_next_one_cleans_up(tmp_path):
    model = save_model(tmp_path / "model", small_generator())
    Image.fromarray(noise(1000, 3000)).save(tmp_path / "large.png")
    command = [sys.executable, "-m", "pipeline", "translate", "--model", model, "--input", "large.png"]
    command += ["--output", "out.png", "--memory", "0.075"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}
    started = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, env=environment)
    while not (tmp_path / ".out.png.tiles/map_0").exists():
        assert started.poll() is None
        time.sleep(0.01)
    started.send_signal(signal.SIGKILL)
    started.communicate()
    assert (tmp_path / ".out.png.tiles/map_0").exists() and not (tmp_path / "out.png").exists()
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=environment)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "3000 x 1000 pixels go in" in ended.stdout and "tiles, with at most 0.08 GB of memory" in ended.stdout
    assert sorted(path.name for path in tmp_path.iterdir()) == ["large.png", "model", "out.png"]
    with Image.open(tmp_path / "out.png") as written:
        assert written.size == (3000, 1000)


def test_a_folder_of_small_and_large_pictures_is_translated_in_tiles_where_needed(tmp_path, ended, save_images):
    save_model(tmp_path / "model", small_generator())
    save_images(tmp_path / "in", 2)
    Image.fromarray(noise(700, 800)).save(tmp_path / "in/large.jpg")
    paths = {"model": "model", "input": "in", "output": "out"}
    options = [part for name, path in paths.items() for part in (f"--{name}", str(tmp_path / path))]
    status, written = ended("translate", *options, "--memory", "0.075")
    assert status == 0 and "large.jpg: 800 x 700 pixels go in" in written.out
    names = {path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*")}
    assert names == {".gcl-output", "image_0.png", "image_1.png", "large.png"}


def test_names_that_are_not_utf_8_are_read_and_written_in_tiles(tmp_path, ended):
    save_model(tmp_path / "model", small_generator())
    folder = tmp_path / os.fsdecode(b"in\xff[1]")
    folder.mkdir()
    Image.fromarray(noise(700, 800)).save(folder / os.fsdecode(b"caf\xe9.png"))
    Image.fromarray(noise(30, 40)).save(folder / os.fsdecode(b"small \xff[2].png"))
    options = ["--model", str(tmp_path / "model"), "--memory", "0.075"]
    status, written = ended("translate", *options, "--input", str(folder), "--output", str(tmp_path / "out"))
    assert status == 0 and "800 x 700 pixels go in" in written.out
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {".gcl-output", *(path.name for path in folder.iterdir())}
    for suffix in (".png", ".tif"):
        target = tmp_path / os.fsdecode(b"caf\xe9" + suffix.encode())
        source = folder / os.fsdecode(b"caf\xe9.png")
        assert ended("translate", *options, "--input", str(source), "--output", str(target))[0] == 0
        with Image.open(target) as translation:
            assert translation.size == (800, 700)


def test_an_svg_named_png_is_refused(tmp_path):
    svg = '<svg xmlns="http://www.w3.org/2000/svg" width="50" height="50"><rect width="50" height="50"/></svg>'
    (tmp_path / "a.png").write_text(svg)
    with pytest.raises(pyvips.Error, match="not a known file format"):
        pyvips.Image.new_from_file(str(tmp_path / "a.png"))
    with pytest.raises(BadImageError, match=r"a\.png: not an image that can be read"):
        header(tmp_path / "a.png")


def test_too_little_memory_is_one_message(tmp_path, failure, save_images):
    save_model(tmp_path / "model", small_generator())
    save_images(tmp_path / "in", 1)
    paths = {"model": "model", "input": "in", "output": "out"}
    options = [part for name, path in paths.items() for part in (f"--{name}", str(tmp_path / path))]
    told = failure("translate", *options, "--memory", "0.05")
    assert "translate.memory: a picture of 80 x 64 pixels takes at least 0.07 GB in tiles, but only 0.05 GB" in told
    assert not (tmp_path / "out").exists()


GROUPS = {
    "v2": ("0::/a/b", "", ("memory.max", "memory.current", "inactive_file")),
    "v1": (
        "4:cpu:/\n3:memory:/a/b",
        "memory",
        ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    ),
}


@pytest.mark.parametrize("version", GROUPS)
def test_the_limits_of_all_groups_around_the_process_count(tmp_path, version):
    listed, place, (limit, use, spare) = GROUPS[version]
    for folder, most in {"a": "1000", "a/b": "max" if version == "v2" else str(2**63 - 4096), "c": "1"}.items():
        group = tmp_path / place / folder
        group.mkdir(parents=True)
        for name, content in {limit: most, use: "700", "memory.stat": f"anon 600\n{spare} 100"}.items():
            (group / name).write_text(f"{content}\n")
    (tmp_path / "own").write_text(f"{listed}\n")
    assert min(free_in_groups(tmp_path, tmp_path / "own")) == 1000 - 700 + 100
    assert free_in_groups(tmp_path, tmp_path / "absent") == []
