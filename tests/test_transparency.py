"""`gcl translate --keep-alpha`: translations have their images' transparency, and what is opaque stays as it is."""

import struct
from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from gcl.images.decoding import ALPHA_BAND, OTHER_BANDS, decode, decode_with_alpha
from gcl.images.transparency import with_alpha
from gcl.networks import inference
from pipeline.cli import app
from tests.models import save_model, small_generator
from tests.pictures import exif, palette, png, saved, tiff, turned

RANDOM = np.random.default_rng(0)
RGBA = RANDOM.integers(0, 256, (7, 5, 4), dtype=np.uint8)
RGB, L, ALPHA = RGBA[..., :3], RGBA[..., 0], RGBA[..., 3]
OPAQUE = np.full_like(ALPHA, 255)
DEEP = RANDOM.integers(0, 65536, (7, 5, 4), dtype=np.uint16)
HIGH = (DEEP >> 8).astype(np.uint8)
COLOURS, ALPHAS = np.uint8([[255, 0, 0], [0, 255, 0], [0, 0, 255], [9, 8, 7]]), np.uint8([255, 128, 0, 255])
PAINTED = palette(L % 4, COLOURS)
SMOOTH = np.linspace(40, 200, 16 * 24 * 4).reshape(16, 24, 4).astype(np.uint8)
PACKED, TWO_BITS = np.uint8([[0b00011011], [0b11100100]]), np.uint8([[0, 1, 2, 3], [3, 2, 1, 0]])


def all_but(transparent: np.ndarray) -> np.ndarray:
    """The alpha of an image in which only the pixels in ``transparent`` are not opaque."""
    return np.where(transparent, 0, 255)


class Kind(NamedTuple):
    """A file, the alpha it must have or None, how far off it may be, and the remarks."""

    name: str
    content: bytes
    alpha: np.ndarray | None
    tolerance: int = 0
    remarks: tuple[str, ...] = ()


KINDS = [
    Kind("a channel, PNG", saved(RGBA, "PNG"), ALPHA),
    Kind("a channel, WebP", saved(RGBA, "WEBP", lossless=True), ALPHA),
    Kind("a channel, AVIF", saved(SMOOTH, "AVIF", quality=100), SMOOTH[..., 3], 3),
    Kind("a channel, TIFF", saved(RGBA, "TIFF"), ALPHA, 0, (ALPHA_BAND,)),
    Kind("beside gray", saved(RGBA[..., 2:], "PNG"), ALPHA),
    Kind("beside premultiplied colours", tiff(RGBA, photometric="rgb", extrasamples=[1]), ALPHA, 0, (ALPHA_BAND,)),
    Kind("16 bits", png(DEEP, 16, 6), np.round(DEEP[..., 3] / 257)),
    Kind("16 bits beside gray", png(DEEP[..., 2:], 16, 4), HIGH[..., 3]),
    Kind("entries of a palette", saved(PAINTED, "PNG", transparency=ALPHAS.tobytes()), ALPHAS[L % 4]),
    Kind("one colour of a palette, PNG", saved(PAINTED, "PNG", transparency=2), all_but(L % 4 == 2)),
    Kind("one colour of a palette, GIF", saved(PAINTED, "GIF", transparency=2), all_but(L % 4 == 2)),
    Kind(
        "one colour",
        png(RGB, 8, 2, (b"tRNS", RGB[0, 0].astype(">u2").tobytes())),
        all_but((RGB == RGB[0, 0]).all(axis=-1)),
    ),
    Kind("one gray", png(L, 8, 0, (b"tRNS", struct.pack(">H", L[0, 0]))), all_but(L == L[0, 0])),
    Kind("one 2-bit gray", png(PACKED, 2, 0, (b"tRNS", b"\0\1")), all_but(TWO_BITS == 1)),
    Kind(
        "one 16-bit colour",
        png(DEEP[..., :3], 16, 2, (b"tRNS", DEEP[0, 0, :3].astype(">u2").tobytes())),
        all_but((DEEP[..., :3] == DEEP[0, 0, :3]).all(axis=-1)),
    ),
    Kind(
        "one 16-bit gray",
        png(DEEP[..., 0], 16, 0, (b"tRNS", struct.pack(">H", DEEP[0, 0, 0]))),
        all_but(DEEP[..., 0] == DEEP[0, 0, 0]),
    ),
    *[Kind(f"orientation {tag}", saved(turned(RGBA, tag), "PNG", exif=exif(tag)), ALPHA) for tag in range(1, 9)],
    Kind("no pixel", saved(np.dstack([RGB, OPAQUE]), "PNG"), None),
    Kind("no pixel, TIFF", saved(np.dstack([RGB, OPAQUE]), "TIFF"), None),
    Kind("no pixel has the colour", png(L // 2, 8, 0, (b"tRNS", b"\0\xff")), None),
    Kind("no alpha, RGB", saved(RGB, "PNG"), None),
    Kind("no alpha, gray", saved(L, "PNG"), None),
    Kind("no alpha, JPEG", saved(RGB, "JPEG"), None),
    Kind("no alpha, CMYK", saved(Image.fromarray(RGB).convert("CMYK"), "TIFF"), None),
    Kind("a band of unknown kind", tiff(RGBA, photometric="rgb", extrasamples=[0]), None, 0, (OTHER_BANDS,)),
]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_the_alpha_of_an_image_is_read_beside_its_pixels(tmp_path, kind):
    (tmp_path / "image").write_bytes(kind.content)
    image, alpha, remarks = decode_with_alpha(tmp_path / "image")
    assert image == decode(tmp_path / "image")[0]
    assert tuple(remarks) == kind.remarks
    if kind.alpha is None:
        assert alpha is None
        return
    assert (alpha.mode, alpha.size, alpha.info) == ("L", image.size, {})
    assert np.abs(np.asarray(alpha).astype(int) - kind.alpha).max() <= kind.tolerance


def test_on_white_a_picture_with_alpha_looks_as_it_did_wherever_its_alpha_allows():
    """All 65536 combinations of a colour and an alpha; Pillow lays them on white."""
    values = np.arange(256, dtype=np.uint8)
    on_white, alpha = np.repeat(values[:, None, None], 3, axis=2).repeat(256, axis=1), np.tile(values, (256, 1))
    result = with_alpha(on_white, alpha)
    assert np.array_equal(result[..., 3], alpha)
    assert np.array_equal(result[alpha == 255, :3], on_white[alpha == 255])
    assert (result[alpha == 0, :3] == 255).all()
    shown = Image.alpha_composite(Image.new("RGBA", (256, 256), "white"), Image.fromarray(result))
    shown, darkest = np.asarray(shown).astype(int)[..., :3], 255 - alpha[..., None].astype(int)
    assert np.abs(shown - np.maximum(on_white, darkest)).max() <= 1


def test_no_white_is_left_in_half_transparent_edges():
    """What a colour becomes on white, taken back, is that colour: on anything dark, no edge is brighter than it was."""
    colours, alpha = RGBA[..., :3], np.maximum(ALPHA, 26)
    opacity = alpha[..., None] / 255
    on_white = np.round(colours * opacity + 255 * (1 - opacity)).astype(np.uint8)
    # Rounding to 8 bits on white is off by half a step, which the division makes larger.
    assert (np.abs(with_alpha(on_white, alpha)[..., :3] - colours.astype(int)) <= np.ceil(0.5 / opacity)).all()


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return save_model(tmp_path_factory.mktemp("models") / "model", small_generator())


@pytest.fixture
def folder(tmp_path):
    """A picture with alpha, held upright by its EXIF, one that is opaque although it has alpha, and a JPEG."""
    (tmp_path / "in/deeper").mkdir(parents=True)
    Image.fromarray(turned(np.kron(RGBA, np.ones((4, 4, 1), np.uint8)), 6)).save(tmp_path / "in/a.png", exif=exif(6))
    Image.fromarray(np.dstack([RGB, OPAQUE])).save(tmp_path / "in/deeper/opaque.png")
    Image.fromarray(RGB).save(tmp_path / "in/deeper/plain.jpg")
    return tmp_path / "in"


def run(model, source, target, *options):
    words = ["translate", "--model", str(model), "--input", str(source), "--output", str(target), *options]
    return CliRunner().invoke(app, words, catch_exceptions=False)


@pytest.mark.parametrize("large", [False, True], ids=["on a core each", "one after the other"])
def test_each_translation_gets_what_its_image_has(tmp_path, model, folder, monkeypatch, large):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(inference, "LARGE_IMAGE", 1 if large else 1 << 20)
    assert run(model, folder, tmp_path / "plain").exit_code == 0
    assert run(model, folder, tmp_path / "kept", "--keep-alpha").exit_code == 0
    for name in ("deeper/opaque.png", "deeper/plain.png"):
        assert (tmp_path / "kept" / name).read_bytes() == (tmp_path / "plain" / name).read_bytes()
    kept, plain = (np.asarray(Image.open(tmp_path / name / "a.png")) for name in ("kept", "plain"))
    assert (kept.shape, plain.shape) == ((28, 20, 4), (28, 20, 3))
    assert np.array_equal(kept, with_alpha(plain, np.kron(ALPHA, np.ones((4, 4), np.uint8))))
    assert run(model, folder / "a.png", tmp_path / "one.png", "--keep-alpha").exit_code == 0
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "kept/a.png").read_bytes()


BAD = {
    "odd transparency.png": (png(RGB, 8, 2, (b"tRNS", b"\0")), "cannot be decoded"),
    "cut off.png": (saved(np.kron(RGBA, np.ones((9, 9, 1), np.uint8)), "PNG")[:300], "cannot be decoded"),
    "cut off.webp": (saved(RGBA, "WEBP", quality=50)[:-20], "cannot be decoded"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_damaged_image_is_told_and_nothing_is_left(tmp_path, model, folder, failure, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    content, told = BAD[name]
    (folder / name).write_bytes(content)
    before = sorted(tmp_path.rglob("*"))
    for source, target in ((folder, "out"), (folder / name, "out.png")):
        line = failure("translate", "--keep-alpha", "--model", str(model), "--input", str(source), "--output", target)
        assert f"{name}: {told}" in line
    assert sorted(tmp_path.rglob("*")) == before


def test_only_png_is_offered_for_transparency(tmp_path, model, folder, failure, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = ["--model", str(model), "--input", str(folder / "a.png"), "--output", "out.jpg"]
    assert "out.jpg: translations are written as PNG" in failure("translate", "--keep-alpha", *words)
    assert not (tmp_path / "out.jpg").exists()
