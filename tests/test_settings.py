"""All stages in one process with settings other than the default: photographs, no graph loss, other graphs."""

import json
import os
import shutil
import socket
import threading

import pytest
from markdown_it import MarkdownIt
from mlflow import MlflowClient
from PIL import Image
from ruamel.yaml import YAML
from typer.testing import CliRunner

from gcl.contrast.methods import METHODS
from gcl.errors import UserError
from gcl.images.prepared import Prepared
from gcl.measures.verdict import verdict_on
from pipeline.cli import app
from pipeline.commands.folders import MODEL, PREPARED, REPORTS, RUN, TRANSLATED, UNFINISHED
from pipeline.params import parse_params, read_params
from pipeline.running.devices import make_fabric
from pipeline.running.run_folder import RunFolder
from pipeline.stages.evaluate import run_evaluation
from pipeline.stages.prepare import prepare
from pipeline.stages.report import write_report
from pipeline.stages.train import run_training
from pipeline.stages.translate import translate
from tests.project import TINY
from tests.stores import empty_store


@pytest.fixture
def photographs(tmp_path, save_images):
    """Non-square images of two sizes, with different counts in every split."""
    for split, count in (("trainA", 5), ("trainB", 4), ("testA", 3), ("testB", 2)):
        save_images(tmp_path / "photographs" / split, count, size=(90, 70) if split.endswith("A") else (70, 82))
    return tmp_path / "photographs"


@pytest.fixture
def experiment(settings, photographs, tmp_path, monkeypatch):
    """Runs every stage on the photographs with ``changes`` and returns the project's folder."""
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    shutil.copy(empty_store(), tmp_path / "mlflow.db")

    def run(changes, method="gcl"):
        settings["method"] = method
        tiny = {**TINY, "data": {"source": "folder", "path": str(photographs), "image_size": 66}}
        for source in (tiny, changes):
            for section, values in source.items():
                settings[section].update(values)
        params = parse_params(settings, "params.yaml")
        YAML().dump(settings, tmp_path / "params.yaml")
        data = Prepared(tmp_path / PREPARED)
        run = RunFolder(*(tmp_path / own for own in (MODEL, TRANSLATED, REPORTS, RUN)))
        prepare(params.data, data.folder)
        run_training(make_fabric(params.train), params, data, run, tmp_path / UNFINISHED / "train")
        translate("cpu", run.model, data.split("testA"), run.translated)
        run_evaluation(params, data, run)
        write_report(params, data, run)
        return tmp_path

    return run


@pytest.mark.parametrize(
    "graph, told, pictures",
    [
        ({"weight": 0.0}, "no graph loss", {"samples.png", "curves.png"}),
        (
            {"pooling": False, "adjacency": "separate"},
            "graph has its own, from",
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
    assert {entry.name for entry in Prepared(folder / PREPARED).manifest.splits["testA"]} == {
        path.name for path in (folder / TRANSLATED).glob("*.png")
    }
    rows = {row["name"]: row for row in json.loads((folder / "reports/evaluation.json").read_text())}
    assert set(rows) == {"fid_small", "kid_small", "lpips_small_to_input", "structure_small_to_input"}
    assert rows["fid_small"]["resize"] == 66 and "cropped to their central 66 x 66" in rows["kid_small"]["note"]
    assert (rows["fid_small"]["images"], rows["fid_small"]["reference"]) == (3, 2)
    report = (folder / "reports/report.md").read_text()
    assert told in report and "and images of B" in report and "unrelated" not in report
    # A graph without edges falls apart into its 16 nodes.
    assert ("connected components" in report) == (graph.get("weight", 1) > 0)
    assert ("| 0 | 0 | 16 | 0 |" in report) == (graph.get("adjacency") == "identity")
    assert ("kept" in report) == (graph.get("pooling", True) and graph.get("weight", 1) > 0)
    if pictures:
        assert {path.name for path in (folder / "reports/figures").glob("*.png")} == pictures
    client = MlflowClient(f"sqlite:///{folder}/mlflow.db")
    (run,) = client.search_runs([client.get_experiment_by_name("photographs").experiment_id])
    assert run.info.status == "FINISHED" and run.data.metrics["fid_small"] == rows["fid_small"]["value"]


def test_another_method_runs_through_all_stages_and_is_called_by_its_name(experiment):
    folder = experiment({"src": {"layers": [0, 4], "patches": 16, "embedding": 8}}, method="src")
    report = (folder / "reports/report.md").read_text()
    assert METHODS["src"].label in report and "CUT" not in report and "graph.png" not in report
    description = json.loads((folder / MODEL / "model.json").read_text())
    assert description["method"] == "src" and "src" in description and not {"graph", "cut"} & description.keys()


def test_a_model_of_an_earlier_version_is_translated_with_and_not_reported(experiment):
    folder = experiment({})
    file = folder / MODEL / "model.json"
    description = json.loads(file.read_text())
    del description["graph"]["convolution"]
    file.write_text(json.dumps(description))
    data, run = Prepared(folder / PREPARED), RunFolder(*(folder / own for own in (MODEL, TRANSLATED, REPORTS, RUN)))
    before = [path.read_bytes() for path in sorted(run.translated.glob("*.png"))]
    translate("cpu", run.model, data.split("testA"), run.translated)
    assert [path.read_bytes() for path in sorted(run.translated.glob("*.png"))] == before
    with pytest.raises(UserError, match=r"model\.json: its graph\.convolution does not suit this version"):
        write_report(read_params(folder / "params.yaml"), data, run)


def test_only_the_stages_own_folders_log_to_the_trainings_run(experiment, monkeypatch):
    folder = experiment({})
    client = MlflowClient(f"sqlite:///{folder}/mlflow.db")

    def runs() -> dict:
        """The contents of every run by its name."""
        experiment_id = client.get_experiment_by_name("photographs").experiment_id
        return {run.info.run_name: run.data for run in client.search_runs([experiment_id])}

    def evaluate(*options: str) -> str:
        result = CliRunner().invoke(app, ["evaluate", *options], catch_exceptions=False)
        assert result.exit_code == 0
        return result.stdout

    monkeypatch.chdir(folder)
    ((name, before),) = runs().items()
    # The other program's translations are the inputs themselves.
    other = ["--translated", "data/prepared/testA", "--reports", "elsewhere"]
    assert "not logged to MLflow" in evaluate(*other)
    assert [data.metrics for data in runs().values()] == [before.metrics]
    evaluate(*other, "--run-name", "CUT of theirs")
    theirs = runs()["CUT of theirs"]
    assert theirs.metrics["lpips_small_to_input"] == 0 and theirs.tags["verdict"] == "no different"
    assert "variant" not in theirs.tags and theirs.tags["data.hash"] == before.tags["data.hash"]
    assert runs()[name].metrics == before.metrics != theirs.metrics
    evaluate(*other, "--run-file", "data/run.json")
    assert runs()[name].metrics["lpips_small_to_input"] == 0
    assert "not logged" not in evaluate()
    assert runs()[name].metrics == before.metrics and len(runs()) == 2


def test_every_command_reads_the_manifest_once(experiment, monkeypatch):
    """Its contents come out of a pipe, which is gone once they are read."""
    folder = experiment({"ablate": {"seeds": 1, "variants": {"flat": {"pooling": False}}}})
    monkeypatch.chdir(folder)
    manifest = folder / PREPARED / "manifest.json"
    content = manifest.read_bytes()

    def write_once() -> None:
        with manifest.open("wb") as pipe:
            manifest.unlink()
            pipe.write(content)

    for command in ("train", "evaluate", "report", "ablate flat", "compare"):
        manifest.unlink(missing_ok=True)
        os.mkfifo(manifest)
        threading.Thread(target=write_once, daemon=True).start()
        result = CliRunner().invoke(app, command.split(), catch_exceptions=False)
        assert result.exit_code == 0 and not manifest.exists(), command


def test_the_verdict_and_the_yardsticks_stand_beside_the_metrics(experiment, capsys):
    folder = experiment({})
    rows = {row["name"]: row for row in json.loads((folder / "reports/evaluation.json").read_text())}
    yardsticks = json.loads((folder / "reports/yardsticks.json").read_text())
    assert yardsticks["untranslated"] == {name: row["untranslated"] for name, row in rows.items()}
    assert yardsticks["real"] == {name: row["real"] for name, row in rows.items() if row["real"] is not None}
    assert yardsticks["another"] == {"structure_small_to_input": rows["structure_small_to_input"]["another"]}
    assert (
        rows["lpips_small_to_input"]["better"] == "neither" and yardsticks["untranslated"]["lpips_small_to_input"] == 0
    )
    told = capsys.readouterr().out
    assert "(neither side is better)" in told
    sentence = next(line for line in told.splitlines() if "doing nothing" in line)
    assert sentence.replace("_", r"\_") in (folder / "reports/report.md").read_text()
    client = MlflowClient(f"sqlite:///{folder}/mlflow.db")
    (run,) = client.search_runs([client.get_experiment_by_name("photographs").experiment_id])
    assert run.data.metrics["untranslated.fid_small"] == yardsticks["untranslated"]["fid_small"]
    assert run.data.metrics["real.kid_small"] == yardsticks["real"]["kid_small"]
    assert run.data.tags["verdict"] == verdict_on(rows.values()).word


def test_hostile_names_of_files_show_in_the_report_as_they_are(experiment, photographs, capsys):
    """This holds for notes, warnings, skipped names and parameters: the page has no HTML but its own."""
    hostile = "<img src=x onerror=alert(1)> `|` [a](b) *c* _d_ ``"
    (photographs / "trainA" / f"{hostile} bad.png").write_bytes(b"no image")
    (photographs / "trainA" / f"note.{hostile}").touch()
    Image.new("RGB", (40, 60)).save(photographs / "testB" / f"{hostile} small.png")
    odd = photographs.rename(photographs.with_name(f"photographs {hostile}"))
    folder = experiment({"data": {"path": str(odd), "image_size": None, "on_bad_image": "skip"}})
    tokens = MarkdownIt("commonmark").enable("table").parse((folder / "reports/report.md").read_text())
    inline = [child for token in tokens for child in token.children or []]
    assert {token.content.strip() for token in tokens if token.type == "html_block"} == {
        "<details><summary>Every parameter</summary>",
        "</details>",
    }
    assert not any(child.type == "html_inline" for child in inline)
    shown = " ".join("".join(child.content for child in token.children) for token in tokens if token.children)
    for name in (f"trainA/{hostile} bad.png: ", f".{hostile}: 1", f"testB/{hostile} small.png", odd.name):
        assert name in shown
    warning = "FID and KID see every image shrunk to 40 pixels, the shorter side of the smallest"
    assert warning in shown and capsys.readouterr().out.count(f"WARNING: {warning}") == 2


def test_a_dead_tracking_server_is_told_once_and_stops_nothing(experiment, monkeypatch, capsys):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{unused.getsockname()[1]}")
        folder = experiment({})
    assert (folder / "reports/report.md").is_file()
    assert capsys.readouterr().out.count("no MLflow tracking from here on") == 2  # once per stage that logs


def test_a_folder_of_somebody_else_is_never_replaced(experiment, photographs, tmp_path):
    folder = experiment({})
    source = folder / PREPARED / "testA"
    for target in (photographs, folder / PREPARED):
        before = sorted(target.rglob("*"))
        with pytest.raises(UserError, match=r"did not write|holds the images"):
            translate("cpu", folder / MODEL, source, target)
        assert sorted(target.rglob("*")) == before


def test_a_folder_that_cannot_be_written_stops_before_training(experiment, tmp_path):
    (tmp_path / "reports").write_text("a file where a folder should be")
    with pytest.raises(OSError):
        experiment({"train": {"steps": 10**9}})
    assert not (tmp_path / MODEL).exists() and not (tmp_path / RUN).exists()
