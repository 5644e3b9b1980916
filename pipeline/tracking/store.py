"""The MLflow store in which runs are kept. This is the only module that talks to it.

It is an SQLite file at the root of the repository unless MLFLOW_TRACKING_URI says otherwise. DVC_ROOT names that root
even in the throw-away clones of ``dvc exp run --temp`` and ``--queue``, so their runs are kept in the same store.
"""

import logging
import os
import socket
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import numpy as np
from mlflow import MlflowClient
from mlflow.artifacts import download_artifacts as download
from mlflow.entities import LifecycleStage, Metric, Param, Run, RunStatus, RunTag
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import RESOURCE_DOES_NOT_EXIST, ErrorCode
from mlflow.tracking.multimedia import compress_image_size
from mlflow.utils.mlflow_tags import MLFLOW_LOGGED_IMAGES, MLFLOW_RUN_NAME
from PIL import Image

from gcl.errors import UserError
from pipeline.params import repository_root
from pipeline.tracking.journal import Event

# alembic logs every table of a new store at INFO.
logging.getLogger("alembic").setLevel(logging.WARNING)
# This logger does so too, and logs hundreds of lines for an error that is also raised.
logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)

PATIENCE = 3.0
"""Seconds to wait for a tracking server to accept a connection."""

# By default MLflow retries a dead server for minutes. If the answer to creating a run were lost, its retry would also
# create the run a second time; `twice` calls `Store.begin`, which first looks for the run.
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")

STATUSES = RunStatus.FINISHED, RunStatus.FAILED, RunStatus.KILLED, RunStatus.RUNNING
FINISHED, FAILED, KILLED, RUNNING = map(RunStatus.to_string, STATUSES)

KEY_TAG = "gcl.key"
"""The tag that identifies a run whose id never arrived."""

IMAGE_TAGS = {MLFLOW_LOGGED_IMAGES: "True"}
"""The tag that makes MLflow show the images of a run."""


MOST_RUNS = 50_000
"""The number of runs that MLflow returns at once, at most."""


class StoredRun(NamedTuple):
    """A run as the store has it: its name, one of MLflow's statuses, and what was logged last."""

    name: str
    status: str
    params: Mapping[str, str]
    metrics: Mapping[str, float]
    tags: Mapping[str, str]


class Store:
    """The store; creating it raises any error if it cannot be reached. Adding the same event twice changes nothing."""

    def __init__(self):
        server = urlsplit(tracking_uri())
        if server.scheme in ("http", "https"):
            port = server.port or {"http": 80, "https": 443}[server.scheme]
            socket.create_connection((server.hostname, port), timeout=PATIENCE).close()
        self._client = MlflowClient(tracking_uri())

    def answer(self) -> None:
        """Raises any error if the store does not answer, because a server that hangs still accepts connections."""
        self._client.search_experiments(max_results=1)

    def begin(self, beginning: Event) -> str:
        """The id of the run that ``beginning`` describes; it is created if the store has no run of its id or key."""
        run_id = beginning["run_id"]
        if run_id is None or not self._is_active(run_id):
            experiment, key = self._experiment(beginning["dataset"]), beginning["key"]
            found = self._client.search_runs([experiment], f"tags.`{KEY_TAG}` = '{key}'")
            if not found:
                tags = {**beginning["tags"], KEY_TAG: key, MLFLOW_RUN_NAME: beginning["name"]}
                return self._client.create_run(experiment, beginning["time"], tags).info.run_id
            run_id = found[0].info.run_id
        self._client.update_run(run_id, RUNNING)
        return run_id

    def add(self, run_id: str, event: Event, files: Sequence[Path]) -> None:
        """Adds one event to a run; UserError for an unknown kind."""
        match event["kind"]:
            case "params":
                self._client.log_batch(run_id, params=[Param(*entry) for entry in event["values"].items()])
            case "tags":
                self._client.log_batch(run_id, tags=[RunTag(*entry) for entry in event["values"].items()])
            case "metrics":
                moment = event["time"], event["step"]
                self._client.log_batch(run_id, metrics=[Metric(*entry, *moment) for entry in event["values"].items()])
            case "files":
                for path in files:
                    self._client.log_artifact(run_id, str(path), event["into"])
            case "end":
                self._client.set_terminated(run_id, event["status"], event["time"])
            case unknown:
                raise UserError(f"events of the kind {unknown} are unknown to this version")

    def last_step(self, run_id: str, metric: str) -> int:
        """The last step of a run's ``metric``; 0 if there is none."""
        return max((point.step for point in self._client.get_metric_history(run_id, metric)), default=0)

    def find(self, query: str, dataset: str | None) -> list[StoredRun]:
        """The runs that match ``query``, an MLflow filter string, the newest first; of one ``dataset`` or of all.

        UserError if the store has no such dataset; MLflow's exception for a query that it cannot read.
        """
        experiments = {found.name: found.experiment_id for found in self._client.search_experiments()}
        if dataset is not None and dataset not in experiments:
            raise UserError(f"there is no experiment {dataset}; there are: {', '.join(sorted(experiments))}")
        ids = list(experiments.values()) if dataset is None else [experiments[dataset]]
        found = self._client.search_runs(ids, query, max_results=MOST_RUNS)
        return [StoredRun(run.info.run_name, run.info.status, *_logged(run)) for run in found]

    def _is_active(self, run_id: str) -> bool:
        """Whether the store, which may no longer be the one that created the run, has it."""
        try:
            return self._client.get_run(run_id).info.lifecycle_stage == LifecycleStage.ACTIVE
        except MlflowException as error:
            if error.error_code == ErrorCode.Name(RESOURCE_DOES_NOT_EXIST):
                return False
            raise

    def _experiment(self, dataset: str) -> str:
        experiment = self._client.get_experiment_by_name(dataset)
        if experiment is None:
            return self._client.create_experiment(dataset, artifact_location=_artifact_location(dataset))
        if experiment.lifecycle_stage == LifecycleStage.DELETED:
            self._client.restore_experiment(experiment.experiment_id)
        return experiment.experiment_id


def download_artifacts(run_id: str, path: str, folder: Path) -> Path:
    """Downloads the artifact folder ``path`` of a run into ``folder``; raises any error if there is no such thing."""
    Store().answer()
    return Path(download(f"runs:/{run_id}/{path}", dst_path=str(folder), tracking_uri=tracking_uri()))


def _import_database() -> None:
    """Imports early what MLflow would import at the first run: seconds in which no signal could be handled well."""
    if urlsplit(tracking_uri()).scheme == "sqlite":
        import mlflow.store.tracking.sqlalchemy_store  # noqa: F401


def tracking_uri() -> str:
    """The address of the store: MLFLOW_TRACKING_URI, or mlflow.db at the root of the repository."""
    uri = os.environ.get("MLFLOW_TRACKING_URI") or "sqlite:///mlflow.db"
    prefix, file = uri[:10], uri[10:]
    # A relative path would be in the working directory, which may be a throw-away clone.
    return f"{prefix}{repository_root() / file}" if prefix == "sqlite:///" else uri


def image_files(pixels: np.ndarray, name: str, folder: Path) -> list[Path]:
    """Writes ``pixels`` in full and in small, as MlflowClient.log_image would. Its file names end in random digits, so
    an image that is sent again would be stored twice."""
    image = Image.fromarray(pixels)
    files = {folder / f"{name}.png": image, folder / f"{name}+compressed.webp": compress_image_size(image)}
    for path, picture in files.items():
        picture.save(path)
    return list(files)


def twice(action: Callable[[], Any]) -> Any:
    """Returns the result of ``action``, which may fail once."""
    try:
        return action()
    except Exception:
        return action()


def first_line(error: Exception) -> str:
    """The first line of an error's message, or its name. For a chained error it is the original one, such as the
    database's."""
    while error.__cause__ is not None:
        error = error.__cause__
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def _logged(run: Run) -> tuple[Mapping[str, str], Mapping[str, float], Mapping[str, str]]:
    return run.data.params, run.data.metrics, run.data.tags


def _artifact_location(dataset: str) -> str | None:
    """The folder of artifacts at the root of the repository; None for a server, which decides that itself."""
    if urlsplit(tracking_uri()).scheme in ("http", "https", "databricks"):
        return None
    return (repository_root() / "mlartifacts" / dataset).as_uri()


_import_database()
