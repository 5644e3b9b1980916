"""MLflow runs in real SQLite stores: where they lie, how they end, and what happens when they are gone."""

import errno
import shutil

import numpy as np
import pytest
from mlflow import MlflowClient
from typer.testing import CliRunner

from pipeline.cli import app
from pipeline.running.run_folder import SavedRun
from pipeline.tracking.journal import Journal, pending_folder
from pipeline.tracking.run import tracked
from pipeline.tracking.store import Store, tracking_uri
from pipeline.tracking.sync import sync_tracking
from tests.stores import empty_store

IDENTITY = {"name": "main", "dataset": "scenes", "tags": {"seed": "0", "data.hash": "abc"}}


@pytest.fixture
def root(tmp_path, monkeypatch):
    """A repository root that is not the working directory, as in the clone of a DVC experiment."""
    (tmp_path / "clone").mkdir()
    for name in ("mlflow.db", "other.db"):
        shutil.copy(empty_store(), tmp_path / name)
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
    assert list((root / "clone").iterdir()) == list(pending_folder().iterdir()) == []


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
        pass
    with tracked(IDENTITY, run.saved) as same:
        same.log_metrics({"fid": 1.0}, step=9)
    assert same.run_id == run.run_id
    stored = client(root).get_run(run.run_id)
    assert stored.data.metrics == {"fid": 1.0} and stored.data.tags["gcl.key"] == run.key
    client(root).delete_run(run.run_id)
    for lost in (SavedRun(run.key, run.run_id), SavedRun("0" * 32, "0" * 32), SavedRun("1" * 32, None), None):
        with tracked(IDENTITY, lost) as other:
            pass
        assert client(root).get_run(other.run_id).info.status == "FINISHED"
        assert lost is None or other.run_id != lost.run_id


def test_a_run_whose_id_is_unknown_is_found_by_its_key(root):
    with tracked(IDENTITY) as run:
        pass
    with tracked(IDENTITY, SavedRun(run.key, None)) as same:
        pass
    assert same.run_id == run.run_id


def test_a_run_from_before_there_were_keys_is_continued(root):
    experiment = client(root).create_experiment("scenes", artifact_location=(root / "mlartifacts").as_uri())
    old = client(root).create_run(experiment).info.run_id
    with tracked(IDENTITY, SavedRun(old, old)) as run:
        run.log_metrics({"fid": 1.0}, step=9)
    assert client(root).get_run(old).data.metrics == {"fid": 1.0}


def test_a_deleted_experiment_comes_back(root):
    with tracked(IDENTITY):
        pass
    experiment = client(root).get_experiment_by_name("scenes").experiment_id
    client(root).delete_experiment(experiment)
    with tracked(IDENTITY) as run:
        pass
    assert client(root).get_run(run.run_id).info.experiment_id == experiment


def test_a_broken_store_is_told_once_and_stops_nothing(root, capsys, monkeypatch):
    (root / "mlflow.db").write_text("this is no database" * 100)
    with tracked(IDENTITY) as run:
        run.log_metrics({"loss": 1.0}, step=1)
        run.log_params({"a": {"b": 1}})
    told = capsys.readouterr()
    assert told.out.count("no MLflow tracking from here on") == 1 and "mlflow.db: file is not a database;" in told.out
    assert told.err == ""
    assert run.saved == SavedRun(run.key, None)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///other.db")
    sync_tracking()
    with tracked(IDENTITY, run.saved) as same:
        pass
    stored = client(root, "other.db").get_run(same.run_id).data
    assert stored.metrics == {"loss": 1.0} and stored.params == {"a.b": "1"}


def test_a_journal_that_cannot_be_written_is_told_once_and_changes_nothing_in_the_store(root, capsys, monkeypatch):
    append, room = Journal.append, iter(range(2))

    def until_the_disk_is_full(*arguments):
        if next(room, None) is None:
            raise OSError(errno.ENOSPC, "No space left on device")
        append(*arguments)

    monkeypatch.setattr(Journal, "append", until_the_disk_is_full)
    with tracked(IDENTITY) as run:
        for step in range(3):
            run.log_metrics({"loss": 1.0}, step)
        run.log_image(np.zeros((4, 4, 3), dtype=np.uint8), "samples", step=3)
    out = capsys.readouterr().out
    assert out.count("warning") == 1 and out.count("No space left on device") == 1
    stored = client(root).get_run(run.run_id)
    assert stored.info.status == "FINISHED" and len(client(root).get_metric_history(run.run_id, "loss")) == 3
    assert list((root / "mlartifacts").rglob("*.png")) and list(pending_folder().iterdir()) == []


def test_a_place_where_no_journal_can_be_changes_nothing_in_the_store(root, capsys):
    pending_folder().write_text("a file where a folder should be")
    with tracked(IDENTITY) as run:
        run.log_metrics({"loss": 1.0}, 1)
    assert capsys.readouterr().out.count("warning") == 1
    assert client(root).get_run(run.run_id).data.metrics == {"loss": 1.0}


def test_with_neither_store_nor_journal_the_run_promises_nothing(root, capsys):
    pending_folder().write_text("a file where a folder should be")
    (root / "mlflow.db").write_text("this is no database" * 100)
    with tracked(IDENTITY) as run:
        run.log_metrics({"loss": 1.0}, 1)
    out = capsys.readouterr().out
    assert out.count("warning") == 2 and "sync-tracking" not in out


def test_what_another_process_holds_is_left_alone(root, capsys, monkeypatch):
    monkeypatch.setattr("pipeline.tracking.run.LOCK_PATIENCE", 0.1)
    with tracked(IDENTITY) as run:
        with tracked(IDENTITY, SavedRun(run.key, run.run_id)) as other:
            other.log_metrics({"fid": 1.0}, 1)
        run.log_metrics({"loss": 1.0}, 1)
    assert capsys.readouterr().out.count("warning") == 1
    assert client(root).get_run(run.run_id).data.metrics == {"loss": 1.0, "fid": 1.0}
    assert list(pending_folder().iterdir()) == []


def test_one_fault_is_forgiven(root, capsys, monkeypatch):
    add, faults = Store.add, iter([ConnectionError("gone for a moment")])

    def moody(*arguments):
        for fault in faults:
            raise fault
        add(*arguments)

    monkeypatch.setattr(Store, "add", moody)
    with tracked(IDENTITY) as run:
        run.log_metrics({"loss": 1.0}, step=1)
    assert "warning" not in capsys.readouterr().out
    assert client(root).get_run(run.run_id).data.metrics == {"loss": 1.0}


def test_an_error_without_a_message_stops_nothing_either(root, capsys, monkeypatch):
    with tracked(IDENTITY) as run:

        def silent(*_, **__):
            raise ConnectionError

        monkeypatch.setattr(MlflowClient, "log_batch", silent)
        run.log_metrics({"loss": 1.0}, step=1)
    assert "ConnectionError" in capsys.readouterr().out


def test_a_run_that_was_made_although_the_answer_got_lost_is_found(root, capsys, monkeypatch):
    create_run = MlflowClient.create_run

    def answer_is_lost(*arguments):
        create_run(*arguments)
        raise ConnectionError

    monkeypatch.setattr(MlflowClient, "create_run", answer_is_lost)
    with tracked(IDENTITY) as run:
        run.log_metrics({"loss": 1.0}, 1)
    (stored,) = client(root).search_runs([client(root).get_experiment_by_name("scenes").experiment_id])
    assert stored.data.metrics == {"loss": 1.0} and "warning" not in capsys.readouterr().out


def test_a_point_that_comes_twice_is_one_point(root):
    """Bringing in journals relies on this."""
    store, moment = Store(), {"kind": "metrics", "time": 1000, "step": 1}
    run_id = store.begin({"time": 1, "key": "a" * 32, "run_id": None, **IDENTITY})
    for value in (0.5, 0.5, float("nan"), float("nan")):
        store.add(run_id, {**moment, "values": {"loss": value}}, ())
    store.add(run_id, {**moment, "values": {"loss": 0.5, "other": 1.0}}, ())
    assert [len(client(root).get_metric_history(run_id, name)) for name in ("loss", "other")] == [2, 1]


def test_a_run_that_goes_on_is_not_brought_in(root, capsys):
    with tracked(IDENTITY) as run:
        sync_tracking()
        assert client(root).get_run(run.run_id).info.status == "RUNNING" and (pending_folder() / run.key).is_dir()
    assert f"left for later: {pending_folder() / run.key}" in capsys.readouterr().out


def test_a_damaged_journal_is_left_as_it_is(root, capsys):
    """A person may repair it; what a later stage logs goes to the store alone."""
    folder = pending_folder() / ("a" * 32)
    folder.mkdir(parents=True)
    (folder / "events.jsonl").write_text("garbage\n")
    with tracked(IDENTITY, SavedRun("a" * 32, None)) as run:
        run.log_metrics({"fid": 1.0}, 1)
    assert capsys.readouterr().out.count("warning") == 1
    assert client(root).get_run(run.run_id).data.metrics == {"fid": 1.0}
    assert (folder / "events.jsonl").read_text() == "garbage\n"


@pytest.mark.parametrize("online", [True, False])
def test_the_last_step_is_known_without_the_store_too(root, monkeypatch, online):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    with tracked(IDENTITY) as run:
        for step in (2, 4):
            run.log_metrics({"loss": 1.0}, step)
        assert run.last_step("loss") == 0  # before this call, there was nothing
    if online:
        monkeypatch.delenv("MLFLOW_TRACKING_URI")
    with tracked(IDENTITY, run.saved) as again:
        assert again.last_step("loss") == 4 and again.last_step("other") == 0


def test_with_nothing_pending_no_server_is_needed(root, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    result = CliRunner().invoke(app, ["sync-tracking"])
    assert result.exit_code == 0 and f"nothing waits in {pending_folder()}" in result.stdout
