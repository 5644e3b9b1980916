"""MLflow runs in real SQLite stores: where they lie, how they end, and what happens when they are gone."""

import shutil

import numpy as np
import pytest
from mlflow import MlflowClient

from pipeline.tracking import save_run, saved_run, tracked, tracking_uri

IDENTITY = {"name": "main", "dataset": "scenes", "tags": {"seed": "0", "data.hash": "abc"}}


@pytest.fixture(scope="module")
def empty_store(tmp_path_factory):
    """A store without runs: making its tables takes seconds."""
    file = tmp_path_factory.mktemp("store") / "mlflow.db"
    MlflowClient(f"sqlite:///{file}").search_experiments()
    return file


@pytest.fixture
def root(tmp_path, monkeypatch, empty_store):
    """A repository root that is not the working directory, as in the clone of a DVC experiment."""
    (tmp_path / "clone").mkdir()
    for name in ("mlflow.db", "other.db"):
        shutil.copy(empty_store, tmp_path / name)
    monkeypatch.chdir(tmp_path / "clone")
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return tmp_path


def client(root, name="mlflow.db"):
    return MlflowClient(f"sqlite:///{root / name}")


def test_a_run_lands_at_the_root_with_everything_logged(root):
    (root / "metrics.json").write_text("{}")
    with tracked(IDENTITY) as run:
        run.log_params({"graph": {"hops": 2}})
        run.log_metrics({"loss": 0.5}, step=3)
        run.log_image(np.zeros((4, 4, 3), dtype=np.uint8), "samples", step=3)
        run.log_file(root / "metrics.json", "evaluation")
        run.set_tags({"evaluate.features": "small"})
    stored = client(root).get_run(run.run_id)
    assert stored.info.status == "FINISHED" and stored.info.run_name == "main"
    assert stored.data.params == {"graph.hops": "2"} and stored.data.metrics == {"loss": 0.5}
    assert stored.data.tags.items() >= {"seed": "0", "data.hash": "abc", "evaluate.features": "small"}.items()
    assert stored.info.artifact_uri.startswith((root / "mlartifacts" / "scenes").as_uri())
    assert list((root / "mlartifacts").rglob("metrics.json")) and list((root / "mlartifacts").rglob("*.png"))
    assert list((root / "clone").iterdir()) == []


def test_an_error_ends_the_run_as_failed(root):
    with pytest.raises(ValueError, match="broken"), tracked(IDENTITY) as run:
        raise ValueError("broken")
    assert client(root).get_run(run.run_id).info.status == "FAILED"


@pytest.mark.parametrize("uri", ["sqlite:///other.db", "sqlite:///{root}/other.db"])
def test_the_environment_names_another_store(root, monkeypatch, uri):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri.format(root=root))
    assert tracking_uri() == f"sqlite:///{root}/other.db"
    with tracked(IDENTITY) as run:
        pass
    assert client(root, "other.db").get_run(run.run_id).info.artifact_uri.startswith(root.as_uri())


def test_a_run_is_continued_and_a_lost_one_replaced(root):
    with tracked(IDENTITY) as run:
        save_run(run, root / "run.json")
    with tracked(IDENTITY, saved_run(root / "run.json")) as same:
        same.log_metrics({"fid": 1.0}, step=9)
    assert same.run_id == run.run_id
    assert client(root).get_run(run.run_id).data.metrics == {"fid": 1.0}
    client(root).delete_run(run.run_id)
    for lost in (run.run_id, "0" * 32, None):
        with tracked(IDENTITY, lost) as other:
            pass
        assert client(root).get_run(other.run_id).info.status == "FINISHED"
        assert other.run_id != lost


def test_a_deleted_experiment_comes_back(root):
    with tracked(IDENTITY):
        pass
    experiment = client(root).get_experiment_by_name("scenes").experiment_id
    client(root).delete_experiment(experiment)
    with tracked(IDENTITY) as run:
        pass
    assert client(root).get_run(run.run_id).info.experiment_id == experiment


def test_a_broken_store_is_told_once_and_stops_nothing(root, capsys):
    (root / "mlflow.db").write_text("this is no database" * 100)
    with tracked(IDENTITY) as run:
        run.log_metrics({"loss": 1.0}, step=1)
        run.log_params({"a": {"b": 1}})
        save_run(run, root / "run.json")
    assert capsys.readouterr().out.count("no MLflow tracking from here on") == 1
    assert saved_run(root / "run.json") is None


def test_an_error_without_a_message_stops_nothing_either(root, capsys, monkeypatch):
    with tracked(IDENTITY) as run:

        def silent(*_, **__):
            raise ConnectionError

        monkeypatch.setattr(MlflowClient, "log_batch", silent)
        run.log_metrics({"loss": 1.0}, step=1)
    assert "ConnectionError" in capsys.readouterr().out


@pytest.mark.parametrize("text", ["", "{", "[]", "{}"])
def test_a_damaged_run_file_is_no_run(tmp_path, text):
    (tmp_path / "run.json").write_text(text)
    assert saved_run(tmp_path / "run.json") is None
    assert saved_run(tmp_path / "absent.json") is None
