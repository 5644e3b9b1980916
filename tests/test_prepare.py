"""The prepare stage: images become upright, RGB and lossless, with a manifest; mistakes leave nothing half-written."""

import errno
import json
import os
import shutil
import subprocess
import sys
import time

import numpy as np
import psutil
import pytest
from PIL import Image
from ruamel.yaml import YAML

from gcl.errors import UserError
from gcl.images.manifest import SPLITS, Manifest, Skipped, describe, read_manifest
from gcl.parallel import FEW
from gcl.sources.drawn.scenes import draw_mask, draw_scene
from pipeline.params import parse_params
from pipeline.stages.prepare import FIRST_SCENE, prepare
from tests.conftest import ROOT


@pytest.fixture
def photographs(tmp_path, save_images):
    """A folder of a user's own images: tmp_path / "photographs"."""
    for split, count in zip(SPLITS, (6, 5, 2, 2), strict=True):
        save_images(tmp_path / "photographs" / split, count, size=(90, 70))
    return tmp_path / "photographs"


def test_scenes_are_drawn_paired_and_reproducibly(tmp_path, data_config):
    data = data_config(scenes_train=3, scenes_test=2, scenes_validation=2)
    manifest = prepare(data, tmp_path / "one")
    assert manifest.counts() == {"trainA": 3, "trainB": 3, "testA": 2, "testB": 2, "validationA": 2, "validationB": 2}
    again = prepare(data, tmp_path / "two")
    assert again.sha256 == manifest.sha256
    assert prepare(data_config(seed=1), tmp_path / "three").sha256 != manifest.sha256
    for domain in "AB":
        stored = np.asarray(Image.open(tmp_path / "one" / f"test{domain}" / "scene_00001.png"))
        assert np.array_equal(stored, draw_scene(0, FIRST_SCENE["testA"] + 1, domain, 64))
    mask = np.asarray(Image.open(tmp_path / "one" / "masks" / "scene_00001.png"))
    assert np.array_equal(mask, draw_mask(0, FIRST_SCENE["testA"] + 1, 64))


def test_training_splits_share_no_scene(tmp_path, data_config):
    prepare(data_config(scenes_train=3, scenes_test=2), tmp_path / "data")
    other_domain = [draw_scene(0, FIRST_SCENE["trainA"] + index, "B", 64) for index in range(3)]
    for path in (tmp_path / "data" / "trainB").iterdir():
        assert not any(np.array_equal(np.asarray(Image.open(path)), scene) for scene in other_domain)


def test_a_folder_becomes_upright_rgb_png_with_its_content_in_the_manifest(tmp_path, data_config, photographs):
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: rotate by 270 degrees to see it upright
    pixels = np.zeros((70, 90, 3), dtype=np.uint8)
    pixels[:, :45] = 200
    Image.fromarray(pixels).save(photographs / "trainA" / "turned.png", exif=exif)
    Image.fromarray(pixels[..., 0]).save(photographs / "trainB" / "gray.bmp")

    manifest = prepare(data_config(source="folder", path=str(photographs), image_size=None), tmp_path / "data")

    assert manifest == read_manifest(tmp_path / "data")
    turned = Image.open(tmp_path / "data" / "trainA" / "turned.png")
    assert (turned.mode, turned.size) == ("RGB", (70, 90))
    assert np.asarray(turned)[0].min() == 200 and np.asarray(turned)[-1].max() == 0
    gray = Image.open(tmp_path / "data" / "trainB" / "gray.png")
    assert np.array_equal(np.asarray(gray), np.repeat(pixels[..., :1], 3, axis=2))
    entry = next(entry for entry in manifest.splits["trainA"] if entry.name == "turned.png")
    assert entry == describe("turned.png", turned)


def test_the_shorter_side_is_shrunk_to_the_size(tmp_path, data_config, photographs):
    manifest = prepare(data_config(source="folder", path=str(photographs), image_size=35), tmp_path / "data")
    assert {(entry.width, entry.height) for split in SPLITS for entry in manifest.splits[split]} == {(45, 35)}


def test_without_test_folders_a_seeded_share_is_held_back_and_said(tmp_path, data_config, photographs, capsys):
    shutil.rmtree(photographs / "testA")
    data = data_config(source="folder", path=str(photographs), image_size=None, test_share=0.34)
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
        ("empty file", ["trainA/image_0.png: empty file", "data.on_bad_image: skip"]),
        ("missing", ["trainB missing", "expected:", "trainA/", "testB/"]),
        ("empty domain", ["testB: no images here", ".png"]),
        ("one test image", ["testB: 1 images here, at least 2 needed"]),
        ("tiny", ["trainA/image_0.png: 80x20", "at least 32"]),
        ("small", ["trainA/image_0.png: 80x40", "data.image_size 64"]),
    ],
)
def test_bad_input_is_named_and_leaves_the_old_data(tmp_path, data_config, photographs, kind, told):
    target = tmp_path / "data"
    data = data_config(source="folder", path=str(photographs), image_size=64)
    before = prepare(data, target)
    broken_folder(photographs, kind)
    with pytest.raises(UserError) as error:
        prepare(data, target)
    for part in told:
        assert part in str(error.value)
    assert read_manifest(target) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "photographs"]


def test_a_missing_folder_prints_the_expected_tree(tmp_path, data_config):
    with pytest.raises(UserError, match=r"no such folder\nexpected:"):
        prepare(data_config(source="folder", path=str(tmp_path / "nowhere")), tmp_path / "data")
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("top", ["photographs", "."])
def test_a_zip_archive_is_prepared_like_the_folder_in_it(tmp_path, data_config, photographs, top):
    expected = prepare(data_config(source="folder", path=str(photographs), image_size=None), tmp_path / "data")
    root = photographs if top == "." else tmp_path
    archive = shutil.make_archive(str(tmp_path / "mine"), "zip", root, top)
    manifest = prepare(data_config(source="folder", path=archive, image_size=None), tmp_path / "unpacked")
    assert manifest == expected
    assert sorted(path.name for path in (tmp_path / "unpacked").iterdir()) == sorted(
        path.name for path in (tmp_path / "data").iterdir()
    )


@pytest.mark.parametrize(
    "spoil, told",
    [
        (
            lambda folder: (folder / "trainA/image_0.png").write_bytes(b""),
            r"mine\.zip/trainA/image_0\.png: empty file\n",
        ),
        (lambda folder: shutil.rmtree(folder / "trainB"), r"data\.path = .*/mine\.zip: trainB missing\nexpected:"),
        (lambda folder: (folder / "testB/image_0.png").unlink(), r"mine\.zip/testB: 1 images here, at least 2 needed"),
    ],
)
def test_mistakes_in_a_zip_archive_are_told_by_its_name(tmp_path, data_config, photographs, spoil, told):
    spoil(photographs)
    archive = shutil.make_archive(str(tmp_path / "mine"), "zip", photographs)
    with pytest.raises(UserError, match=told) as error:
        prepare(data_config(source="folder", path=archive, image_size=None), tmp_path / "data")
    assert "partial" not in str(error.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine.zip", "photographs"]


def test_a_zip_archive_that_is_none_is_told(tmp_path, data_config):
    (tmp_path / "mine.ZIP").write_bytes(b"no archive")
    with pytest.raises(UserError, match=r"mine\.ZIP: cannot be unpacked: File is not a zip file$"):
        prepare(data_config(source="folder", path=str(tmp_path / "mine.ZIP")), tmp_path / "data")


def test_a_damaged_manifest_is_told(tmp_path):
    with pytest.raises(UserError, match="gcl prepare"):
        read_manifest(tmp_path)
    (tmp_path / "manifest.json").write_text(json.dumps([1])[:2])
    with pytest.raises(UserError, match="not JSON"):
        read_manifest(tmp_path)
    (tmp_path / "manifest.json").write_text("[1]")
    with pytest.raises(UserError, match="not a manifest"):
        read_manifest(tmp_path)


def test_a_disk_that_takes_no_more_is_told_and_leaves_the_old_data(tmp_path, data_config, photographs, monkeypatch):
    target = tmp_path / "data"
    data = data_config(source="folder", path=str(photographs), image_size=64)
    before = prepare(data, target)
    (tmp_path / "file").touch()
    with pytest.raises(
        UserError, match=r"could not be filled, and is as it was before: .*(Not a directory|File exists)"
    ):
        prepare(data, tmp_path / "file" / "data")

    def fill(path, content):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    monkeypatch.setattr("gcl.images.decoding.write_whole", fill)
    with pytest.raises(
        UserError, match=r"data could not be filled, and is as it was before: .*No space left on device"
    ):
        prepare(data.model_copy(update={"on_bad_image": "skip"}), target)
    assert read_manifest(target) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "file", "photographs"]


def test_a_killed_preparation_leaves_the_old_data_and_can_be_run_again(tmp_path, settings, photographs, monkeypatch):
    target, partial = tmp_path / "data", tmp_path / "data.partial"
    settings["data"].update({"source": "folder", "path": str(photographs), "image_size": None})
    before = prepare(parse_params(settings, "params.yaml").data, target)
    pixels = np.random.default_rng(0).integers(0, 256, (500, 500, 3), dtype=np.uint8)
    for index in range(FEW):
        Image.fromarray(np.roll(pixels, index)).save(photographs / "trainA" / f"more_{index}.bmp")
    YAML().dump(settings, tmp_path / "params.yaml")
    command = [sys.executable, "-m", "pipeline", "prepare", f"--params={tmp_path}/params.yaml", f"--target={target}"]
    with subprocess.Popen(command, cwd=ROOT) as process:
        while process.poll() is None and not any(partial.glob("trainA/*.png")):
            time.sleep(0.01)
        workers = psutil.Process(process.pid).children(recursive=True)
        process.kill()
    assert partial.is_dir() and not (partial / "manifest.json").exists()
    assert read_manifest(target) == before
    assert workers and not psutil.wait_procs(workers, timeout=60)[1]

    settings["data"]["image_size"] = 32
    again = prepare(parse_params(settings, "params.yaml").data, target)
    assert not partial.exists()
    assert sorted(path.name for path in (target / "trainA").iterdir()) == [e.name for e in again.splits["trainA"]]
    monkeypatch.setattr("gcl.parallel.FEW", 1000)
    assert prepare(parse_params(settings, "params.yaml").data, tmp_path / "alone") == again


def test_the_report_lists_what_was_skipped_and_says_first_what_invalidates_it():
    # Imported here because it imports torch, which the other tests do not need.
    from gcl.measures.evaluation_rows import SIDES
    from gcl.measures.verdict import verdict_on
    from pipeline.pages.rendering import render

    def report(skipped, warnings=()):
        images = {split: [] for split in SPLITS}
        manifest = Manifest("folder", False, False, images, ["a note"], list(warnings), skipped)
        params = {
            "train.steps": 1,
            "train.batch_size": 1,
            "train.devices": 1,
            "train.seed": 0,
        }
        return render(
            "report.md.j2", params=params, graph=None, manifest=manifest, counts=manifest.counts(), last={},
            results=[], method="the method", versions={}, threads=1, verdict=verdict_on([]), sides=SIDES, findings=[],
            section="graph", looked_at=0, validation=None, checkpoints={}, compared=False, start=None,
        )  # fmt: skip

    plain = report([])
    few = report([Skipped("trainA", "a.jpg", "empty file"), Skipped("testB", "b/c.png", "too small")])
    assert (
        plain
        != few
        == plain.replace(
            "- a note\n",
            "- a note\n\nSkipped files:\n\n- trainA/a.jpg: empty file\n- testB/b/c.png: too small\n",
        )
    )
    many = report([Skipped("trainA", f"{index}.jpg", "empty file") for index in range(21)])
    assert "- a note\n\n<details><summary>Skipped files</summary>\n\n- trainA/0.jpg: empty file\n" in many
    assert "- trainA/20.jpg: empty file\n\n</details>\n\nTrained on" in many
    assert "the method.\n\n**2 images leak.**\n\nOne seed" in report([], ["2 images leak"])
