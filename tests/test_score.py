"""`gcl score` gives the values of `gcl evaluate`, for any tool's folders, and says what it left out."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from ruamel.yaml import YAML
from typer.testing import CliRunner

from gcl.config import EvaluateConfig
from gcl.files import sha256
from gcl.images.decoding import ODD_PROFILE
from gcl.images.prepared import Prepared
from gcl.measures.evaluation import Result, evaluate, per_image
from gcl.measures.evaluation_context import Context
from gcl.measures.evaluation_rows import YARDSTICKS
from gcl.measures.features.feature_sets import FEATURE_SETS
from gcl.measures.features.judge_network import judge_features
from gcl.measures.measurement import Measurement
from gcl.measures.metrics import METRICS, Metric
from gcl.measures.pair_distances import MOST_DECIBELS, peak_signal_to_noise
from gcl.measures.rounding import shown
from gcl.measures.set_distances import PooledVectors, frechet_and_kernel
from gcl.measures.statistics import bootstrap_interval
from gcl.measures.verdict import verdict_on
from gcl.scoring import scored_rows
from gcl.scoring.kernel_interval import kernel_distances, kernel_interval
from pipeline.cli import app
from pipeline.commands.pictures import Features
from pipeline.params import parse_params, read_mapping
from pipeline.pictures.measuring import DEFAULTS, measuring
from pipeline.stages.prepare import prepare
from tests.noise import write_noise
from tests.project import ROOT

CONFIG = EvaluateConfig(**DEFAULTS)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory) -> Prepared:
    """A drawn data set."""
    settings = read_mapping(ROOT / "params.yaml")
    settings["data"].update(scenes_train=6, scenes_test=7)
    data = Prepared(tmp_path_factory.mktemp("drawn") / "prepared")
    prepare(parse_params(settings, "params.yaml").data, data.folder)
    return data


@pytest.fixture(scope="module")
def translated(drawn) -> Path:
    """Pictures halfway from each test image of A to the truth."""
    folder = drawn.folder.parent / "translated"
    folder.mkdir()
    for image in drawn.images("testA"):
        Image.blend(Image.open(image), Image.open(drawn.truth(image)), 0.5).save(folder / image.name)
    return folder


@pytest.fixture(scope="module")
def evaluated(drawn, translated) -> list[Result]:
    return evaluate(CONFIG, drawn, translated, "cpu")


@pytest.fixture
def scored(tmp_path, monkeypatch):
    """Runs the command where there is no params.yaml: scored(folder, "--real", ...) returns its JSON and its output."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: object) -> tuple[dict, str]:
        words = [str(argument) for argument in arguments]
        result = CliRunner().invoke(app, ["score", *words, "--json", "score.json"], catch_exceptions=False)
        return json.loads(Path("score.json").read_text()), result.output

    return run


def contents(folder: Path) -> dict[Path, str]:
    return {path: sha256(path) for path in folder.rglob("*") if path.is_file()}


def by_name(score: dict) -> dict[str, dict]:
    return {row["name"]: row for row in score["metrics"]}


def test_the_values_are_those_of_the_evaluation(drawn, translated, evaluated, scored):
    before = contents(drawn.folder.parent)
    splits = {"--real": "testB", "--truth": "testB", "--input": "testA", "--other-real": "trainB"}
    options = [word for option, split in splits.items() for word in (option, drawn.split(split))]
    score, told = scored(translated, *options)
    # Whether the images are drawn scenes, and where their masks are, is not known here.
    expected = [{**result.row, "misleads": None} for result in evaluated if result.metric.needs != "masks"]
    for row, other in zip(score["metrics"], expected, strict=True):
        if row["name"].startswith("structure"):
            # Sums of products differ in the last digits from one call to the next.
            other = {**other, **{key: pytest.approx(other[key], rel=1e-5) for key in ("value", "another")}}
        assert {key: row[key] for key in row if key != "interval"} == other
    assert score["verdict"] == verdict_on(expected)._asdict() and score["verdict"]["sentence"] in told
    assert all(row["name"] in told and shown(row["value"]) in told for row in expected)
    assert contents(drawn.folder.parent) == before


def test_intervals_of_pairs_are_the_bootstrap_over_images(drawn, translated, evaluated, scored):
    real, table = drawn.split("testB"), per_image(evaluated)
    score, told = scored(translated, "--real", real, "--truth", real)
    assert scored(translated, "--real", real, "--truth", real) == (score, told)
    rows = by_name(score)
    for name in ("lpips_small_to_truth", "psnr_to_truth", "ssim_to_truth"):
        assert rows[name]["interval"] == pytest.approx(bootstrap_interval(table[name], CONFIG.seed), rel=1e-5)
    assert rows["fid_small"]["interval"] is None
    low, high = rows["kid_small"]["interval"]
    assert low < rows["kid_small"]["value"] < high


def test_what_is_not_given_is_unknown(drawn, translated, evaluated, scored):
    score, told = scored(translated, "--real", drawn.split("testB"))
    values = {result.name: result.row["value"] for result in evaluated if result.metric.compares == "sets"}
    assert {name: row["value"] for name, row in by_name(score).items()} == values
    assert {row[yardstick] for row in score["metrics"] for yardstick in YARDSTICKS} == {None}
    assert score["verdict"] is None and "doing nothing" not in told
    assert any(note.startswith("fid_small: biased") for note in score["notes"])
    assert any(note.startswith("no interval for fid_small: ") for note in score["notes"])


def test_another_tool_s_names_sizes_and_formats(drawn, scored, tmp_path):
    """JPEG that is called PNG, named as CUT names its outputs, larger, in a folder; one missing, one too many."""
    outputs, (first, *others) = tmp_path / "outputs", drawn.images("testB")
    (outputs / "scene").mkdir(parents=True)
    for image in others:
        name = f"{image.stem.removeprefix('scene_')}_fake_B.png"
        Image.open(image).resize((96, 80)).save(outputs / "scene" / name, format="JPEG", quality=60)
    Image.new("RGB", (96, 80)).save(outputs / "preview.png")
    (outputs / "log.txt").write_text("done")
    real, inputs = drawn.split("testB"), drawn.split("testA")
    score, told = scored(outputs, "--real", real, "--input", inputs, "--truth", real)
    for note in (
        "outputs: images of 2 folders were found (.: 1, scene: 6)",
        "outputs: 1 other entry ignored (.txt: 1)",
        "outputs: 1 of 7 are not in input and are left out (preview)",
        f"input: 1 of 7 have no output and are left out ({first.stem})",
        f"truth: 1 of 7 have no output and are left out ({first.stem})",
        "lossy compression changes FID and KID, and these are JPEG: 6 of 6 in outputs",
    ):
        assert note in score["notes"] and note in told
    assert sum("6 of 6 were resized to their outputs' size (" in note for note in score["notes"]) == 2

    # The same pictures by hand: read, of one name and of one size.
    for folder in ("images", "truth"):
        (tmp_path / folder).mkdir()
    for output, image in zip(sorted((outputs / "scene").iterdir()), others, strict=True):
        Image.open(output).save(tmp_path / "images" / image.name)
        Image.open(image).resize((96, 80), Image.Resampling.LANCZOS).save(tmp_path / "truth" / image.name)
    by_hand = peak_signal_to_noise(tmp_path / "images", tmp_path / "truth").value
    assert by_name(score)["psnr_to_truth"]["value"] == pytest.approx(by_hand, rel=1e-5)
    sets = frechet_and_kernel(tmp_path / "images", real, judge_features(), 50, 0, "cpu")
    assert by_name(score)["kid_small"]["value"] == pytest.approx(sets[1].value, rel=1e-5)


def test_a_new_metric_is_scored_without_a_change(drawn, translated, scored, monkeypatch):
    def likeness(context: Context, images: Path) -> Measurement:
        return peak_signal_to_noise(images, context.prepared.split("testA"))

    added = Metric("likeness", "says how like the input it is", "higher", "pairs", likeness, real="testB")
    monkeypatch.setattr(scored_rows, "METRICS", [*METRICS, added])
    row = by_name(scored(translated, "--real", drawn.split("testB"), "--input", drawn.split("testA"))[0])["likeness"]
    assert row["untranslated"] == MOST_DECIBELS > row["value"] and len(row["interval"]) == 2


def test_the_kernel_distance_of_a_resample_leaves_out_pairs_of_one_image():
    random = np.random.default_rng(0)
    ours, theirs = random.normal(size=(5, 3)), random.normal(1, 1, size=(4, 3))
    drawn, others = random.multinomial(5, [1 / 5] * 5, 20), random.multinomial(4, [1 / 4] * 4, 20)

    def kernel(x, y):
        return (x @ y / 3 + 1) ** 3

    def within(vectors, times):
        copies = np.repeat(np.arange(len(vectors)), times)
        return np.mean([kernel(vectors[i], vectors[j]) for i in copies for j in copies if i != j])

    for distance, first, second in zip(kernel_distances(ours, theirs, drawn, others), drawn, others, strict=True):
        copies, other_copies = np.repeat(ours, first, axis=0), np.repeat(theirs, second, axis=0)
        between = np.mean([kernel(x, y) for x in copies for y in other_copies])
        expected = within(ours, first) + within(theirs, second) - 2 * between
        assert distance == pytest.approx(expected)
    single = np.array([[5, 0, 0, 0, 0]])
    assert np.isnan(kernel_distances(ours, theirs, single, np.ones((1, 4))))


def test_the_interval_of_the_kernel_distance_is_neither_biased_nor_random():
    """The mean over resamples of a distance that counted an image's pairs with itself would lie far above the value."""
    random = np.random.default_rng(0)
    ours, theirs = random.normal(size=(40, 8)), random.normal(0.3, 1, size=(40, 8))
    value = kernel_distances(ours, theirs, np.ones((1, 40)), np.ones((1, 40)))[0]
    low, high = kernel_interval(value, ours, theirs, seed=1)
    assert low < value < high and kernel_interval(value, ours, theirs, seed=1) == (low, high)
    assert abs((low + high) / 2 - value) < (high - low) / 4
    assert kernel_interval(value + 1, ours, theirs, seed=1) == pytest.approx((low + 1, high + 1))


@pytest.mark.parametrize("size", [(32, 32), (40, 48)])
def test_the_vectors_are_those_that_are_measured(size, tmp_path):
    first, second = write_noise(tmp_path / "a", 9, seed=0, size=size), write_noise(tmp_path / "b", 9, seed=1, top=200)
    kernel = frechet_and_kernel(first, second, judge_features(), 4, 0, "cpu")[1]
    vectors_of = PooledVectors(judge_features(), kernel.resize, 4, "cpu")
    vectors = [vectors_of(sorted(folder.iterdir())).double().numpy() for folder in (first, second)]
    assert kernel_distances(*vectors, np.ones((1, 9)), np.ones((1, 9)))[0] == pytest.approx(kernel.value, rel=1e-3)


def test_nothing_in_common_ends_in_one_message(drawn, translated, failure, tmp_path):
    strangers = write_noise(tmp_path / "strangers", 2, seed=0)
    told = failure("score", str(translated), "--real", str(drawn.split("testB")), "--input", str(strangers))
    assert "no output has a partner of its name; the outputs are called scene_00000, " in told
    assert "and 2 more; in input: 000, 001. " in told


def test_damaged_images_are_named(failure, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    damaged = write_noise(tmp_path / "damaged", 4, seed=0)
    (damaged / "000.png").write_bytes((damaged / "000.png").read_bytes()[:200])
    (damaged / "002.png").write_bytes(b"")
    Image.new("RGB", (40, 31)).save(damaged / "003.png")
    told = failure("score", "damaged", "--real", "damaged")
    assert told.startswith("error: 3 of 4 images cannot be used: damaged/000.png: cannot be decoded: ")
    small = "damaged/003.png: 40x31 pixels; at least 32 per side are needed"
    assert told.endswith(f", damaged/002.png: empty file, {small}")


def test_folders_that_cannot_be_measured_are_refused(failure, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    outputs = write_noise(tmp_path / "outputs", 2, seed=0)
    (tmp_path / "empty").mkdir()
    assert failure("score", "outputs", "--real", "empty").startswith("error: empty: no images here; files ending in")
    assert failure("score", "outputs", "--real", "nowhere") == "error: nowhere: there is no such folder"
    told = failure("score", "outputs", "--real", "outputs", "--json", "no/score.json")
    assert told == "error: --json no/score.json: name a file in a folder that exists"
    (outputs / "000.jpg").write_bytes((outputs / "000.png").read_bytes())
    told = failure("score", "outputs", "--real", "outputs")
    assert told == "error: outputs: 000.jpg and 000.png are both called 000; leave one of them out"


def test_names_of_real_images_may_occur_twice_and_be_longer_than_a_file_s_name(scored, tmp_path):
    """A folder of two cameras' images, which both count from one; and outputs in deep folders."""
    deep = tmp_path / "out" / ("a" * 150) / ("b" * 150)
    for place, folder in enumerate((deep, tmp_path / "real/one", tmp_path / "real/two")):
        folder.parent.mkdir(parents=True, exist_ok=True)
        write_noise(folder, 3, seed=place)
    os.rename(tmp_path / "real/one/000.png", tmp_path / "real/one/001.jpg")
    os.rename(tmp_path / "real/two/000.png", tmp_path / "real/one_002.png")
    Image.new("RGB", (32, 32)).save(tmp_path / "real/two/\udcff\x1b.png", icc_profile=b"no profile")
    score, told = scored("out", "--real", "real", "--other-real", "real", "--truth", "out")
    rows = by_name(score)
    assert rows["kid_small"]["images"] == 3 and rows["kid_small"]["reference"] == 7
    assert f"note: real: 1 with {ODD_PROFILE} (two/\ufffd\ufffd.png)" in told
    assert rows["psnr_to_truth"]["value"] == MOST_DECIBELS


def test_notes_on_sizes_name_the_person_s_own_files(scored, tmp_path):
    write_noise(tmp_path / "out", 3, seed=0, size=(128, 128))
    (tmp_path / "real").mkdir()
    write_noise(tmp_path / "real/inside", 3, seed=1, size=(128, 128))
    Image.new("RGB", (40, 50)).save("real/inside/small one.bmp")
    score, told = scored("out", "--real", "real")
    note = (
        "images of different sizes were resized and cropped to 40 x 40 pixels, the smallest being "
        "real/inside/small one.bmp, which is less than half of the median shorter side, 128: leave it out or replace "
        "it; resize them alike first"
    )
    assert by_name(score)["kid_small"]["note"] == note
    assert f"note: kid_small: {note}" in told and "data.image_size" not in told and "000003.png" not in told


def test_outputs_with_and_without_another_tool_s_suffix_are_not_mixed_up(scored, failure, tmp_path):
    both = write_noise(tmp_path / "both", 2, seed=0)
    (both / "000_fake_B.png").write_bytes((both / "001.png").read_bytes())
    note = "outputs: 1 of 3 end in _fake_B or _fake; the others are measured too"
    assert note in scored("both", "--real", "both")[0]["notes"]
    told = failure("score", "both", "--real", "both", "--input", str(write_noise(tmp_path / "inputs", 2, seed=1)))
    assert told == (
        "error: both/000.png and both/000_fake_B.png are both outputs for 000; leave one of them out, or name the "
        "folder that holds only one"
    )


def test_one_picture_is_no_set_but_is_a_pair(scored, failure, tmp_path):
    one, real = write_noise(tmp_path / "one", 1, seed=0), write_noise(tmp_path / "real", 3, seed=1)
    score, _ = scored(one, "--real", real, "--input", one)
    assert [row["name"] for row in score["metrics"]] == ["lpips_small_to_input", "structure_small_to_input"]
    assert [row["interval"] for row in score["metrics"]] == [None, None] and score["verdict"] is None
    assert failure("score", "one", "--real", "real").startswith("error: nothing can be measured: comparing sets")


def test_choices_and_defaults_are_those_of_params_yaml(settings):
    assert [features.value for features in Features] == list(FEATURE_SETS)
    assert settings["evaluate"] == DEFAULTS


def test_params_yaml_says_how_to_measure_unless_it_is_another_project_s(settings, tmp_path, capsys):
    file = tmp_path / "params.yaml"
    assert measuring(file, None).config == CONFIG
    settings["evaluate"] |= {"features": "efficientnet_lite2", "seed": 7}
    settings["train"]["accelerator"] = "cpu"
    YAML().dump(settings, file)
    expected = EvaluateConfig(**settings["evaluate"])
    assert measuring(file, None) == (expected, "cpu")
    assert measuring(file, "inception").config == expected.model_copy(update={"features": "inception"})
    assert capsys.readouterr().out == ""
    for foreign in ("lr: 0.1\nepochs: [1, 2]\n", "- a\n- b\n", "a: [", "evaluate: {features: large}\n", ""):
        file.write_text(foreign)
        assert measuring(file, None).config == CONFIG
        (note,) = capsys.readouterr().out.splitlines()
        assert note.startswith(f"note: measured by the default settings, because {file} cannot be used here ({file}: ")
