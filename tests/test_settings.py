"""All stages in one process, on settings beside the default: folders of photographs, no graph loss, other graphs."""

import json
import socket

import pytest
from mlflow import MlflowClient

from gcl.errors import UserError
from gcl.manifest import read_manifest
from pipeline.devices import make_fabric
from pipeline.evaluate import run_evaluation
from pipeline.params import parse_params
from pipeline.prepare import prepare
from pipeline.report import write_report
from pipeline.train import run_training
from pipeline.translate import translate
from tests.project import TINY


@pytest.fixture
def photographs(tmp_path, save_images):
    """Non-square images of two sizes, with different counts in every split."""
    for split, count in (("trainA", 5), ("trainB", 4), ("testA", 3), ("testB", 2)):
        save_images(tmp_path / "photographs" / split, count, size=(90, 70) if split.endswith("A") else (70, 82))
    return tmp_path / "photographs"


@pytest.fixture
def experiment(settings, photographs, tmp_path, monkeypatch):
    """Runs every stage on the photographs with ``changes``, and gives the folder of the results."""
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))

    def run(changes):
        tiny = {**TINY, "data": {"source": "folder", "path": str(photographs), "image_size": 66}}
        for source in (tiny, changes):
            for section, values in source.items():
                settings[section].update(values)
        params = parse_params(settings, "params.yaml")
        data, model, translated = (tmp_path / name for name in ("prepared", "model", "translated"))
        reports, run_file = tmp_path / "reports", tmp_path / "run.json"
        prepare(params.data, data)
        run_training(make_fabric(params.train), params, data, model, reports, run_file, tmp_path / "unfinished")
        translate("cpu", model, data / "testA", translated)
        run_evaluation(params, data, translated, reports, run_file)
        write_report(params, data, model, translated, reports)
        return tmp_path

    return run


@pytest.mark.parametrize(
    "graph, told, pictures",
    [
        ({"weight": 0.0}, "no graph loss", {"samples.png", "curves.png"}),
        (
            {"pooling": False, "adjacency": "separate"},
            "another one, of its own",
            {"samples.png", "curves.png", "graph.png"},
        ),
        (
            {"adjacency": "identity", "levels": 2, "level_weights": [1, 1, 1]},
            "`identity`: no patch has a neighbour",
            None,
        ),
    ],
)
def test_photographs_of_any_shape_run_through_all_stages(experiment, graph, told, pictures):
    folder = experiment({"graph": graph})
    assert {entry.name for entry in read_manifest(folder / "prepared").splits["testA"]} == {
        path.name for path in (folder / "translated").glob("*.png")
    }
    rows = {row["name"]: row for row in json.loads((folder / "reports/evaluation.json").read_text())}
    assert set(rows) == {"fid_small", "kid_small", "lpips_small_to_input"}
    assert rows["fid_small"]["resize"] == 66
    assert (rows["fid_small"]["images"], rows["fid_small"]["reference"]) == (3, 2)
    report = (folder / "reports/report.md").read_text()
    assert told in report and "unrelated images of B" in report
    assert ("kept" in report) == (graph.get("pooling", True) and graph.get("weight", 1) > 0)
    if pictures:
        assert {path.name for path in (folder / "reports/figures").glob("*.png")} == pictures
    client = MlflowClient(f"sqlite:///{folder}/mlflow.db")
    (run,) = client.search_runs([client.get_experiment_by_name("photographs").experiment_id])
    assert run.info.status == "FINISHED" and run.data.metrics["fid_small"] == rows["fid_small"]["value"]


def test_a_dead_tracking_server_is_told_once_and_stops_nothing(experiment, monkeypatch, capsys):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{unused.getsockname()[1]}")
        folder = experiment({})
    assert (folder / "reports/report.md").is_file()
    assert capsys.readouterr().out.count("no MLflow tracking from here on") == 2  # once a stage that logs


def test_a_folder_of_somebody_else_is_never_replaced(experiment, photographs, tmp_path):
    folder = experiment({})
    for source, target in [(folder / "prepared/testA", photographs), (folder / "prepared/testA", folder / "prepared")]:
        before = sorted(target.rglob("*"))
        with pytest.raises(UserError, match=r"did not write|holds the images"):
            translate("cpu", folder / "model", source, target)
        assert sorted(target.rglob("*")) == before


def test_a_folder_that_cannot_be_written_stops_before_training(experiment, tmp_path):
    (tmp_path / "reports").write_text("a file where a folder should be")
    with pytest.raises(OSError):
        experiment({"train": {"steps": 10**9}})
    assert not (tmp_path / "model").exists() and not (tmp_path / "run.json").exists()
