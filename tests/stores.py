"""Real stores for the tests of tracking: SQLite files, and a server that can be killed, stopped and restarted."""

import logging
import multiprocessing
import os
import signal
import socket
import time
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.server import app
from mlflow.server.constants import (
    ARTIFACT_ROOT_ENV_VAR,
    ARTIFACTS_DESTINATION_ENV_VAR,
    BACKEND_STORE_URI_ENV_VAR,
    SERVE_ARTIFACTS_ENV_VAR,
)
from werkzeug.serving import run_simple


@cache
def _folder() -> TemporaryDirectory:
    return TemporaryDirectory()


@cache
def empty_store() -> Path:
    """A store without runs, to be copied, because making its tables takes seconds."""
    file = Path(_folder().name, "mlflow.db")
    MlflowClient(f"sqlite:///{file}").search_experiments()
    return file


class Server:
    """MLflow's tracking server on ``mlflow.db`` in ``folder``, which serves artifacts as well.

    It runs in a process forked from this one, because the command `mlflow server` takes ten times as long to start.
    """

    def __init__(self, folder: Path):
        self._settings = {
            BACKEND_STORE_URI_ENV_VAR: f"sqlite:///{folder / 'mlflow.db'}",
            ARTIFACTS_DESTINATION_ENV_VAR: str(folder / "artifacts"),
            ARTIFACT_ROOT_ENV_VAR: "mlflow-artifacts:/",
            SERVE_ARTIFACTS_ENV_VAR: "true",
        }
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = free.getsockname()[1]
        self.uri = f"http://127.0.0.1:{self._port}"
        self._process = None

    def start(self) -> None:
        """Starts it, unless it is running, and returns once it accepts connections."""
        if self._process is not None:
            return
        self._process = multiprocessing.get_context("fork").Process(target=self._serve, daemon=True)
        self._process.start()
        while socket.socket().connect_ex(("127.0.0.1", self._port)) != 0:
            assert self._process.is_alive()
            time.sleep(0.01)

    def kill(self) -> None:
        """Kills it as the kernel does when memory runs out."""
        if self._process is not None:
            self._process.kill()
            self._process.join()
            self._process = None

    def stop(self) -> None:
        """Suspends it: connections are still accepted, but nobody answers."""
        os.kill(self._process.pid, signal.SIGSTOP)

    def go_on(self) -> None:
        """Lets it continue and answer what was asked in the meantime."""
        os.kill(self._process.pid, signal.SIGCONT)

    def runs(self, identity: Mapping[str, Any]) -> list[Run]:
        """All runs of the experiment in ``identity``."""
        experiment = MlflowClient(self.uri).get_experiment_by_name(identity["dataset"])
        return [] if experiment is None else list(MlflowClient(self.uri).search_runs([experiment.experiment_id]))

    def points(self, run: Run, key: str) -> list[tuple[int, float]]:
        """The step and value of every point in a metric's history."""
        history = MlflowClient(self.uri).get_metric_history(run.info.run_id, key)
        return sorted((point.step, point.value) for point in history)

    def image_steps(self, run: Run) -> list[int]:
        """The steps of the images `samples`, one entry per file."""
        files = MlflowClient(self.uri).list_artifacts(run.info.run_id, "images")
        return sorted(int(file.path.removeprefix("images/samples+step+").split("+timestamp+")[0]) for file in files)

    def text(self, run: Run, path: str) -> str:
        """The text of an artifact."""
        return Path(MlflowClient(self.uri).download_artifacts(run.info.run_id, path)).read_text()

    def _serve(self) -> None:
        logging.getLogger("werkzeug").setLevel(logging.ERROR)
        os.environ.update(self._settings)
        run_simple("127.0.0.1", self._port, app, threaded=True)


def in_a_process_that_dies(action: Callable[[], Any]) -> None:
    """Runs ``action``, which calls :func:`die`, in a forked process."""
    process = multiprocessing.get_context("fork").Process(target=action)
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL


def die() -> None:
    """Ends this process as a kill does, without any cleaning up."""
    os.kill(os.getpid(), signal.SIGKILL)
