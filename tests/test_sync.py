"""Runs whose tracking server is killed, hangs or is slow, and what `gcl sync-tracking` makes of them."""

import json
import shutil
import threading
import time

import numpy as np
import pytest
from mlflow import MlflowClient
from typer.testing import CliRunner

from gcl.errors import UserError
from pipeline.cli import app
from pipeline.running.run_folder import SavedRun
from pipeline.tracking.journal import pending_folder
from pipeline.tracking.run import TrackedRun, tracked
from pipeline.tracking.store import Store
from pipeline.tracking.sync import sync_tracking
from tests.stores import Server, die, empty_store, in_a_process_that_dies

PIXELS = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)


@pytest.fixture(scope="module")
def shared_server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("server")
    shutil.copy(empty_store(), folder / "mlflow.db")
    server = Server(folder)
    yield server
    server.kill()


@pytest.fixture
def server(shared_server, tmp_path, monkeypatch):
    """A running server that the environment names; the repository root is empty."""
    shared_server.start()
    shared_server.go_on()
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", shared_server.uri)
    return shared_server


@pytest.fixture
def identity(request):
    """An experiment for each test."""
    return {"name": "main seed 0", "dataset": request.node.name, "tags": {"seed": "0"}}


def log_everything(run, folder, steps):
    (folder / "metrics.json").write_text(f"up to {steps[-1]}")
    run.log_params({"train": {"steps": 4}})
    run.set_tags({"evaluate.features": "small"})
    for step in steps:
        run.log_metrics({"loss": step / 10, "nan": float("nan")}, step)
        run.log_image(PIXELS, "samples", step)
    run.log_file(folder / "metrics.json", "evaluation")


def has_everything(server, run, steps):
    assert run.info.run_name == "main seed 0" and run.data.params == {"train.steps": "4"}
    assert run.data.tags.items() >= {"seed": "0", "evaluate.features": "small", "mlflow.loggedImages": "True"}.items()
    assert server.points(run, "loss") == [(step, step / 10) for step in steps]
    assert [step for step, _ in server.points(run, "nan")] == steps
    assert server.image_steps(run) == sorted([*steps, *steps])
    assert server.text(run, "evaluation/metrics.json") == f"up to {steps[-1]}"


def warnings_in(capsys):
    return [line for line in capsys.readouterr().out.splitlines() if "warning" in line]


def now():
    return time.time_ns() // 1_000_000


def test_a_server_killed_midway_gets_the_whole_run_later(server, identity, tmp_path, capsys):
    before = now()
    with tracked(identity) as run:
        started = now()
        log_everything(run, tmp_path, [1, 2])
        server.kill()
        log_everything(run, tmp_path, [3, 4])
        finishing = now()
    finished = now()
    (warning,) = warnings_in(capsys)
    for told in (server.uri, str(pending_folder() / run.key), "`gcl sync-tracking`", "the run itself goes on"):
        assert told in warning
    with pytest.raises(UserError, match="try again"):
        sync_tracking()
    server.start()
    assert CliRunner().invoke(app, ["sync-tracking"]).exit_code == 0
    (stored,) = server.runs(identity)
    assert stored.info.run_id == run.run_id and stored.info.status == "FINISHED"
    has_everything(server, stored, [1, 2, 3, 4])
    assert before <= stored.info.start_time <= started and finishing <= stored.info.end_time <= finished
    assert list(pending_folder().iterdir()) == []


@pytest.mark.parametrize("evaluated", ["while the server is away", "before the sync", "after the sync"])
def test_an_evaluation_joins_a_training_that_never_reached_the_server(server, identity, tmp_path, capsys, evaluated):
    server.kill()
    with tracked(identity) as run:
        run.log_metrics({"loss": 0.5}, step=1)
    if evaluated != "while the server is away":
        server.start()
    if evaluated == "after the sync":
        sync_tracking()
    with tracked(identity, run.saved) as run:
        run.log_metrics({"fid": 1.0}, step=4)
    finished = now()
    assert len(warnings_in(capsys)) == (2 if evaluated == "while the server is away" else 1)
    server.start()
    sync_tracking()
    (stored,) = server.runs(identity)
    assert stored.data.metrics == {"loss": 0.5, "fid": 1.0} and stored.info.status == "FINISHED"
    assert finished - 10_000 < stored.info.end_time <= finished


def test_an_evaluation_without_a_server_joins_a_training_that_had_one(server, identity, tmp_path):
    with tracked(identity) as run:
        pass
    server.kill()
    with tracked(identity, run.saved) as run:
        run.log_metrics({"fid": 1.0}, step=4)
    server.start()
    sync_tracking()
    (stored,) = server.runs(identity)
    assert stored.info.run_id == run.run_id and stored.data.metrics == {"fid": 1.0}


def test_a_server_that_hangs_is_waited_for_once(server, identity, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    with tracked(identity) as run:
        server.stop()
        begun = time.monotonic()
        log_everything(run, tmp_path, [1, 2, 3])
        assert time.monotonic() - begun < 10
    (warning,) = warnings_in(capsys)
    assert "timed out" in warning
    with pytest.raises(UserError, match="try again"):
        sync_tracking()
    server.go_on()  # it then reads requests that nobody waits for any more
    sync_tracking()
    (stored,) = server.runs(identity)
    has_everything(server, stored, [1, 2, 3])


def test_a_server_that_answers_too_slowly_is_given_up(server, identity, capsys, monkeypatch):
    monkeypatch.setattr("pipeline.tracking.run.SLOW_SECONDS", 1.0)
    with tracked(identity) as run:
        run.log_metrics({"loss": 1.0}, 1)
        server.stop()
        threading.Timer(2.0, server.go_on).start()
        run.log_metrics({"loss": 2.0}, 2)
        (before,) = server.runs(identity)
        run.log_metrics({"loss": 3.0}, 3)
    (warning,) = warnings_in(capsys)
    assert "too slow: waited" in warning and " s; all of it is kept" in warning
    (after,) = server.runs(identity)
    assert before.data.metrics == after.data.metrics == {"loss": 2.0}
    sync_tracking()
    (stored,) = server.runs(identity)
    assert server.points(stored, "loss") == [(1, 1.0), (2, 2.0), (3, 3.0)]


def test_a_run_that_a_hanging_server_makes_later_is_found(server, identity, capsys, monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    create_run = MlflowClient.create_run

    def ask_in_vain(*arguments):
        server.stop()
        create_run(*arguments)

    monkeypatch.setattr(MlflowClient, "create_run", ask_in_vain)
    with tracked(identity) as run:
        run.log_metrics({"loss": 1.0}, 1)
    assert len(warnings_in(capsys)) == 1
    server.go_on()
    while not server.runs(identity):
        time.sleep(0.1)
    sync_tracking()
    (stored,) = server.runs(identity)
    assert stored.info.status == "FINISHED" and stored.data.metrics == {"loss": 1.0}


def test_a_sync_may_be_killed_at_any_time(server, identity, tmp_path):
    server.kill()
    with tracked(identity) as run:
        log_everything(run, tmp_path, [1])
    server.start()
    calls = 0

    def killed_after(call):
        def last(*arguments, **others):
            nonlocal calls
            result = call(*arguments, **others)
            calls -= 1
            return die() if calls < 0 else result

        return last

    def die_syncing():
        for name in ("create_run", "update_run", "log_batch", "log_artifact", "set_terminated"):
            setattr(MlflowClient, name, killed_after(getattr(MlflowClient, name)))
        sync_tracking()
        die()

    kills = 0
    while any(pending_folder().iterdir()):
        calls = kills
        in_a_process_that_dies(die_syncing)
        kills += 1
    assert kills == 10  # after each of nine calls, and once at the end
    (stored,) = server.runs(identity)
    assert stored.info.status == "FINISHED"
    has_everything(server, stored, [1])


@pytest.mark.parametrize("online", [True, False])
def test_a_killed_run_comes_in_as_killed(server, identity, online):
    if not online:
        server.kill()

    def run_and_die():
        run = TrackedRun(identity)
        # What is on its way to the server is in the journal already.
        Store.add = lambda *_: die()
        run.log_metrics({"loss": 1.0}, 1)
        die()

    in_a_process_that_dies(run_and_die)
    died = now()
    server.start()
    assert [run.info.status for run in server.runs(identity)] == (["RUNNING"] if online else [])
    sync_tracking()
    (stored,) = server.runs(identity)
    assert stored.info.status == "KILLED" and stored.data.metrics == {"loss": 1.0}
    assert stored.info.start_time <= stored.info.end_time <= died
    assert list(pending_folder().iterdir()) == []


def test_a_killed_run_goes_on_where_it_stopped(server, identity, tmp_path, capsys):
    def run_and_die():
        run = TrackedRun(identity)
        log_everything(run, tmp_path, [1, 2])
        die()

    in_a_process_that_dies(run_and_die)
    (journal,) = [path for path in pending_folder().iterdir() if path.is_dir()]
    with tracked(identity, SavedRun(journal.name, None)) as run:
        assert run.last_step("loss") == 2 and run.last_step("unknown") == 0
        log_everything(run, tmp_path, [3])
        # The image may be there already, since the kill may have come between it and the rest of its step.
        run.log_image(PIXELS, "samples", 2)
    (stored,) = server.runs(identity)
    assert stored.info.status == "FINISHED" and stored.info.run_id == run.run_id
    has_everything(server, stored, [1, 2, 3])
    assert warnings_in(capsys) == [] and list(pending_folder().iterdir()) == []


def test_a_damaged_run_keeps_no_other_out(server, identity, tmp_path):
    def damaged_line(journal):
        events = journal / "events.jsonl"
        events.write_text(events.read_text().replace("{", "", 1))

    def missing_file(journal):
        next(journal.glob("*/metrics.json")).unlink()

    def unknown_kind(journal):
        with (journal / "events.jsonl").open("a") as stream:
            stream.write(json.dumps({"kind": "dance", "time": 1}) + "\n")

    def refused(journal):
        with (journal / "events.jsonl").open("a") as stream:
            stream.write(json.dumps({"kind": "params", "time": 1, "values": {"train.steps": "5"}}) + "\n")

    server.kill()
    keys = []
    for _ in range(5):
        with tracked(identity) as run:
            log_everything(run, tmp_path, [1])
        keys.append(run.key)
    # The good one comes after all damaged ones.
    *damaged, good = [pending_folder() / key for key in sorted(keys)]
    for journal, damage in zip(damaged, (damaged_line, missing_file, unknown_kind, refused), strict=True):
        damage(journal)
    before = {path: path.read_bytes() for path in pending_folder().rglob("*") if path.is_file()}
    server.start()
    result = CliRunner().invoke(app, ["sync-tracking"])
    assert isinstance(result.exception, UserError) and "4 of 5" in str(result.exception)
    assert [name in result.stdout for name in map(str, [*damaged, good])] == [True] * 4 + [False]
    assert good.name in [run.data.tags["gcl.key"] for run in server.runs(identity)]
    left = {path: path.read_bytes() for path in pending_folder().rglob("*") if path.is_file()}
    assert left == {path: content for path, content in before.items() if good.name not in str(path)}
