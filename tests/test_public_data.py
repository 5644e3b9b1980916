"""A public data set by name: fetched, checked, unpacked and imported, from a local copy of its archive."""

import hashlib
import shutil
import zipfile

import pytest

from gcl.errors import UserError
from gcl.sources.public_datasets import DATASETS, Dataset
from pipeline.params import parse_params
from pipeline.stages.prepare import prepare


@pytest.fixture
def horse2zebra(save_images, tmp_path, settings, monkeypatch):
    """Parameters for horse2zebra, whose archive is replaced by a small one of the same layout."""
    for split in ("trainA", "trainB", "testA", "testB"):
        save_images(tmp_path / "horse2zebra" / split, 3, suffix=".jpg")
    archive = tmp_path / "mirror" / "horse2zebra.zip"
    archive.parent.mkdir()
    with zipfile.ZipFile(archive, "w") as file:
        for path in sorted((tmp_path / "horse2zebra").rglob("*.jpg")):
            file.write(path, path.relative_to(tmp_path))
    shutil.rmtree(tmp_path / "horse2zebra")
    small = Dataset("horse2zebra", archive.stat().st_size, hashlib.sha256(archive.read_bytes()).hexdigest())
    monkeypatch.setitem(DATASETS, "horse2zebra", small)
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    settings["data"] |= {"source": "horse2zebra", "mirror": "mirror"}
    return parse_params(settings, "params.yaml").data


def test_an_archive_becomes_a_prepared_data_set(horse2zebra, tmp_path):
    manifest = prepare(horse2zebra, tmp_path / "data/prepared")
    assert manifest.source == "horse2zebra" and manifest.counts() == dict.fromkeys(manifest.splits, 3)
    assert sorted(path.name for path in (tmp_path / "data/prepared/testA").iterdir())[0] == "image_0.png"
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["prepared"]


def test_a_wrong_archive_is_refused_and_what_was_prepared_stays(horse2zebra, tmp_path):
    before = prepare(horse2zebra, tmp_path / "data/prepared").sha256
    archive = tmp_path / "mirror/horse2zebra.zip"
    archive.write_bytes(archive.read_bytes()[:-1] + b"?")
    with pytest.raises(UserError, match=r"horse2zebra\.zip: SHA-256 .*, expected .*damaged or another file"):
        prepare(horse2zebra, tmp_path / "data/prepared")
    assert before in (tmp_path / "data/prepared/manifest.json").read_text()
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["prepared"]


def test_an_unknown_data_set_is_told_with_what_there_is(settings):
    settings["data"]["source"] = "horse2zebras"
    with pytest.raises(UserError, match=r"data\.source = horse2zebras: .* choose from scenes, folder, .*horse2zebra"):
        parse_params(settings, "params.yaml")
