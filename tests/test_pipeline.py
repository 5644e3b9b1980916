"""The whole experiment in a real DVC repository with a real MLflow store, on a tiny configuration."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from mlflow import MlflowClient
from PIL import Image
from ruamel.yaml import YAML

from gcl.networks.encoders import load_encoder
from pipeline.params import read_params
from tests.project import ROOT, run, runs_in


def test_every_stage_left_its_results(project):
    metrics = json.loads((project / "reports" / "metrics.json").read_text())
    assert set(metrics) == {
        "fid_small",
        "kid_small",
        "lpips_small_to_input",
        "structure_small_to_input",
        "lpips_small_to_truth",
        "psnr_to_truth",
        "ssim_to_truth",
        "iou_mean",
        "iou_animal",
    }
    inputs = sorted(path.name for path in (project / "data/prepared/testA").iterdir())
    assert sorted(path.name for path in (project / "data/translated").glob("*.png")) == inputs
    assert Image.open(project / "data/translated" / inputs[0]).size == (64, 64)
    assert (project / "reports/curves.csv").read_text().splitlines()[0].startswith("step,discriminator,generator_gan")
    assert sorted(path.name for path in (project / "reports/samples").iterdir()) == [
        "step_000002.png",
        "step_000004.png",
    ]
    model = sorted(path.name for path in (project / "data/model").iterdir())
    assert model == [
        ".gcl-output",
        "README.md",
        "contrast.safetensors",
        "discriminator.safetensors",
        "generator.safetensors",
        "generator_best.safetensors",
        "model.json",
    ]
    # The best checkpoint was an earlier one or the last; only an earlier one translates too.
    checkpoints = json.loads((project / "data/model/model.json").read_text())["checkpoints"]
    other = sorted(path.name for path in (project / "data/translated_other").glob("*.png"))
    assert other == (inputs if checkpoints["best"]["step"] < checkpoints["last"]["step"] else [])
    header, *rows = (project / "reports/validation.csv").read_text().splitlines()
    assert header.endswith(",validation_kid_small") and [row.split(",")[0] for row in rows] == ["2", "4"]


def test_numbers_stand_beside_yardsticks_and_conditions(project):
    rows = {row["name"]: row for row in json.loads((project / "reports/evaluation.json").read_text())}
    fid = rows["fid_small"]
    assert fid["images"] == fid["reference"] == 4
    assert "judge" in fid["features"] and "torch-fidelity" in fid["library"]
    assert fid["untranslated"] > fid["real"] > 0
    assert "biased" in fid["note"]
    assert rows["iou_animal"]["real"] > 0.9 > rows["iou_animal"]["untranslated"]


def test_the_report_shows_everything_and_no_machine(project):
    report = (project / "reports" / "report.md").read_text()
    for picture in ("samples", "curves", "graph"):
        assert f"figures/{picture}.png" in report
        assert Image.open(project / "reports/figures" / f"{picture}.png").width > 300
    for word in (
        "fid_small",
        "untranslated A",
        "another A",
        "`graph.hops`",
        "torch-fidelity",
        "One seed",
        "| `data.path` | `null` |",
    ):
        assert word in report
    for text in [report, *(path.read_text() for path in (project / "data/model").glob("*.json"))]:
        assert str(project) not in text and str(ROOT) not in text


def test_a_second_run_has_nothing_to_do(project):
    assert "up to date" in run("dvc repro", project)
    assert run("git status --short", project) == ""


def test_rerun_gives_the_same_bytes(project):
    """Metrics, curves, pictures, reports and model are the same bytes when the stages run again; times are not."""

    def timeless(name: Path) -> bytes:
        return re.sub(rb"\| [\d.]+ (s|min) \|", b"| time |", (project / name).read_bytes())

    before = {
        path.relative_to(project): timeless(path)
        for folder in ("reports", "data/model", "data/translated")
        for path in sorted((project / folder).rglob("*"))
        if path.is_file()
    }
    run("dvc repro --force report && dvc repro --force --single-item compare", project)
    after = {name: timeless(name) for name in before}
    assert [str(name) for name in before if before[name] != after[name]] == []
    run("git checkout -q . && dvc checkout -q", project)


def test_one_mlflow_run_holds_training_and_evaluation(project):
    client, found = runs_in(project)
    tracked = json.loads((project / "data" / "run.json").read_text())["run_id"]
    one = next(entry for entry in found if entry.info.run_id == tracked)
    assert one.info.status == "FINISHED"
    assert one.data.params["graph.hops"] == "2" and one.data.params["train.steps"] == "4"
    metrics = json.loads((project / "reports" / "metrics.json").read_text())
    assert metrics.items() <= one.data.metrics.items()
    assert "untranslated.fid_small" in one.data.metrics and "verdict" in one.data.tags
    assert [point.step for point in client.get_metric_history(tracked, "contrast")] == [2, 4]
    manifest = json.loads((project / "data/prepared/manifest.json").read_text())
    assert one.data.tags["data.hash"] == manifest["sha256"]
    assert len(one.data.tags["git.commit"]) == 40
    folders = ("model", "evaluation", "generator")
    artifacts = {file.path for folder in folders for file in client.list_artifacts(tracked, folder)}
    assert {"model/generator.safetensors", "evaluation/metrics.json", "generator/MLmodel"} <= artifacts
    assert client.list_artifacts(tracked, "images")
    handed_over = [entry for entry in found if client.list_artifacts(entry.info.run_id, "generator")]
    assert {entry.data.tags["variant"] for entry in handed_over} == {"main"}


def test_experiments_in_temporary_clones_land_in_the_same_store(project):
    _, before = runs_in(project)
    run("dvc exp run --temp -n in-temp -S graph.pooling=false evaluate", project)
    run("dvc exp run --queue -n queued -S train.seed=1 evaluate", project)
    run("dvc queue start", project)
    run("for i in $(seq 60); do sleep 5; dvc queue status | grep -qE 'Success|Failed' && break; done", project)
    client, after = runs_in(project)
    new = {
        entry.data.tags["dvc.exp"]: entry for entry in after if entry.info.run_id not in {b.info.run_id for b in before}
    }
    assert set(new) == {"in-temp", "queued"}
    assert new["in-temp"].data.params["graph.pooling"] == "False"
    assert new["queued"].data.tags["seed"] == "1"
    for entry in new.values():
        assert "fid_small" in entry.data.metrics
        assert entry.info.artifact_uri.startswith((project / "mlartifacts").as_uri())
        assert client.list_artifacts(entry.info.run_id, "model")
    shown = run("dvc exp show --csv", project)
    assert "in-temp" in shown and "queued" in shown and "fid_small" in shown


def test_a_killed_experiment_in_a_temporary_clone_goes_on_when_it_is_run_again(project):
    """The clone is lost, with everything in it."""
    command = "dvc exp run --temp -S graph.hops=1 -S train.steps=100 -S train.save_every=1 train"
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path}
    killed = subprocess.Popen(command.split(), cwd=project, env=environment, start_new_session=True)
    while not any((project / "data/unfinished").glob("train_*/step_*")):
        assert killed.poll() is None
        time.sleep(0.1)
    os.killpg(killed.pid, signal.SIGKILL)
    killed.wait()
    assert "resuming after step" in run(command, project)
    assert not any((project / "data/unfinished").glob("train_*"))


def test_dvc_shows_the_yardsticks_beside_the_metrics(project):
    (shown,) = json.loads(run("dvc metrics show --json", project)).values()
    yardsticks = shown["data"]["reports/yardsticks.json"]["data"]
    assert yardsticks["untranslated"]["lpips_small_to_input"] == 0 < yardsticks["real"]["iou_animal"]
    assert list(yardsticks["another"]) == ["structure_small_to_input"]


def test_dvc_plots_draws_curves_and_grids(project):
    run("dvc plots show -o plots", project)
    page = (project / "plots" / "index.html").read_text()
    assert "discriminator and generator" in page and "graph density" in page
    assert "step_000004.png" in page or any((project / "plots").rglob("*step_000004.png"))
    shutil.rmtree(project / "plots")


def test_mlflow_ui_finds_the_store_without_arguments(project):
    """Asks the default store of the bare command, in the repository root."""
    code = "import mlflow; print([e.name for e in mlflow.search_experiments()])"
    assert "scenes" in run(f'{sys.executable} -c "{code}"', project)


@pytest.mark.parametrize(
    "change, told",
    [
        ({"graph": {"hop": 1}}, "graph.hop: unknown key"),
        ({"graph": {"threshold": 2}}, "graph.threshold = 2"),
        ({"encoder": {"layers": ["relu9_1"]}}, "relu9_1"),
        ({"train": {"crop_size": 128, "load_size": 128}}, "smaller than train.crop_size 128"),
        ({"encoder": {"name": "vgg16", "layers": ["relu3_1"]}}, "encoder.weights"),
    ],
)
def test_mistakes_stop_training_with_one_message_and_leave_nothing(
    project, tmp_path, change, told, monkeypatch, failure
):
    params = YAML(typ="safe").load(project / "params.yaml")
    for section, values in change.items():
        params[section].update(values)
    YAML().dump(params, tmp_path / "params.yaml")
    options = {"params": "params.yaml", "model": "model", "reports": "reports", "run-file": "r", "unfinished": "."}
    monkeypatch.chdir(project)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    for proxy in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(proxy, "http://127.0.0.1:9")  # there is no network, whatever the machine has
    line = failure("train", *(f"--{name}={tmp_path / value}" for name, value in options.items()))
    assert line.startswith("error: ") and told in line
    assert not {"model", "reports", "r"} & {path.name for path in tmp_path.iterdir()}


def test_a_killed_training_cleans_up(project, tmp_path):
    """After SIGTERM there is no partial folder and no output, but a state to resume from; the MLflow run has failed."""
    params = YAML(typ="safe").load(project / "params.yaml")
    params["train"] |= {"steps": 10**6, "sample_every": 10**6}
    YAML().dump(params, tmp_path / "params.yaml")
    store = f"sqlite:///{tmp_path}/mlflow.db"
    options = {"params": "params.yaml", "model": "model", "reports": ".", "run-file": "r", "unfinished": "unfinished"}
    arguments = [f"--{name}={tmp_path / value}" for name, value in options.items()]
    environment = {**os.environ, "MLFLOW_TRACKING_URI": store, "DVC_ROOT": str(tmp_path)}
    command = [sys.executable, "-m", "pipeline", "train", *arguments]
    training = subprocess.Popen(command, cwd=project, env=environment, stdout=subprocess.DEVNULL)
    while not (tmp_path / "curves.csv").is_file():
        assert training.poll() is None
        time.sleep(0.2)
    training.terminate()
    assert training.wait(timeout=60) == 143
    assert not list(tmp_path.glob("model*")) and not (tmp_path / "r").exists()
    assert len(list((tmp_path / "unfinished").glob("train_*/step_*.safetensors"))) == 1
    client = MlflowClient(store)
    (stopped,) = client.search_runs([client.get_experiment_by_name("scenes").experiment_id])
    assert stopped.info.status == "FAILED"


def test_the_library_is_usable_without_the_pipeline_and_imports_timm_where_it_is_used():
    code = (
        "import sys, gcl, gcl.measures.evaluation;"
        "gcl.Generator(4, 1); gcl.GraphContrastiveLoss([8]); gcl.load_encoder('small', ['relu2_1']);"
        "print([name for name in ('dvc', 'mlflow', 'typer', 'pipeline', 'timm') if name in sys.modules])"
    )
    assert run(f'{sys.executable} -W ignore -c "{code}"', ROOT).strip().endswith("[]")


def test_help_needs_no_torch():
    code = (
        "import sys; from typer.testing import CliRunner; from pipeline.cli import app;"
        "print(CliRunner().invoke(app, ['train', '--help']).output);"
        "print('torch' in sys.modules, 'mlflow' in sys.modules)"
    )
    told = run(f'{sys.executable} -c "{code}"', ROOT)
    assert "--prepared" in told and told.strip().endswith("False False")


def test_the_encoder_of_the_default_parameters_has_the_layers():
    encoder = read_params(ROOT / "params.yaml").encoder
    assert len(load_encoder(encoder.name, encoder.layers).channels) == len(encoder.layers)
