"""Stage 4: translated images, testA and testB -> reports/metrics.json, each metric beside its yardsticks."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from gcl.config import MAIN, OTHER, Checkpoint, Params
from gcl.images.prepared import Prepared
from gcl.measures.evaluation import evaluate, per_image
from gcl.measures.evaluation_rows import SIDES, YARDSTICKS, Row, yardsticks
from gcl.measures.rounding import shown
from gcl.measures.verdict import verdict_on
from gcl.networks.model_card import model_card
from gcl.networks.model_folder import read_description
from pipeline.console import announce
from pipeline.params import flatten
from pipeline.running.devices import one_device
from pipeline.running.run_folder import RunFolder
from pipeline.tracking.handing_over import hand_over
from pipeline.tracking.run import TrackedRun, run_identity, tracked


def run_evaluation(params: Params, prepared: Prepared, run: RunFolder, run_name: str | None = None) -> None:
    """Evaluates the translations of ``run`` and writes its metrics.

    They are logged to the MLflow run of the training, or to a new one called ``run_name``, or to none if both are
    unknown. The verdict is printed last.
    """
    device = one_device(params.train.accelerator).type
    results = evaluate(params.evaluate, prepared, run.translated, device, run.other_translated)
    rows = [result.row for result in results]
    metrics, beside, verdict = {row["name"]: row["value"] for row in rows}, yardsticks(rows), verdict_on(rows)
    files = run.write_evaluation(metrics, beside, rows, per_image(results))
    if run.run_file is not None or run_name is not None:
        with _tracked(run_identity(params, prepared.manifest, run.variant or MAIN), run, run_name) as mlflow_run:
            mlflow_run.set_tags({**_measured_with(params), "verdict": verdict.word})
            logged = metrics | flatten(beside | _other_checkpoint(params, rows))
            mlflow_run.log_metrics(logged, _step(params, run) if run_name is None else 0)
            for file in files:
                mlflow_run.log_file(file, "evaluation")
            if run_name is None and run.translates_itself:
                _log_card(mlflow_run, run.model, params.translate.checkpoint, rows)
                if run.variant is None:
                    hand_over(mlflow_run, run.model, params.translate.checkpoint, rows)
    for row in rows:
        announce(_line(row))
    for warning in prepared.manifest.warnings:
        announce(f"WARNING: {warning}")
    announce(verdict.sentence)


def _tracked(identity: dict[str, Any], run: RunFolder, name: str | None) -> AbstractContextManager[TrackedRun]:
    """The training's MLflow run, or a new one called ``name`` that has no training, and so no variant and no seed."""
    if name is None:
        return tracked(identity, run.saved())
    tags = {key: value for key, value in identity["tags"].items() if key not in ("variant", "seed")}
    return tracked({**identity, "name": name, "tags": tags})


def _step(params: Params, run: RunFolder) -> int:
    """The step of the checkpoint that translated, as far as it is known."""
    if not run.translates_itself:
        return params.train.steps
    checkpoints = read_description(run.model).get("checkpoints", {})
    return checkpoints.get(params.translate.checkpoint, {}).get("step", params.train.steps)


def _measured_with(params: Params) -> dict[str, str]:
    """Tags with the parameters that an evaluation may have changed since the training logged its own."""
    names = ("features", "batch_size", "seed")
    tags = {f"evaluate.{name}": str(getattr(params.evaluate, name)) for name in names}
    return tags | {"translate.checkpoint": params.translate.checkpoint}


def _log_card(mlflow_run: TrackedRun, model: Path, checkpoint: Checkpoint, rows: Sequence[Row]) -> None:
    """Replaces the model card in the MLflow run by one with these metrics."""
    with TemporaryDirectory() as folder:
        card = Path(folder) / "README.md"
        card.write_text(model_card(read_description(model), rows, checkpoint), encoding="utf-8")
        mlflow_run.log_file(card, "model")


def _other_checkpoint(params: Params, rows: Sequence[Row]) -> dict[str, dict[str, float]]:
    """The metrics of the checkpoint that does not translate, by its name; empty if there is none."""
    values = {row["name"]: row["other_checkpoint"] for row in rows if row["other_checkpoint"] is not None}
    return {OTHER[params.translate.checkpoint]: values} if values else {}


def _line(row: Row) -> str:
    beside = "   ".join(f"{yardstick} {shown(row[yardstick]):>9}" for yardstick in YARDSTICKS)
    return f"{row['name']:24} {shown(row['value']):>9}   {beside}   ({SIDES[row['better']]})"
