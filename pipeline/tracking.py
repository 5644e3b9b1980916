"""MLflow tracking: one experiment a data set, one run a training with its evaluation. The only module with mlflow.

The store is SQLite at the root of the repository unless MLFLOW_TRACKING_URI says otherwise. DVC_ROOT names that root
also in the throw-away clones of ``dvc exp run --temp`` and ``--queue``, whose runs so land in the same store.
"""

import json
import logging
import os
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from mlflow import MlflowClient
from mlflow.entities import LifecycleStage, Metric, Param, RunStatus
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import RESOURCE_DOES_NOT_EXIST, ErrorCode
from mlflow.utils.mlflow_tags import MLFLOW_RUN_NAME
from mlflow.utils.time import get_current_time_millis

from gcl.config import Params
from gcl.files import write_whole
from gcl.manifest import Manifest
from pipeline.console import announce
from pipeline.params import flatten, repository_root

# They report every table of a new store at INFO.
for chatty in ("alembic", "mlflow.store.db.utils"):
    logging.getLogger(chatty).setLevel(logging.WARNING)

PATIENCE = 3.0
"""Seconds for a tracking server to accept a connection."""

# By itself MLflow asks a dead server again for minutes.
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")

FINISHED, FAILED, RUNNING = map(RunStatus.to_string, (RunStatus.FINISHED, RunStatus.FAILED, RunStatus.RUNNING))


class Run:
    """One MLflow run that a stage writes to.

    Tracking never stops an experiment: at the first fault it says so once, and logs nothing more.
    """

    def __init__(self, identity: Mapping[str, Any], run_id: str | None = None):
        """Continues ``run_id`` if the store has it, else starts a run; ``identity`` is that of :func:`run_identity`."""
        self.run_id, self._broken = None, False
        self._client = self._attempt(_connect)
        if run_id is not None and self._attempt(lambda: _is_active(self._client, run_id)):
            self.run_id = run_id
            self._attempt(lambda: self._client.update_run(run_id, RUNNING))
        else:
            self.run_id = self._attempt(lambda: _create_run(self._client, **identity))

    def set_tags(self, tags: Mapping[str, str]) -> None:
        """Tags beside those of the run's identity."""
        for key, value in tags.items():
            self._attempt(lambda key=key, value=value: self._client.set_tag(self.run_id, key, value))

    def log_params(self, params: Mapping[str, Any]) -> None:
        """Nested sections as flat ``section.key`` parameters."""
        flat = [Param(key, str(value)) for key, value in flatten(params).items()]
        self._attempt(lambda: self._client.log_batch(self.run_id, params=flat))

    def log_metrics(self, metrics: Mapping[str, float], step: int) -> None:
        """Several metrics of one step at once."""
        now = get_current_time_millis()
        values = [Metric(name, value, now, step) for name, value in metrics.items()]
        self._attempt(lambda: self._client.log_batch(self.run_id, metrics=values))

    def log_image(self, pixels: np.ndarray, key: str, step: int) -> None:
        """``pixels`` (H, W, 3) uint8, shown by step under ``key``."""
        self._attempt(lambda: self._client.log_image(self.run_id, pixels, key=key, step=step))

    def log_file(self, path: Path, into: str) -> None:
        """A file under the artifact folder ``into``."""
        self._attempt(lambda: self._client.log_artifact(self.run_id, str(path), into))

    def end(self, status: str) -> None:
        """Closes the run."""
        self._attempt(lambda: self._client.set_terminated(self.run_id, status))

    def _attempt(self, action: Callable[[], Any]) -> Any:
        if self._broken:
            return None
        try:
            return action()
        # Whatever a store or a server may raise: MLflow's, SQLAlchemy's and requests' errors have no common base.
        except Exception as error:
            self._broken = True
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            announce(f"warning: no MLflow tracking from here on, the run itself goes on: {tracking_uri()}: {reason}")
            return None


@contextmanager
def tracked(identity: Mapping[str, Any], run_id: str | None = None) -> Iterator[Run]:
    """A run that ends as finished, or as failed if the block raises."""
    run, status = Run(identity, run_id), FAILED
    try:
        yield run
        status = FINISHED
    finally:
        run.end(status)


def run_identity(params: Params, manifest: Manifest) -> dict[str, Any]:
    """Name, experiment and tags of a run: one experiment a data set, whichever stage asks."""
    dataset = params.data.path.resolve().name if params.data.source == "folder" else params.data.source
    tags = {"variant": "main", "seed": str(params.train.seed), "data.hash": manifest.sha256, **_revision_tags()}
    return {"name": os.environ.get("DVC_EXP_NAME", "main"), "dataset": dataset, "tags": tags}


def save_run(run: Run, run_file: Path) -> None:
    """Keeps the run's id among the stage's outputs, so that it is known when DVC restores them from its cache."""
    run_file.parent.mkdir(parents=True, exist_ok=True)
    write_whole(run_file, (json.dumps({"run_id": run.run_id}) + "\n").encode())


def saved_run(run_file: Path) -> str | None:
    """The id that :func:`save_run` kept; None without a file or, after a fault in tracking, without an id."""
    try:
        return json.loads(run_file.read_text(encoding="utf-8"))["run_id"]
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None


def tracking_uri() -> str:
    """Where runs are stored: MLFLOW_TRACKING_URI, or mlflow.db at the repository root."""
    uri = os.environ.get("MLFLOW_TRACKING_URI") or "sqlite:///mlflow.db"
    prefix, file = uri[:10], uri[10:]
    # A relative file would lie in the working directory, which may be a passing clone.
    return f"{prefix}{repository_root() / file}" if prefix == "sqlite:///" else uri


def _connect() -> MlflowClient:
    server = urlsplit(tracking_uri())
    if server.scheme in ("http", "https"):
        port = server.port or {"http": 80, "https": 443}[server.scheme]
        socket.create_connection((server.hostname, port), timeout=PATIENCE).close()
    return MlflowClient(tracking_uri())


def _is_active(client: MlflowClient, run_id: str) -> bool:
    """Whether the store, which may be another one by now, has the run."""
    try:
        return client.get_run(run_id).info.lifecycle_stage == LifecycleStage.ACTIVE
    except MlflowException as error:
        if error.error_code == ErrorCode.Name(RESOURCE_DOES_NOT_EXIST):
            return False
        raise


def _create_run(client: MlflowClient, name: str, dataset: str, tags: Mapping[str, str]) -> str:
    experiment = client.get_experiment_by_name(dataset)
    if experiment is None:
        experiment_id = client.create_experiment(dataset, artifact_location=_artifact_location(dataset))
    else:
        experiment_id = experiment.experiment_id
        if experiment.lifecycle_stage == LifecycleStage.DELETED:
            client.restore_experiment(experiment_id)
    return client.create_run(experiment_id, tags={**tags, MLFLOW_RUN_NAME: name}).info.run_id


def _artifact_location(dataset: str) -> str | None:
    """A server decides itself where artifacts go; those of a local store lie at the repository root."""
    if urlsplit(tracking_uri()).scheme in ("http", "https", "databricks"):
        return None
    return (repository_root() / "mlartifacts" / dataset).as_uri()


def _revision_tags() -> dict[str, str]:
    """The git revision, and the DVC experiment where there is one."""
    tags = {"git.commit": _git_revision(), "dvc.exp": os.environ.get("DVC_EXP_NAME", "")}
    return {key: value for key, value in tags.items() if value}


def _git_revision() -> str:
    if shutil.which("git") is None:
        return ""
    answer = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
    return answer.stdout.strip()
