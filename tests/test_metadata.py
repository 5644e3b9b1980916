"""Nothing that image files say besides their pixels gets into anything that is written: no place, name, time, text."""

import base64
import struct
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image
from PIL.PngImagePlugin import PngInfo
from typer.testing import CliRunner

from gcl.exchange.translator import Translator
from gcl.images.decoding import read_rgb
from gcl.images.manifest import SPLITS
from pipeline.cli import app
from pipeline.pages.figures import draw_samples
from pipeline.params import parse_params, read_mapping
from pipeline.running.sample_grids import Samples
from pipeline.stages.prepare import prepare
from tests.models import save_model, small_generator
from tests.pictures import profile, saved
from tests.project import ROOT

SECRET = "Grace Hopper"
"""What all texts in the images say."""

TIME = "1906:12:09 00:00:00"

SIGNS = [SECRET.encode(), TIME.encode(), b"Exif", b"eXIf", b"acsp", b"xmpmeta"]
"""What must not be found: texts, a time, and the marks of EXIF, ICC profiles and XMP."""

PIXEL_CHUNKS = {b"IHDR", b"IDAT", b"IEND"}
"""The chunks of a PNG that holds nothing but pixels."""

RESOLUTION_CHUNK = b"pHYs"
"""What matplotlib adds: the dots per inch of the figure."""

XMP = f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><exif:GPSLatitude>{SECRET}</exif:GPSLatitude></x:xmpmeta>'.encode()


def exif() -> Image.Exif:
    """EXIF with names, a time, a comment and a place."""
    tags = Image.Exif()
    for tag in (ExifTags.Base.ImageDescription, ExifTags.Base.Artist, ExifTags.Base.Make, ExifTags.Base.Copyright):
        tags[tag] = SECRET
    tags[ExifTags.Base.DateTime] = TIME
    tags.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.UserComment] = SECRET.encode()
    place = tags.get_ifd(ExifTags.IFD.GPSInfo)
    place[ExifTags.GPS.GPSLatitudeRef], place[ExifTags.GPS.GPSLatitude] = "N", (40.0, 42.0, 46.0)
    place[ExifTags.GPS.GPSProcessingMethod] = SECRET.encode()
    return tags


def talkative(seed: int) -> dict[str, bytes]:
    """Image files by suffix that hold all the metadata that their formats can hold."""
    pixels = np.random.default_rng(seed).integers(0, 256, (36, 40, 4), dtype=np.uint8)
    everything = {"exif": exif(), "icc_profile": profile("swapped"), "xmp": XMP}
    texts = PngInfo()
    texts.add_text("Author", SECRET)
    texts.add_text("Comment", SECRET, zip=True)
    texts.add_itxt("XML:com.adobe.xmp", XMP.decode())
    texts.add(b"tIME", struct.pack(">H5B", 1906, 12, 9, 0, 0, 0))
    # What an editor has made transparent is often still in the file.
    hidden = pixels.copy()
    hidden[:9, :, 3] = 0
    of_png = {"exif": exif(), "icc_profile": profile("swapped"), "pnginfo": texts, "dpi": (300, 300)}
    rgb = pixels[..., :3]
    return {
        ".jpg": saved(rgb, "JPEG", comment=SECRET, dpi=(300, 300), **everything) + SECRET.encode(),
        ".png": saved(hidden, "PNG", **of_png) + SECRET.encode(),
        ".webp": saved(255 - rgb, "WEBP", **everything),
        ".avif": saved(rgb[::-1], "AVIF", **everything),
        ".tif": saved(rgb[:, ::-1], "TIFF", **everything),
        ".gif": saved(rgb // 2, "GIF", comment=SECRET.encode()),
    }


@pytest.fixture(scope="module")
def photographs(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("talkative") / "photographs"
    for seed, split in enumerate(SPLITS):
        (folder / split).mkdir(parents=True)
        for suffix, content in talkative(seed).items():
            (folder / split / f"from_{suffix[1:]}{suffix}").write_bytes(content)
    return folder


@pytest.fixture(scope="module")
def written(photographs, tmp_path_factory) -> dict[str, bytes]:
    """All that is made of the photographs, by what made it."""
    folder = tmp_path_factory.mktemp("written")
    settings = read_mapping(ROOT / "params.yaml")
    settings["data"].update(source="folder", path=str(photographs), image_size=36)
    prepare(parse_params(settings, "params.yaml").data, folder / "prepare")
    model = save_model(folder.parent / f"{folder.name}_model", small_generator())
    source = photographs / "testA"
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        printed = [
            CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False).output
            for words in (
                ("translate", "--model", model, "--input", source, "--output", "translate"),
                ("translate", "--model", model, "--input", source, "--output", "keep", "--keep-alpha"),
                ("contact-sheet", source, "translate", photographs / "testA", "--output", "sheet.png", "--metrics"),
                ("check", photographs, "--json", "check.json"),
                ("score", source, "--real", photographs / "testB", "--input", source, "--json", "score.json"),
            )
        ]
    samples = sorted(source.iterdir())
    draw_samples({"input": samples}, folder / "figure.png")
    Samples(folder / "samples", folder / "copies", 0).add(np.asarray(read_rgb(samples[0])), 1)
    translator, files = Translator(model), [file.read_bytes() for file in samples]
    (folder / "served.png").write_bytes(translator.predict(files[0]))
    (folder / "served_text.png").write_bytes(base64.b64decode(translator.predict(base64.b64encode(files[1]).decode())))
    contents = {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}
    return contents | {"printed": "".join(printed).encode()}


def chunks(content: bytes) -> set[bytes]:
    """The names of a PNG's chunks; anything after the last one is an error."""
    place, names = 8, set()
    while place < len(content):
        length, name = struct.unpack_from(">I4s", content, place)
        names.add(name)
        place += 12 + length
    assert place == len(content)
    return names


def test_the_photographs_say_what_is_looked_for(photographs):
    for file in photographs.rglob("*.*"):
        assert SECRET.encode() in file.read_bytes(), file
    for file in photographs.rglob("*.jpg"):
        assert all(sign in file.read_bytes() for sign in SIGNS if sign != b"eXIf")


def test_everything_was_made(written):
    kinds = ("prepare/", "translate/", "keep/", "samples/", "sheet.png", "check.json", "score.json", "figure.png")
    for kind in kinds:
        assert any(name.startswith(kind) for name in written), kind
    assert b"look at" in written["printed"]


@pytest.mark.parametrize("sign", SIGNS)
def test_no_text_is_found_in_anything_written(written, sign):
    assert [name for name, content in written.items() if sign in content] == []


def test_every_png_holds_pixels_and_nothing_else(written):
    pngs = {name: chunks(content) for name, content in written.items() if name.endswith(".png")}
    assert len(pngs) == 4 * 6 + 2 * 6 + 6
    assert {name: more for name, found in pngs.items() if (more := found - PIXEL_CHUNKS)} == {
        "figure.png": {RESOLUTION_CHUNK}
    }


def test_colours_under_full_transparency_stay_hidden(photographs, written):
    """They are white in the pixels that are stored, and whatever lies there in a translation comes from that white."""
    transparent = np.asarray(Image.open(photographs / "testA/from_png.png"))[..., 3] == 0
    assert (np.asarray(read_rgb(photographs / "testA/from_png.png"))[transparent] == 255).all()
    kept = Image.open(BytesIO(written["keep/from_png.png"]))
    assert (np.asarray(kept)[transparent] == (255, 255, 255, 0)).all()
