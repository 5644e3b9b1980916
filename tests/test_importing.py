"""Importing a folder: which files count, their names, what is skipped, held back, repeated and shared."""

import os
import shutil
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gcl.errors import UserError
from gcl.images.decoding import BadImageError, save_png
from gcl.images.manifest import SPLITS, Skipped, read_manifest
from gcl.images.prepared import Prepared
from gcl.sources.folder import LONGEST_STEM, import_folder
from pipeline.params import parse_params
from tests.pictures import saved


@pytest.fixture
def source(tmp_path, save_images):
    """A folder of 4 + 3 images to train on, 2 + 2 to test on, whose shapes rule out that they are pairs."""
    for split, count in zip(SPLITS, (4, 3, 2, 2), strict=True):
        save_images(tmp_path / "source" / split, count, size=(41 if split == "testB" else 40, 33))
    return tmp_path / "source"


@pytest.fixture
def imported(settings, tmp_path, source):
    """Imports the folder and returns the manifest."""

    def run(target: str = "target", **data):
        settings["data"].update({"source": "folder", "path": str(source), "image_size": None, **data})
        (tmp_path / target).mkdir()
        config = parse_params(settings, "params.yaml").data
        return import_folder(config, source, Prepared(tmp_path / target), lambda items, description, total: items)

    return run


def picture(path: Path, value: int, side: int = 40) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (side, side), (value, value, value)).save(path)
    return path


def stored(target: Path, split: str = "trainA") -> dict[str, int]:
    """The stored images of a single colour, with its value."""
    files = {path.name: np.asarray(Image.open(path)) for path in (target / split).iterdir()}
    return {name: int(pixels[0, 0, 0]) for name, pixels in files.items() if pixels.std() == 0}


def test_folders_inside_become_part_of_the_name(imported, source, tmp_path):
    picture(source / "trainA/day/one.jpg", 10)
    picture(source / "trainA/night/deep/one.jpg", 20)
    picture(source / "trainA/folder.png/one.jpg", 30)
    manifest = imported()
    assert stored(tmp_path / "target") == {"day_one.png": 10, "night_deep_one.png": 20, "folder.png_one.png": 30}
    assert not manifest.notes and not manifest.skipped and not manifest.warnings


def test_names_that_collide_are_numbered_in_the_order_of_the_paths_and_told(imported, source, tmp_path):
    names = ["a.jpg", "a.png", "A.bmp", "a_2.bmp", "sub/b.png", "sub_b.png"]
    for index, name in enumerate(names):
        picture(source / "trainA" / name, 10 * index)
    manifest = imported()
    assert stored(tmp_path / "target") == {
        "A.png": 20,
        "a_2.png": 0,
        "a_3.png": 10,
        "a_2_2.png": 30,
        "sub_b.png": 40,
        "sub_b_2.png": 50,
    }
    assert manifest.notes == [
        "trainA: 4 numbered, because their names were taken (a.jpg as a_2.png, a.png as a_3.png, a_2.bmp as a_2_2.png, "
        "sub_b.png as sub_b_2.png)"
    ]
    assert imported("again").sha256 == manifest.sha256


def test_names_of_any_script_are_kept_in_one_spelling_and_stay_writable(imported, source, tmp_path):
    decomposed = unicodedata.normalize("NFD", "Zürich é")
    for index, name in enumerate([f"{decomposed}.png", "斑马 🦓.png", "line\nbreak.png", "long" * 60 + ".png"]):
        picture(source / "trainA" / name, 10 * index)
    picture(source / "trainA" / os.fsdecode(b"not\xffutf8.png"), 50)
    manifest = imported(target="目标")
    assert stored(tmp_path / "目标") == {
        "Zürich é.png": 0,
        "斑马 🦓.png": 10,
        "line\ufffdbreak.png": 20,
        ("long" * 60)[-LONGEST_STEM:] + ".png": 30,
        "not\ufffdutf8.png": 50,
    }
    manifest.save(tmp_path / "目标")
    assert read_manifest(tmp_path / "目标") == manifest


def test_hidden_files_are_passed_over_and_others_told(imported, source, tmp_path):
    for hidden in (".a.png", "._image_0.png", ".cache/a.png", "__MACOSX/a.png"):
        picture(source / "trainA" / hidden, 1)
    (source / "trainA/.DS_Store").write_bytes(b"x")
    for other in ("notes.txt", "more.TXT", "clip.mp4", "image", "deep/er/Thumbs.db"):
        (source / "trainA" / other).parent.mkdir(parents=True, exist_ok=True)
        (source / "trainA" / other).write_bytes(b"x")
    (source / "trainA/elsewhere").symlink_to(source / "trainB")
    (source / "trainA/circle").symlink_to(source / "trainA")
    manifest = imported()
    assert manifest.notes == [
        "trainA: 7 other entries ignored (.db: 1, .mp4: 1, .txt: 2, link to a folder: 2, no suffix: 1)"
    ]
    assert manifest.counts()["trainA"] == 4


def test_what_was_passed_over_is_told_where_images_are_missing(imported, source):
    for path in (source / "testB").iterdir():
        path.rename(path.with_suffix(".HEIC"))
    with pytest.raises(UserError, match=r"testB: no images here, .*\.gif .* are read; testB: 2 other entries ignored"):
        imported()


def test_heic_is_passed_over_with_advice(imported, source):
    (source / "trainA/one.heic").write_bytes(b"x")
    notes = ["trainA: 1 other entry ignored (.heic: 1); convert HEIC to JPEG or PNG"]
    assert imported().notes == notes


def test_a_file_in_the_place_of_the_folder_is_called_a_file(imported, source, tmp_path):
    shutil.rmtree(source)
    source.write_bytes(b"an archive of another kind")
    with pytest.raises(UserError, match=r"source: a file, not a folder; unpack it, or name a \.zip archive$"):
        imported()


def test_a_link_to_an_image_is_that_image(imported, source, tmp_path):
    (source / "trainA/link.png").symlink_to(picture(tmp_path / "elsewhere.png", 77))
    imported()
    assert stored(tmp_path / "target") == {"link.png": 77}


@pytest.fixture
def spoilt(source):
    """The folder with bad files of several kinds among the good ones."""
    (source / "trainA/a.jpg").write_bytes(b"")
    (source / "trainA/z.png").symlink_to("nowhere")
    (source / "trainB/deep").mkdir()
    (source / "trainB/deep/text.webp").write_text("text")
    picture(source / "trainB/tiny.png", 5, side=31)
    picture(source / "testA/small.png", 5, side=32)
    return source


def test_skipping_lists_every_file_with_its_reason_and_keeps_the_rest(imported, spoilt, tmp_path):
    manifest = imported(image_size=33, on_bad_image="skip")
    assert manifest.skipped == [
        Skipped("trainA", "a.jpg", "empty file"),
        Skipped("trainA", "z.png", "not a file, or a broken link"),
        Skipped(
            "trainB", "deep/text.webp", "not an image that can be read; PNG, JPEG, WebP, AVIF, GIF, BMP and TIFF can"
        ),
        Skipped("trainB", "tiny.png", "31x31 pixels; at least 32 per side are needed"),
        Skipped(
            "testA",
            "small.png",
            "32x32 pixels, smaller than data.image_size 33; use larger images or a smaller data.image_size",
        ),
    ]
    assert manifest.notes == ["5 of 16 files were unusable and were skipped"]
    assert manifest.counts() == dict(zip(SPLITS, (4, 3, 2, 2), strict=True))
    for split in SPLITS:
        assert {path.name for path in (tmp_path / "target" / split).iterdir()} == {
            entry.name for entry in manifest.splits[split]
        }
    for file in manifest.skipped:
        (spoilt / file.split / file.name).unlink()
    assert imported("without", image_size=33).sha256 == manifest.sha256


def test_stopping_names_the_first_bad_file_in_the_order_of_the_paths(imported, spoilt):
    with pytest.raises(BadImageError, match=r"trainA/a\.jpg: empty file$"):
        imported("one")
    (spoilt / "trainA/a.jpg").unlink()
    with pytest.raises(BadImageError, match=r"trainA/z\.png: not a file"):
        imported("two")


def test_too_few_images_are_told_with_what_was_skipped(imported, source):
    (source / "testB/image_1.png").write_bytes(b"")
    with pytest.raises(UserError, match=r"testB: 1 images here, at least 2 needed; skipped: testB/image_1.png: empty"):
        imported("one", on_bad_image="skip")
    (source / "testB/image_1.png").unlink()
    with pytest.raises(UserError, match=r"testB: 1 images here, at least 2 needed; files ending in \.png"):
        imported("two")
    (source / "testB/image_0.png").unlink()
    with pytest.raises(UserError, match="testB: no images here"):
        imported("three")
    (source / "testB").rmdir()
    (source / "trainB/image_0.png").unlink()
    with pytest.raises(UserError, match="trainB: 2 images here, at least 3 needed, 2 of them to hold back for tests"):
        imported("four")


def test_what_is_held_back_depends_on_the_seed_and_on_usable_files_only(imported, source, tmp_path):
    for path in sorted((source / "testA").iterdir()):
        path.unlink()
    (source / "testA").rmdir()
    held = {}
    for seed in range(6):
        manifest = imported(f"seed {seed}", seed=seed)
        held[seed] = {entry.name for entry in manifest.splits["testA"]}
        for split in ("trainA", "testA"):
            assert {path.name for path in (tmp_path / f"seed {seed}" / split).iterdir()} == {
                entry.name for entry in manifest.splits[split]
            }
        assert manifest.counts()["trainA"] == 2 and len(held[seed]) == 2
        assert manifest.notes == [f"no testA: held back 2 of trainA (data.seed {seed})"]
    assert len(set(map(frozenset, held.values()))) > 1
    (source / "trainA/broken.png").write_bytes(b"")
    again = imported("again", seed=3, on_bad_image="skip")
    assert {entry.name for entry in again.splits["testA"]} == held[3]


def test_frames_and_profiles_left_out_are_told(imported, source):
    frames = [Image.new("RGB", (40, 40), (value, value, value)) for value in (1, 2)]
    for index in range(7):
        (source / f"trainA/{index}.png").write_bytes(saved(frames[0], "PNG", save_all=True, append_images=frames[1:]))
    (source / "testB/odd.png").write_bytes(saved(frames[0], "PNG", icc_profile=b"none"))
    assert imported().notes == [
        "trainA: 7 with several frames or pages, of which only the first is used (0.png, 1.png, 2.png, 3.png, 4.png "
        "and 2 more)",
        "testB: 1 with a colour profile that does not fit, so the colours are read as sRGB (odd.png)",
        "trainA: 6 repeat another image in it",
    ]


def test_a_picture_in_train_and_test_is_a_warning_whatever_its_file_is(imported, source):
    pixels = np.asarray(Image.open(source / "trainB/image_1.png"))
    save_png(pixels, source / "testB/same.png")
    Image.fromarray(pixels).save(source / "testB/same.bmp")
    Image.fromarray(pixels).save(source / "trainA/other domain.bmp")
    manifest = imported()
    assert manifest.warnings == [
        "2 of 4 images of testB are in trainB too, which invalidates the metrics; remove them from one of the two "
        "(same.png = image_1.png, same_2.png = image_1.png)"
    ]
    assert "testB: 1 repeat another image in it" in manifest.notes


@pytest.mark.parametrize("split", ["testA", "trainB", "testB"])
def test_a_small_image_that_shrinks_what_metrics_see_is_a_warning_with_its_name(imported, source, split):
    Image.new("RGB", (50, 32)).save(source / split / "tiny.png")
    (warning,) = imported().warnings
    assert "FID and KID see every image shrunk to 32 pixels" in warning
    assert f"({split}/tiny.png, 50x32), while others have up to 33 (" in warning
    assert imported("again", image_size=32).warnings == []


def test_other_shapes_and_small_training_images_of_a_shrink_nothing(imported, source):
    Image.new("RGB", (33, 90)).save(source / "testA/tall.png")
    Image.new("RGB", (32, 32)).save(source / "trainA/tiny.png")
    assert imported().warnings == []
