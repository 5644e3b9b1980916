"""The list of metrics: their names, yardsticks and order; and a new metric takes only one entry."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from mlflow import MlflowClient
from PIL import Image

from gcl.config import EvaluateConfig
from gcl.images.manifest import SPLITS, Entry, Manifest, describe
from gcl.images.pixels import to_tensor
from gcl.images.prepared import Prepared
from gcl.measures import set_distances
from gcl.measures.evaluation import Result, evaluate
from gcl.measures.features.feature_sets import FEATURE_SETS
from gcl.measures.features.judge_network import judge_distance, judge_features
from gcl.measures.measurement import Measurement, library_version
from gcl.measures.metrics import METRICS, Metric
from gcl.measures.pair_distances import (
    lpips_distances,
    peak_signal_to_noise,
    structure_distances,
    structure_to_next,
)
from gcl.measures.set_distances import frechet_and_kernel
from pipeline.params import parse_params, read_mapping
from pipeline.running.devices import make_fabric
from pipeline.running.run_folder import RunFolder
from pipeline.stages.compare import compare
from pipeline.stages.evaluate import run_evaluation
from pipeline.stages.prepare import prepare
from pipeline.stages.report import write_report
from pipeline.stages.train import run_training
from pipeline.stages.translate import translate
from tests.noise import write_noise
from tests.project import ROOT, TINY
from tests.stores import empty_store

CONFIG = EvaluateConfig(features="small", inception_weights=None, alexnet_weights=None, batch_size=8, seed=3)


@pytest.fixture(scope="module")
def params():
    """Tiny parameters for drawn scenes, with no variant beside main."""
    settings = read_mapping(ROOT / "params.yaml")
    for section, values in {**TINY, "ablate": {"seeds": 1, "variants": {}}}.items():
        settings[section].update(values)
    return parse_params(settings, "params.yaml")


@pytest.fixture(scope="module")
def drawn(params, tmp_path_factory) -> Prepared:
    """Six drawn scenes to train on and four to test on."""
    folder = tmp_path_factory.mktemp("drawn") / "prepared"
    prepare(params.data, folder)
    return Prepared(folder)


@pytest.fixture
def photographs(tmp_path) -> Prepared:
    """Noise that stands for photographs, of which neither the truth nor masks are known."""
    for seed, (split, count) in enumerate(zip(SPLITS, (4, 3, 3, 2), strict=True)):
        write_noise(tmp_path / split, count, seed)
    entries = {split: describe_all(tmp_path / split) for split in SPLITS}
    Manifest("folder", paired=False, masks=False, splits=entries).save(tmp_path)
    return Prepared(tmp_path)


def describe_all(folder: Path) -> list[Entry]:
    return [describe(path.name, Image.open(path)) for path in sorted(folder.iterdir())]


def by_name(results: list[Result]) -> dict[str, Result]:
    return {result.name: result for result in results}


@pytest.mark.parametrize(
    "features, sets, pairs",
    [
        ("small", ["fid_small", "kid_small"], "small"),
        ("efficientnet_lite2", ["fid_lite2", "kid_lite2"], "lite2"),
        ("inception", ["fid", "kid"], "alex"),
    ],
)
def test_names_tell_the_features(features, sets, pairs):
    assert [metric.name_on(FEATURE_SETS[features]) for metric in METRICS] == [
        *sets,
        f"sifid_{pairs}",
        f"lpips_{pairs}_to_input",
        f"structure_{pairs}_to_input",
        f"lpips_{pairs}_to_truth",
        "psnr_to_truth",
        "ssim_to_truth",
        "iou_mean",
        "iou_animal",
    ]


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_pages_can_say_what_a_metric_is(metric):
    """Both texts complete a sentence that the pages begin."""
    for told in filter(None, (metric.meaning, metric.misleads_on_scenes)):
        assert told[0].islower() and not told.endswith(".")
    assert ("{features}" in metric.name) == (metric.on is not None)


def test_yardsticks_are_the_same_metric_of_other_images(drawn):
    translated = drawn.split("testB")
    results = by_name(evaluate(CONFIG, drawn, translated, "cpu"))
    source, truth, training = (drawn.split(name) for name in ("testA", "testB", "trainB"))
    for name, place in (("fid_small", 0), ("kid_small", 1)):
        frechet, judge = results[name], judge_features()
        values = [frechet_and_kernel(images, truth, judge, 8, 3, "cpu")[place].value for images in (source, training)]
        assert [frechet.untranslated, frechet.real] == values
        assert frechet.scope == FEATURE_SETS["small"].scope
    lpips = results["lpips_small_to_truth"]
    assert (lpips.measurement.value, lpips.real) == (0, None)
    assert lpips.untranslated == lpips_distances(source, truth, judge_distance(), "cpu").value
    assert results["lpips_small_to_input"].untranslated == 0 < results["lpips_small_to_input"].measurement.value
    structure, judge = results["structure_small_to_input"], judge_distance()
    # Sums of products differ in the last digits from one call to the next.
    assert structure.measurement.value == pytest.approx(structure_distances(source, truth, judge, "cpu").value)
    assert structure.another == pytest.approx(structure_to_next(source, judge, "cpu").value)
    assert structure.untranslated == 0 < structure.measurement.value
    assert [name for name, result in results.items() if result.another is not None] == ["structure_small_to_input"]
    assert results["psnr_to_truth"].untranslated == peak_signal_to_noise(source, truth).value
    iou = results["iou_animal"]
    assert iou.measurement.value == iou.real > 0.9 > iou.untranslated and iou.scope is None


def test_sets_are_compared_once_for_all_metrics_of_them(drawn, monkeypatch):
    compared = []

    def counted(**settings):
        compared.append(settings["input1"].files[0].parent)
        return calculate_metrics(**settings)

    calculate_metrics = set_distances.calculate_metrics
    monkeypatch.setattr(set_distances, "calculate_metrics", counted)
    evaluate(CONFIG, drawn, drawn.split("testB"), "cpu")
    assert compared == [drawn.split(name) for name in ("testB", "testA", "trainB")]


def test_what_the_data_set_does_not_have_is_not_measured(photographs):
    results = by_name(evaluate(CONFIG, photographs, photographs.split("testA"), "cpu"))
    assert list(results) == ["fid_small", "kid_small", "lpips_small_to_input", "structure_small_to_input"]
    assert results["fid_small"].real is not None


def test_one_training_image_is_no_set_to_compare_with(photographs):
    for image in photographs.images("trainB")[1:]:
        image.unlink()
    results = evaluate(CONFIG, photographs, photographs.split("testA"), "cpu")
    assert [result.real for result in results] == [None] * 4


def brightness(context, images: Path) -> Measurement:
    values = {path.stem: to_tensor(path).float().mean().item() for path in sorted(images.glob("*.png"))}
    mean = sum(values.values()) / len(values)
    return Measurement(mean, None, library_version("torch"), len(values), len(values), per_image=values)


@pytest.fixture
def two_more_metrics(monkeypatch):
    """Adds two entries to METRICS, which is all that new metrics take."""
    judged = Metric("brightness", "says how bright it is", "higher", "pairs", brightness, real="testB")
    misleading = replace(judged, name="glare", misleads_on_scenes="it is made up")
    before = list(METRICS)
    METRICS.extend([judged, misleading])
    yield
    METRICS[:] = before


def test_a_new_entry_is_measured_judged_reported_compared_and_logged(
    two_more_metrics, params, drawn, tmp_path, monkeypatch
):
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    shutil.copy(empty_store(), tmp_path / "mlflow.db")
    run = RunFolder(*(tmp_path / name for name in ("model", "translated", "reports", "run.json")))
    run_training(make_fabric(params.train), params, drawn, run, tmp_path / "unfinished")
    translate("cpu", run.model, drawn.split("testA"), run.translated)
    run_evaluation(params, drawn, run)
    write_report(params, drawn, run)
    compare(params, drawn, run, tmp_path / "ablations")

    reports, rows = run.reports, run.metrics
    measured = [("value", run.translated), ("untranslated", drawn.split("testA")), ("real", drawn.split("testB"))]
    for key, images in measured:
        assert rows["brightness"][key] == pytest.approx(brightness(None, images).value, rel=1e-5)
    assert json.loads((reports / "metrics.json").read_text())["brightness"] == rows["brightness"]["value"]
    assert run.per_image["brightness"].mean() == pytest.approx(rows["brightness"]["value"], rel=1e-5)

    report, page = ((reports / name).read_text() for name in ("report.md", "ablation.md"))
    (sentence,) = [line for line in report.splitlines() if "doing nothing" in line]
    assert "brightness (" in sentence and "glare" not in sentence
    assert (
        "| `brightness` | higher is better |" in report
        and "- `brightness` says how bright it is. It is measured with torch" in report
    )
    assert "**It misleads here, because it is made up.**" in report
    assert "`brightness`<br>higher is better" in page and "leaves out `glare`, because it is made up." in page
    assert json.loads((reports / "ablation.json").read_text())["main"].keys() >= {"brightness"}

    client = MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
    (logged,) = client.search_runs([client.get_experiment_by_name("scenes").experiment_id])
    for name in ("brightness", "untranslated.brightness", "real.brightness", "glare"):
        assert name in logged.data.metrics
