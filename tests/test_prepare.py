"""The prepare stage: images upright, RGB and lossless, a manifest of them; mistakes named, nothing half-written."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image

from gcl.errors import UserError
from gcl.images import read_rgb
from gcl.manifest import SPLITS, describe, read_manifest
from gcl.scenes import draw_mask, draw_scene
from pipeline.params import parse_params
from pipeline.prepare import FIRST_SCENE, prepare


@pytest.fixture
def config(settings):
    def make(**data):
        settings["data"].update(data)
        return parse_params(settings, "params.yaml").data

    return make


@pytest.fixture
def photographs(tmp_path, save_images):
    """A folder of images of one's own: tmp_path / "photographs"."""
    for split, count in zip(SPLITS, (6, 5, 2, 2), strict=True):
        save_images(tmp_path / "photographs" / split, count, size=(90, 70))
    return tmp_path / "photographs"


def test_scenes_are_drawn_paired_and_reproducibly(tmp_path, config):
    data = config(scenes_train=3, scenes_test=2)
    manifest = prepare(data, tmp_path / "one")
    assert manifest.counts() == {"trainA": 3, "trainB": 3, "testA": 2, "testB": 2}
    again = prepare(data, tmp_path / "two")
    assert again.sha256 == manifest.sha256
    assert prepare(config(seed=1), tmp_path / "three").sha256 != manifest.sha256
    for domain in "AB":
        stored = np.asarray(Image.open(tmp_path / "one" / f"test{domain}" / "scene_00001.png"))
        assert np.array_equal(stored, draw_scene(0, FIRST_SCENE["testA"] + 1, domain, 64))
    mask = np.asarray(Image.open(tmp_path / "one" / "masks" / "scene_00001.png"))
    assert np.array_equal(mask, draw_mask(0, FIRST_SCENE["testA"] + 1, 64))


def test_training_splits_share_no_scene(tmp_path, config):
    prepare(config(scenes_train=3, scenes_test=2), tmp_path / "data")
    other_domain = [draw_scene(0, FIRST_SCENE["trainA"] + index, "B", 64) for index in range(3)]
    for path in (tmp_path / "data" / "trainB").iterdir():
        assert not any(np.array_equal(np.asarray(Image.open(path)), scene) for scene in other_domain)


def test_a_folder_becomes_upright_rgb_png_with_its_content_in_the_manifest(tmp_path, config, photographs):
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: rotate by 270 degrees to see it upright
    pixels = np.zeros((70, 90, 3), dtype=np.uint8)
    pixels[:, :45] = 200
    Image.fromarray(pixels).save(photographs / "trainA" / "turned.png", exif=exif)
    Image.fromarray(pixels[..., 0]).save(photographs / "trainB" / "gray.bmp")

    manifest = prepare(config(source="folder", path=str(photographs), size=None), tmp_path / "data")

    assert manifest == read_manifest(tmp_path / "data")
    turned = Image.open(tmp_path / "data" / "trainA" / "turned.png")
    assert (turned.mode, turned.size) == ("RGB", (70, 90))
    assert np.asarray(turned)[0].min() == 200 and np.asarray(turned)[-1].max() == 0
    gray = Image.open(tmp_path / "data" / "trainB" / "gray.png")
    assert np.array_equal(np.asarray(gray), np.repeat(pixels[..., :1], 3, axis=2))
    entry = next(entry for entry in manifest.splits["trainA"] if entry.name == "turned.png")
    assert entry == describe("turned.png", turned)


def test_the_shorter_side_is_shrunk_to_the_size(tmp_path, config, photographs):
    manifest = prepare(config(source="folder", path=str(photographs), size=35), tmp_path / "data")
    assert {(entry.width, entry.height) for split in SPLITS for entry in manifest.splits[split]} == {(45, 35)}


def test_without_test_folders_a_seeded_share_is_held_back_and_said(tmp_path, config, photographs, capsys):
    shutil.rmtree(photographs / "testA")
    data = config(source="folder", path=str(photographs), size=None, test_share=0.34)
    manifest = prepare(data, tmp_path / "data")
    names = {split: {entry.name for entry in manifest.splits[split]} for split in SPLITS}
    assert len(names["trainA"]) == 4 and len(names["testA"]) == 2 and not names["trainA"] & names["testA"]
    assert len(names["testB"]) == 2
    assert "held back 2 of trainA" in manifest.notes[0]
    assert "held back 2 of trainA" in capsys.readouterr().out
    assert prepare(data, tmp_path / "again").sha256 == manifest.sha256
    seeds = {prepare(data.model_copy(update={"seed": seed}), tmp_path / "other").sha256 for seed in range(5)}
    assert len(seeds) > 1


def broken_folder(photographs, kind):
    image = photographs / "trainA" / "image_0.png"
    if kind == "truncated":
        image.write_bytes(image.read_bytes()[:500])
    elif kind == "text":
        image.write_text("this is no picture")
    elif kind == "empty file":
        image.write_bytes(b"")
    elif kind == "missing":
        shutil.rmtree(photographs / "trainB")
    elif kind == "empty domain":
        for path in (photographs / "testB").iterdir():
            path.unlink()
    elif kind == "same stem":
        shutil.copy(image, image.with_suffix(".jpg"))
    elif kind == "one test image":
        (photographs / "testB" / "image_0.png").unlink()
    elif kind == "tiny":
        Image.new("RGB", (80, 20)).save(image)
    elif kind == "small":
        Image.new("RGB", (80, 40)).save(image)


@pytest.mark.parametrize(
    "kind, told",
    [
        ("truncated", ["trainA/image_0.png", "truncated"]),
        ("text", ["trainA/image_0.png", "not an image"]),
        ("empty file", ["trainA/image_0.png", "not an image"]),
        ("missing", ["trainB missing", "expected:", "trainA/", "testB/"]),
        ("empty domain", ["testB: no images here", ".png"]),
        ("one test image", ["testB: 1 images here, at least 2 needed"]),
        ("tiny", ["trainA/image_0.png: 80x20", "at least 32"]),
        ("same stem", ["image_0.jpg and image_0.png", "rename one"]),
        ("small", ["trainA/image_0.png: 80x40", "data.size 64"]),
    ],
)
def test_bad_input_is_named_and_leaves_the_old_data(tmp_path, config, photographs, kind, told):
    target = tmp_path / "data"
    data = config(source="folder", path=str(photographs), size=64)
    before = prepare(data, target)
    broken_folder(photographs, kind)
    with pytest.raises(UserError) as error:
        prepare(data, target)
    for part in told:
        assert part in str(error.value)
    assert read_manifest(target) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "photographs"]


def test_a_missing_folder_prints_the_expected_tree(tmp_path, config):
    with pytest.raises(UserError, match=r"no such folder\nexpected:"):
        prepare(config(source="folder", path=str(tmp_path / "nowhere")), tmp_path / "data")
    assert not (tmp_path / "data").exists()


def test_a_damaged_manifest_is_told(tmp_path):
    with pytest.raises(UserError, match="gcl prepare"):
        read_manifest(tmp_path)
    (tmp_path / "manifest.json").write_text(json.dumps([1])[:2])
    with pytest.raises(UserError, match="not JSON"):
        read_manifest(tmp_path)
    (tmp_path / "manifest.json").write_text("[1]")
    with pytest.raises(UserError, match="not a manifest"):
        read_manifest(tmp_path)


def test_sixteen_bits_are_scaled_and_transparency_lies_on_white(tmp_path):
    ramp = np.linspace(0, 65535, 64, dtype=np.uint16).reshape(8, 8)
    Image.fromarray(ramp).save(tmp_path / "deep.png")
    assert np.array_equal(np.asarray(read_rgb(tmp_path / "deep.png"))[..., 0], (ramp / 257).round().astype(np.uint8))
    clear = Image.new("RGBA", (8, 8), (255, 0, 0, 0))
    clear.putpixel((0, 0), (255, 0, 0, 255))
    clear.save(tmp_path / "clear.png")
    pixels = np.asarray(read_rgb(tmp_path / "clear.png"))
    assert pixels[0, 0].tolist() == [255, 0, 0] and pixels[1, 1].tolist() == [255, 255, 255]
