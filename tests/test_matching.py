"""Folders of translations by other programs: what is wrong with them is reported before anything is measured."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gcl.config import EvaluateConfig
from gcl.errors import UserError
from gcl.images.decoding import save_png
from gcl.images.manifest import SPLITS, Manifest, describe
from gcl.images.prepared import Prepared
from gcl.measures.check_translations import check_translations
from gcl.measures.evaluation import evaluate
from tests.pictures import png_header, png_of

NAMES = [f"im{index}" for index in range(5)]
ENTRIES = [describe(f"{name}.png", Image.new("RGB", (48, 40))) for name in NAMES]


def write(folder: Path, *names: str, size: tuple[int, int] = (48, 40)) -> Path:
    folder.mkdir(exist_ok=True)
    for name in names:
        save_png(np.zeros((size[1], size[0], 3), np.uint8), folder / name)
    return folder


def complaint(folder: Path) -> str:
    with pytest.raises(UserError) as error:
        check_translations(folder, ENTRIES)
    return str(error.value)


def test_a_folder_that_matches_is_taken_whatever_else_is_in_it(tmp_path):
    folder = write(tmp_path / "other", *(f"{name}.png" for name in NAMES), ".hidden.png")
    (folder / "log.txt").touch()
    check_translations(folder, ENTRIES)


def test_missing_and_extra_names_come_in_one_message(tmp_path):
    told = complaint(write(tmp_path / "other", "im1.png", "more.png"))
    assert "4 of 5 are missing: im0.png, im2.png, im3.png, im4.png" in told
    assert "1 belong to no test image: more.png" in told
    assert "copy only" not in told and "FID" not in told


@pytest.mark.parametrize("suffix", ["_fake_B", "_fake"])
def test_names_of_other_programs_are_told_with_what_to_rename(tmp_path, suffix):
    names = [f"{name}{ending}.png" for name in NAMES for ending in (suffix, "_real_A")]
    assert f"im0{suffix}.png as im0.png" in complaint(write(tmp_path / "other", *names))


def test_jpeg_is_told_by_name_and_by_content(tmp_path):
    folder = write(tmp_path / "other", *(f"{name}.png" for name in NAMES[2:]))
    Image.new("RGB", (48, 40)).save(folder / "im0.jpg")
    Image.new("RGB", (48, 40)).save(folder / "im1.png", format="JPEG")
    told = complaint(folder)
    assert ".jpg files are not evaluated, since compression changes FID" in told
    assert "1 are not PNG inside, whatever their names say: im1.png is JPEG" in told


def test_other_sizes_and_damaged_files_are_told(tmp_path):
    folder = write(tmp_path / "other", *(f"{name}.png" for name in NAMES[:2]))
    write(folder, "im2.png", size=(64, 64))
    (folder / "im3.png").write_bytes(b"no image")
    (folder / "im4.png").write_bytes(png_of(png_header(30000, 30000)))
    told = complaint(folder)
    assert "1 differ in size from their input: im2.png 64x64, its input 48x40" in told
    assert "im3.png is not an image that can be read, im4.png is not an image that can be read" in told


def test_folders_inside_and_a_folder_that_is_not_there_are_told(tmp_path):
    (tmp_path / "images" / "fake_B").mkdir(parents=True)
    assert "it has subfolders; name one of them: fake_B" in complaint(tmp_path / "images")
    assert complaint(tmp_path / "absent").endswith("there is no such folder; run: gcl translate")


def test_names_are_checked_before_any_network_is_loaded(tmp_path):
    """The weights do not exist, and nothing asks for them."""
    Manifest("folder", False, False, {split: ENTRIES for split in SPLITS}).save(tmp_path)
    absent = tmp_path / "absent.pth"
    config = EvaluateConfig(
        features="inception", inception_weights=absent, alexnet_weights=absent, batch_size=2, seed=0
    )
    with pytest.raises(UserError, match="5 of 5 are missing"):
        evaluate(config, Prepared(tmp_path), write(tmp_path / "other", "more.png"), "cpu")
