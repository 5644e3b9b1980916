"""MLflow tracking: one experiment a data set, one run a training with its evaluation. The only module with mlflow.

The store is SQLite at the root of the repository unless MLFLOW_TRACKING_URI says otherwise. DVC_ROOT names that root
also in the throw-away clones of ``dvc exp run --temp`` and ``--queue``, whose runs so land in the same store.
"""

import json
import logging
import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunStatus
from mlflow.exceptions import MlflowException
from mlflow.utils.mlflow_tags import MLFLOW_RUN_NAME
from mlflow.utils.time import get_current_time_millis

from gcl.config import Params
from gcl.manifest import Manifest
from pipeline.console import announce
from pipeline.params import flatten

# They report every table of a new store at INFO.
for chatty in ("alembic", "mlflow.store.db.utils"):
    logging.getLogger(chatty).setLevel(logging.WARNING)


class Run:
    """One MLflow run that a stage writes to."""

    def __init__(self, client: MlflowClient, run_id: str):
        self._client, self.run_id = client, run_id

    def log_params(self, params: Mapping[str, Any]) -> None:
        """Nested sections as flat ``section.key`` parameters."""
        flat = [Param(key, str(value)) for key, value in flatten(params).items()]
        self._client.log_batch(self.run_id, params=flat)

    def log_metrics(self, metrics: Mapping[str, float], step: int) -> None:
        """Several metrics of one step at once."""
        now = get_current_time_millis()
        values = [Metric(name, value, now, step) for name, value in metrics.items()]
        self._client.log_batch(self.run_id, metrics=values)

    def log_image(self, pixels: np.ndarray, key: str, step: int) -> None:
        """``pixels`` (H, W, 3) uint8, shown by step under ``key``."""
        self._client.log_image(self.run_id, pixels, key=key, step=step)

    def log_files(self, path: Path, into: str) -> None:
        """A file, or the files of a folder, under the artifact folder ``into``."""
        upload = self._client.log_artifacts if path.is_dir() else self._client.log_artifact
        upload(self.run_id, str(path), into)


def run_identity(params: Params, manifest: Manifest) -> dict[str, Any]:
    """Name, experiment and tags of a run: one experiment a data set, whichever stage asks."""
    dataset = params.data.path.name if params.data.source == "folder" else params.data.source
    tags = {"variant": "main", "seed": str(params.train.seed), "data.hash": manifest.sha256}
    return {"name": os.environ.get("DVC_EXP_NAME", "main"), "dataset": dataset, "tags": tags}


@contextmanager
def new_run(name: str, dataset: str, tags: Mapping[str, str]) -> Iterator[Run]:
    """Starts a run in the experiment ``dataset``; it ends as finished, or as failed if the block raises."""
    client = MlflowClient(tracking_uri())
    run = client.create_run(_experiment(client, dataset), tags={**tags, **revision_tags(), MLFLOW_RUN_NAME: name})
    with _ending(client, run.info.run_id):
        yield Run(client, run.info.run_id)


@contextmanager
def continued_run(run_file: Path, name: str, dataset: str, tags: Mapping[str, str]) -> Iterator[Run]:
    """The run named in ``run_file``; a new one if the store, say another one by now, does not have it."""
    client = MlflowClient(tracking_uri())
    run_id = json.loads(run_file.read_text(encoding="utf-8"))["run_id"]
    try:
        client.get_run(run_id)
    except MlflowException:
        announce(f"MLflow run {run_id} is not in {tracking_uri()}: logging to a new run")
        with new_run(name, dataset, tags) as run:
            yield run
        return
    with _ending(client, run_id):
        yield Run(client, run_id)


def save_run(run: Run, run_file: Path) -> None:
    """Keeps the run's id among the stage's outputs, so that it is known when DVC restores them from its cache."""
    run_file.parent.mkdir(parents=True, exist_ok=True)
    run_file.write_text(json.dumps({"run_id": run.run_id}) + "\n", encoding="utf-8")


def tracking_uri() -> str:
    """Where runs are stored: MLFLOW_TRACKING_URI, or mlflow.db at the repository root."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{repository_root() / 'mlflow.db'}"


def repository_root() -> Path:
    """The original repository, also from inside a DVC experiment's clone; else the working directory."""
    return Path(os.environ.get("DVC_ROOT", ".")).resolve()


def revision_tags() -> dict[str, str]:
    """The git revision, and the DVC experiment where there is one."""
    tags = {"git.commit": _git_revision(), "dvc.exp": os.environ.get("DVC_EXP_NAME", "")}
    return {key: value for key, value in tags.items() if value}


def _experiment(client: MlflowClient, name: str) -> str:
    existing = client.get_experiment_by_name(name)
    if existing is not None:
        return existing.experiment_id
    # A server decides itself where artifacts go; for the local store the working directory may be a passing clone.
    local = "MLFLOW_TRACKING_URI" not in os.environ
    location = (repository_root() / "mlartifacts" / name).as_uri() if local else None
    return client.create_experiment(name, artifact_location=location)


@contextmanager
def _ending(client: MlflowClient, run_id: str) -> Iterator[None]:
    status = RunStatus.FAILED
    try:
        client.update_run(run_id, RunStatus.to_string(RunStatus.RUNNING))
        yield
        status = RunStatus.FINISHED
    finally:
        client.set_terminated(run_id, RunStatus.to_string(status))


def _git_revision() -> str:
    answer = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
    return answer.stdout.strip()
