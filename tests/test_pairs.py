"""Pairs of test images (data.test_pairs): known by their names, refused where they are none, measured and shown."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from gcl.errors import UserError
from gcl.images.manifest import SPLITS, read_manifest
from gcl.images.prepared import Prepared
from gcl.measures.metrics import METRICS, STRIPES
from gcl.sources.folder import OFFER
from pipeline.params import parse_params
from pipeline.running.devices import make_fabric
from pipeline.running.run_folder import RunFolder
from pipeline.stages.evaluate import run_evaluation
from pipeline.stages.prepare import prepare
from pipeline.stages.report import write_report
from pipeline.stages.train import run_training
from pipeline.stages.translate import translate
from tests.project import TINY
from tests.stores import empty_store

SIDE = 64
"""The sides of all images, which are those of the sample grids, so that nothing is scaled."""


@pytest.fixture
def photographs(tmp_path, save_images):
    """A folder of 4 + 4 images to train on and three pairs, whose paths sort differently in testA and testB."""
    for split in ("trainA", "trainB"):
        save_images(tmp_path / "photographs" / split, 4, size=(SIDE, SIDE))
    names = {"testA": ["a.PNG", "a.b.png", "deep/c.bmp"], "testB": ["a.png", "a.b.png", "deep/c.tiff"]}
    random = np.random.default_rng(0)
    for split, files in names.items():
        for name in files:
            path = tmp_path / "photographs" / split / name
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(random.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)).save(path)
    return tmp_path / "photographs"


@pytest.fixture
def params(settings, photographs):
    """params(key=value, ...) are tiny parameters for the photographs as pairs, with changes of the section data."""

    def make(**data):
        for section, values in TINY.items():
            settings[section].update(values)
        folder = {"source": "folder", "path": str(photographs), "image_size": None, "test_pairs": True}
        settings["data"].update(folder | data)
        return parse_params(settings, "params.yaml")

    return make


def pixels(path) -> np.ndarray:
    return np.asarray(Image.open(path))


def test_pairs_are_stored_under_one_name_and_the_manifest_says_so(params, tmp_path):
    manifest = prepare(params().data, tmp_path / "data")
    assert manifest.paired and manifest == read_manifest(tmp_path / "data") and manifest.notes == []
    data = Prepared(tmp_path / "data")
    stored = {"a.png": ("a.PNG", "a.png"), "a.b.png": ("a.b.png",) * 2, "deep_c.png": ("deep/c.bmp", "deep/c.tiff")}
    assert {path.name for path in data.images("testA")} == set(stored)
    for path in data.images("testA"):
        first, second = stored[path.name]
        assert np.array_equal(pixels(path), pixels(tmp_path / "photographs/testA" / first))
        assert np.array_equal(pixels(data.truth(path)), pixels(tmp_path / "photographs/testB" / second))


def test_the_truth_is_measured_and_stands_in_grids_and_report(params, tmp_path, monkeypatch):
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    shutil.copy(empty_store(), tmp_path / "mlflow.db")
    data, run = Prepared(tmp_path / "data"), RunFolder(*map(tmp_path.joinpath, ("model", "out", "reports", "run.json")))
    prepare(params().data, data.folder)
    run_training(make_fabric(params().train), params(), data, run, tmp_path / "unfinished")
    translate("cpu", run.model, data.split("testA"), run.translated)
    run_evaluation(params(), data, run)
    write_report(params(), data, run)

    rows = {row["name"]: row for row in json.loads((run.reports / "evaluation.json").read_text())}
    assert {"lpips_small_to_truth", "psnr_to_truth", "ssim_to_truth"} <= rows.keys()
    pairs = [
        (pixels(tmp_path / "photographs/testA" / first), pixels(tmp_path / "photographs/testB" / second))
        for first, second in (("a.PNG", "a.png"), ("a.b.png", "a.b.png"), ("deep/c.bmp", "deep/c.tiff"))
    ]
    psnr = np.mean([peak_signal_noise_ratio(truth, image) for image, truth in pairs])
    ssim = np.mean([structural_similarity(truth, image, channel_axis=2) for image, truth in pairs])
    assert rows["psnr_to_truth"]["untranslated"] == pytest.approx(psnr, rel=1e-5)
    assert rows["ssim_to_truth"]["untranslated"] == pytest.approx(ssim, rel=1e-4)
    assert all(row["misleads"] is None for row in rows.values())

    report = (run.reports / "report.md").read_text()
    assert "translations and the truth]" in report and "misleads" not in report
    (*_, grid) = sorted((run.reports / "samples").glob("*.png"))
    for row, image in enumerate(data.images("testA")[:2]):
        for column, shown in ((0, image), (2, data.truth(image))):
            top, left = (2 + place * (SIDE + 2) for place in (row, column))
            cell = pixels(grid)[top : top + SIDE, left : left + SIDE]
            assert np.array_equal(cell, pixels(shown))


@pytest.mark.parametrize("source, told", [("scenes", STRIPES), ("folder", None), ("horse2zebra", None)])
def test_only_stripes_of_drawn_zebras_make_metrics_mislead(params, tmp_path, source, told):
    manifest = replace(prepare(params().data, tmp_path / "data"), source=source)
    reasons = {metric.name: metric.misleads(manifest.source, manifest.direction) for metric in METRICS}
    assert {reasons["psnr_to_truth"], reasons["ssim_to_truth"]} == {told}
    assert reasons["lpips{features}_to_truth"] is None


def without_partners(folder):
    for index in range(7):
        shutil.copy(folder / "testA/a.PNG", folder / f"testA/more_{index}.png")
    (folder / "testA/a.b.png").unlink()


def in_two_sizes(folder):
    Image.new("RGB", (70, SIDE)).save(folder / "testB/a.png")


def of_one_name(folder):
    for split in ("testA", "testB"):
        for suffix in ("bmp", "tiff"):
            Image.new("RGB", (SIDE, SIDE)).save(folder / split / f"twice.{suffix}")


@pytest.mark.parametrize(
    "spoil, told",
    [
        (
            without_partners,
            "8 of 12 test images have no partner of the same name (testA/more_0.png, testA/more_1.png, "
            "testA/more_2.png, testA/more_3.png, testA/more_4.png and 3 more): remove them",
        ),
        (
            in_two_sizes,
            "1 of 3 pairs would be stored in two sizes (testA/a.PNG 64x64 and testB/a.png 70x64): crop or remove them",
        ),
        (
            of_one_name,
            "2 test images have the name of another in the same folder (testA/twice.tiff, testB/twice.tiff): "
            "rename them",
        ),
        (
            lambda folder: (folder / "testA/a.PNG").rename(folder / "testA/A.PNG"),
            "2 of 6 test images have no partner of the same name (testA/A.PNG, testB/a.png): remove them",
        ),
    ],
)
@pytest.mark.parametrize("archived", [False, True])
def test_what_is_no_pair_is_told_and_leaves_the_old_data(params, photographs, tmp_path, spoil, told, archived):
    before = prepare(params().data, tmp_path / "data")
    spoil(photographs)
    path = shutil.make_archive(str(tmp_path / "mine"), "zip", photographs) if archived else str(photographs)
    with pytest.raises(UserError) as error:
        prepare(params(path=path).data, tmp_path / "data")
    assert str(error.value) == f"data.test_pairs = true, but in {path} {told}, or set data.test_pairs: false"
    assert read_manifest(tmp_path / "data") == before
    assert not (tmp_path / "data.partial").exists()
    assert not prepare(params(test_pairs=False).data, tmp_path / "data").paired


def test_a_partner_that_was_skipped_is_told_with_the_reason(params, photographs, tmp_path):
    (photographs / "testB/a.png").write_bytes(b"")
    (photographs / "trainA/image_0.png").write_bytes(b"")
    with pytest.raises(UserError) as error:
        prepare(params(on_bad_image="skip").data, tmp_path / "data")
    assert str(error.value).endswith(
        "1 of 5 test images have no partner of the same name (testA/a.PNG): remove them, or set data.test_pairs: "
        "false; skipped: testB/a.png: empty file"
    )
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("gone", [["testA"], ["testB"], ["testA", "testB"]])
def test_training_images_that_are_held_back_are_no_pairs(params, photographs, tmp_path, gone):
    for split in gone:
        shutil.rmtree(photographs / split)
    with pytest.raises(UserError, match=rf"data\.test_pairs = true: .* has no {' and no '.join(gone)}, .*: false$"):
        prepare(params().data, tmp_path / "data")
    assert not (tmp_path / "data").exists()
    assert OFFER not in prepare(params(test_pairs=False).data, tmp_path / "data").notes


def test_pairs_are_offered_where_all_names_agree(params, photographs, tmp_path, capsys):
    unpaired = prepare(params(test_pairs=False).data, tmp_path / "data")
    assert unpaired.notes == [OFFER] and not unpaired.paired
    assert f"note: {OFFER}" in capsys.readouterr().out
    paired = prepare(params().data, tmp_path / "data")
    assert paired.paired and paired.sha256 == unpaired.sha256
    (photographs / "testA/a.PNG").rename(photographs / "testA/other.png")
    assert prepare(params(test_pairs=False).data, tmp_path / "data").notes == []


@pytest.mark.parametrize("told", [True, False])
def test_scenes_are_pairs_whatever_is_said(params, tmp_path, told):
    scenes = params(source="scenes", image_size=SIDE, test_pairs=told).data
    manifest = prepare(scenes, tmp_path / "data")
    names = [[entry.name for entry in manifest.splits[split]] for split in SPLITS[2:]]
    assert manifest.paired and names[0] == names[1] and manifest.notes == []
