"""Images held back to validate on, and A and B exchanged: every image is in one split only, and the right one."""

import numpy as np
import pytest
from PIL import Image

from gcl.errors import UserError
from gcl.images.manifest import SPLITS, read_manifest
from gcl.images.prepared import Prepared
from gcl.measures.metrics import METRICS
from pipeline.stages.prepare import FIRST_SCENE, prepare


@pytest.fixture
def photographs(tmp_path, save_images):
    """A folder with 20 and 10 images to train on, 3 and 2 to test on."""
    for split, count in zip(SPLITS, (20, 10, 3, 2), strict=True):
        save_images(tmp_path / "photographs" / split, count)
    return {"source": "folder", "path": str(tmp_path / "photographs"), "image_size": None}


def contents(folder):
    return {path.name: np.asarray(Image.open(path)).tobytes() for path in folder.glob("*.png")}


def test_a_share_of_both_domains_is_held_back_by_the_seed(tmp_path, data_config, photographs):
    manifest = prepare(data_config(**photographs, validation_share=0.2), tmp_path / "data")
    assert manifest.counts() == {
        "trainA": 16,
        "trainB": 8,
        "testA": 3,
        "testB": 2,
        "validationA": 4,
        "validationB": 2,
    }
    assert manifest == read_manifest(tmp_path / "data") and manifest.validates
    for domain in "AB":
        train, validation = (contents(tmp_path / "data" / f"{name}{domain}") for name in ("train", "validation"))
        assert train.keys() & validation.keys() == set()
        assert train | validation == contents(tmp_path / "photographs" / f"train{domain}")
    again = prepare(data_config(**photographs, validation_share=0.2), tmp_path / "again")
    other = prepare(data_config(**photographs, validation_share=0.2, seed=1), tmp_path / "other")
    assert again.splits == manifest.splits != other.splits and again.sha256 == manifest.sha256 != other.sha256


def test_test_images_stay_the_same_whatever_is_validated(tmp_path, data_config, photographs, save_images):
    held = [
        prepare(data_config(**photographs, test_share=0.3, validation_share=share), tmp_path / f"data_{share}")
        for share in (0, 0.2)
    ]
    assert held[0].splits["testA"] == held[1].splits["testA"] and not held[0].validates


@pytest.mark.parametrize("share", [0, 0.1])
def test_without_two_images_of_each_domain_all_of_them_train(tmp_path, data_config, photographs, share):
    manifest = prepare(data_config(**photographs, validation_share=share), tmp_path / "data")
    assert manifest.counts() == dict(zip(SPLITS, (20, 10, 3, 2), strict=True))
    assert not (tmp_path / "data/validationA").exists()


def test_a_share_that_leaves_nothing_to_train_on_is_refused(tmp_path, data_config, photographs):
    with pytest.raises(UserError) as error:
        prepare(data_config(**photographs, validation_share=0.96), tmp_path / "data")
    told = str(error.value)
    assert told.startswith("data.validation_share = 0.96 leaves none of the 10 images of trainB to train on")
    assert "\n" not in told and not (tmp_path / "data").exists()


def test_a_validation_image_that_is_trained_on_is_told(tmp_path, data_config, photographs):
    first = tmp_path / "photographs/trainA/image_0.png"
    for index in range(1, 20):
        (first.parent / f"image_{index}.png").write_bytes(first.read_bytes())
    manifest = prepare(data_config(**photographs, validation_share=0.2), tmp_path / "data")
    assert any(warning.startswith("4 of 4 images of validationA are in trainA too") for warning in manifest.warnings)


def test_validation_scenes_are_pairs_of_their_own(tmp_path, data_config):
    prepare(data_config(scenes_train=2, scenes_test=2, scenes_validation=2), tmp_path / "data")
    first = {FIRST_SCENE[split] for split in ("trainA", "trainB", "testA", "validationA")}
    assert len(first) == 4 and FIRST_SCENE["validationA"] == FIRST_SCENE["validationB"]
    assert Prepared(tmp_path / "data").manifest.validation_paired


@pytest.mark.parametrize("source", ["scenes", "folder"])
def test_the_other_direction_exchanges_every_split(tmp_path, data_config, photographs, source):
    chosen = photographs if source == "folder" else {"scenes_train": 3, "scenes_test": 2}
    there = prepare(data_config(**chosen, validation_share=0.2, scenes_validation=2), tmp_path / "there")
    back = prepare(data_config(direction="BtoA"), tmp_path / "back")
    assert there.splits.keys() == back.splits.keys() and back.direction == "BtoA"
    for split, entries in back.splits.items():
        other = f"{split[:-1]}{'B' if split.endswith('A') else 'A'}"
        assert entries == there.splits[other]
        assert contents(tmp_path / "back" / split) == contents(tmp_path / "there" / other)
    assert back.sha256 != there.sha256


def test_uneven_sizes_are_told_of_what_is_compared_in_this_direction(tmp_path, data_config, save_images):
    for split, size in (("trainA", 40), ("trainB", 64), ("testA", 64), ("testB", 64)):
        save_images(tmp_path / "photographs" / split, 2, size=(size, size))
    data = {"source": "folder", "path": str(tmp_path / "photographs"), "image_size": None}
    assert prepare(data_config(**data), tmp_path / "there").warnings == []
    (warning,) = prepare(data_config(**data, direction="BtoA"), tmp_path / "back").warnings
    assert "shrunk to 40 pixels, the shorter side of the smallest (trainB/" in warning


def test_zebras_become_horses_without_the_zebras_segmenter(tmp_path, data_config):
    back = prepare(data_config(scenes_train=2, scenes_test=2, direction="BtoA"), tmp_path / "back")
    assert back.paired and not back.masks and not (tmp_path / "back/masks").exists()
    known = [metric for metric in METRICS if metric.known_for(back)]
    assert [metric.name for metric in known if metric.compares == "regions"] == []
    assert [metric.name for metric in known if metric.misleads(back.source, back.direction)] == []
