"""Finds the runs of an MLflow query."""

import ast
from pathlib import Path
from typing import Any

from gcl.errors import UserError
from pipeline.pages.rendering import code
from pipeline.sweeps.metric_rows import NAMES
from pipeline.sweeps.runs import SEED, Found, LeftOut, Run, read_by_run
from pipeline.tracking.store import FINISHED, Store, StoredRun, first_line, tracking_uri


def find_runs(query: str, dataset: str | None) -> Found:
    """The finished runs that match ``query``, an MLflow filter string, the newest first; of one ``dataset`` or of all.

    UserError if the store cannot be read, or if it does not understand the query.
    """
    found = [_run(stored) for stored in _stored(query, dataset)]
    runs = [entry for entry in found if isinstance(entry, Run)]
    left_out = [entry for entry in found if isinstance(entry, LeftOut)]
    of = f" of the experiment {code(dataset)}" if dataset else ""
    return Found(runs, sorted(left_out), f"MLflow runs{of} that match {code(query)}")


def _stored(query: str, dataset: str | None) -> list[StoredRun]:
    uri = tracking_uri()
    # MLflow would create the file.
    if uri.startswith("sqlite:///") and not Path(uri.removeprefix("sqlite:///")).is_file():
        raise UserError(
            f"{uri}: no such file: nothing has been logged here yet; MLFLOW_TRACKING_URI names another store"
        )
    try:
        return Store().find(query, dataset)
    except UserError as error:
        raise UserError(f"--experiment {dataset}: {error}") from error
    # The errors of MLflow, SQLAlchemy and requests have no base class in common.
    except Exception as error:
        raise UserError(f"{uri}, --mlflow {query!r}: {first_line(error)}") from error


def _run(stored: StoredRun) -> Run | LeftOut:
    if stored.status != FINISHED:
        return LeftOut(stored.name, stored.status.lower())
    if SEED not in stored.params:
        return LeftOut(stored.name, f"no `{SEED}`: it is no training of this project")
    # Beside the metrics, a run has logged its losses and the yardsticks.
    metrics = {name: stored.metrics[name] for name in NAMES if name in stored.metrics}
    if not metrics:
        return LeftOut(stored.name, "no metrics: it was not evaluated")
    # MLflow never changes a parameter, so an evaluation with other values than the training's tags the run with them.
    flat = {key: _value(stored.tags.get(key, written)) for key, written in stored.params.items()}
    seed = flat.pop(SEED)
    of_nothing = {name: stored.metrics.get(f"untranslated.{name}") for name in metrics}
    untranslated = {name: value for name, value in of_nothing.items() if value is not None}
    origin = {"data": stored.tags["data.hash"][:7]} if "data.hash" in stored.tags else {}
    commit = {tag: value for tag, value in stored.tags.items() if tag == "git.commit"}
    return Run(stored.name, seed, read_by_run(flat), metrics, untranslated, origin, commit)


def _value(written: str) -> Any:
    """The value of a parameter that was logged as ``str(value)``."""
    try:
        return ast.literal_eval(written)
    except (ValueError, SyntaxError):
        return written
