"""Stage 4: translated images, testA and testB -> reports/metrics.json, each number beside its yardsticks."""

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from gcl.config import MAIN, Params
from gcl.files import write_json, write_whole
from gcl.images.prepared import Prepared
from gcl.measures.digits import shown
from gcl.measures.evaluation import evaluate, per_image
from gcl.measures.rows import SIDES, Row, yardsticks
from gcl.measures.verdict import verdict_on
from pipeline.console import announce
from pipeline.params import flatten
from pipeline.running.devices import one_device
from pipeline.tracking.run import Run, run_identity, saved_run, tracked


def run_evaluation(
    params: Params,
    prepared: Path,
    translated: Path,
    reports: Path,
    run_file: Path | None,
    variant: str = MAIN,
    run_name: str | None = None,
) -> None:
    """Evaluates and writes metrics.json, yardsticks.json, evaluation.json and per_image.csv into ``reports``.

    All of it is logged to the training's MLflow run that ``run_file`` keeps, or to a new one called ``run_name``; to
    none without either. The verdict is told last.
    """
    data, device = Prepared(prepared), one_device(params.train.accelerator).type
    results = evaluate(params.evaluate, data, translated, device)
    rows = [result.row for result in results]
    verdict = verdict_on(rows)
    numbers, beside = {row["name"]: row["value"] for row in rows}, yardsticks(rows)
    reports.mkdir(parents=True, exist_ok=True)
    write_json(reports / "metrics.json", numbers)
    write_json(reports / "yardsticks.json", beside)
    write_json(reports / "evaluation.json", rows)
    write_whole(reports / "per_image.csv", per_image(results).to_csv(float_format="%.6g").encode())
    if run_file is not None or run_name is not None:
        identity = run_identity(params, data.manifest, variant)
        with _run(identity, run_file, run_name) as run:
            run.set_tags({"evaluate.features": params.evaluate.features, "verdict": verdict.word})
            run.log_metrics(numbers | flatten(beside), params.train.steps if run_name is None else 0)
            for name in ("metrics.json", "yardsticks.json", "evaluation.json", "per_image.csv"):
                run.log_file(reports / name, "evaluation")
    for row in rows:
        announce(_line(row))
    for warning in data.manifest.warnings:
        announce(f"WARNING: {warning}")
    announce(verdict.sentence)


def _run(identity: dict[str, Any], run_file: Path | None, name: str | None) -> AbstractContextManager[Run]:
    """The training's run, or one called ``name``, which knows of no training: neither its variant nor its seed."""
    if name is None:
        return tracked(identity, saved_run(run_file))
    tags = {key: value for key, value in identity["tags"].items() if key not in ("variant", "seed")}
    return tracked({**identity, "name": name, "tags": tags})


def _line(row: Row) -> str:
    beside = f"untranslated {shown(row['untranslated']):>9}   real {shown(row['real']):>9}"
    return f"{row['name']:22} {shown(row['value']):>9}   {beside}   ({SIDES[row['better']]})"
