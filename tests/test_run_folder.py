"""The files of one training and its evaluation: what is written is what is read, under the names in dvc.yaml."""

import json

import pandas as pd
import pytest

from gcl.errors import UserError
from pipeline.running.run_folder import RunFolder, SavedRun, seed_folder

ROWS = [
    {"name": "fid_small", "value": 0.5, "untranslated": 9.5, "real": None, "better": "lower", "note": "biased"},
    {"name": "psnr_to_truth", "value": 13.5, "untranslated": None, "real": None, "better": "higher"},
]
YARDSTICKS = {"untranslated": {"fid_small": 9.5}, "real": {}}
PER_IMAGE = pd.DataFrame({"psnr_to_truth": [13.5, 14.25]}, index=pd.Index(["007", "NA"], name="image"))


@pytest.fixture
def run(tmp_path):
    """The run folder of a seed, which does not exist yet."""
    return RunFolder.inside(tmp_path / "seed_0", "no_pooling")


def test_curves_come_back_and_the_last_ones_count(run):
    rows = [{"step": 2, "discriminator": 0.25, "contrast": 1 / 3}]
    run.write_curves(rows)
    run.write_curves([*rows, {"step": 4, "discriminator": 0.125, "contrast": 5e-7}])
    assert run.curves_file.read_text() == "step,discriminator,contrast\n2,0.25,0.333333\n4,0.125,5e-07\n"
    assert run.curves.to_dict("list") == {
        "step": [2, 4],
        "discriminator": [0.25, 0.125],
        "contrast": [0.333333, 5e-7],
    }


def test_an_evaluation_comes_back(run):
    written = run.write_evaluation({"fid_small": 0.5}, YARDSTICKS, ROWS, PER_IMAGE)
    assert [path.name for path in written] == ["metrics.json", "yardsticks.json", "evaluation.json", "per_image.csv"]
    assert json.loads((run.reports / "metrics.json").read_text()) == {"fid_small": 0.5}
    assert json.loads((run.reports / "yardsticks.json").read_text()) == YARDSTICKS
    assert run.metrics == {row["name"]: row for row in ROWS}
    pd.testing.assert_frame_equal(run.per_image, PER_IMAGE)


def test_the_mlflow_run_and_the_time_come_back(run):
    for saved in (SavedRun("a" * 32, "b" * 32), SavedRun("c" * 32, None)):
        run.save(saved, 61.249)
        assert run.saved() == saved and run.training_seconds == 61.2
    assert run.run_file.read_text() == f'{{"key": "{"c" * 32}", "run_id": null, "training_seconds": 61.2}}\n'


def test_results_are_read_once(run):
    run.write_evaluation({}, {}, ROWS, PER_IMAGE)
    run.write_curves([{"step": 2}])
    before = run.metrics, run.per_image, run.curves
    for path in run.reports.iterdir():
        path.unlink()
    assert all(again is first for again, first in zip((run.metrics, run.per_image, run.curves), before, strict=True))


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", "3", '{"run_id": null}', '{"key": "../../elsewhere"}', '{"key": 5}', '{"run_id": []}']
)
def test_a_damaged_run_file_is_no_run(run, text):
    assert run.saved() is None
    run.run_file.parent.mkdir()
    run.run_file.write_text(text)
    assert run.saved() is None


def test_a_run_file_from_before_there_were_keys_is_read(run):
    run.run_file.parent.mkdir()
    run.run_file.write_text(json.dumps({"run_id": "a" * 32}))
    assert run.saved() == SavedRun("a" * 32, "a" * 32)
    with pytest.raises(UserError, match=r"run\.json: no training_seconds in it; run: gcl ablate no_pooling"):
        _ = run.training_seconds


@pytest.mark.parametrize(
    "read, file, command",
    [
        (lambda run: run.curves, "curves.csv", "gcl train"),
        (lambda run: run.metrics, "evaluation.json", "gcl evaluate"),
        (lambda run: run.per_image, "per_image.csv", "gcl evaluate"),
        (lambda run: run.training_seconds, "run.json", "gcl train"),
        (lambda run: run.translation("007"), "007.png", "gcl translate"),
    ],
)
def test_what_is_missing_is_named_with_the_command_that_makes_it(run, tmp_path, read, file, command):
    main = RunFolder(tmp_path, tmp_path, tmp_path, tmp_path / "run.json")
    with pytest.raises(UserError, match=rf"{file}: not there yet; run: {command}$"):
        read(main)
    with pytest.raises(UserError, match=rf"seed_0.*{file}: not there yet; run: gcl ablate no_pooling$"):
        read(run)


def test_a_seed_lies_in_the_folder_of_its_variant(tmp_path):
    assert seed_folder(tmp_path / "cut", 3) == tmp_path / "cut/seed_3"
