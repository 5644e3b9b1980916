"""`gcl bench`: how long this machine takes for the parts of an experiment, and for all of it."""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

from rich.console import RenderableType

from gcl.config import Params
from gcl.errors import UserError
from gcl.files import write_json
from gcl.images.prepared import Prepared
from pipeline.benchmarks.estimate import estimate, total, without_ablation
from pipeline.benchmarks.evaluation import measure_evaluation
from pipeline.benchmarks.graph_loss import measure_graph_loss
from pipeline.benchmarks.machine import describe_machine
from pipeline.benchmarks.settings import published
from pipeline.benchmarks.startup import measure_startup
from pipeline.benchmarks.step import measure_step
from pipeline.benchmarks.tables import (
    estimate_table,
    evaluation_table,
    graph_loss_table,
    startup_table,
    step_table,
    translation_table,
)
from pipeline.benchmarks.translation import measure_translation
from pipeline.console import announce, console
from pipeline.running.devices import one_device

BUSY = 0.5
"""The load above which a warning is printed: an operation waits for all its threads, so one other process slows down
everything."""


def bench(params: Params, parts: Sequence[str], output: Path | None) -> None:
    """Measures ``parts``, prints a table for each and writes all measurements to the JSON file ``output``."""
    device = one_device(params.train.accelerator)
    settings = {"params.yaml": params, "published": published(params)}
    measurements: dict[str, tuple[Callable[[], object], Callable[..., RenderableType]]] = {
        "graph-loss": (lambda: measure_graph_loss(device), graph_loss_table),
        "step": (lambda: {name: measure_step(setting) for name, setting in settings.items()}, step_table),
        "translation": (
            lambda: {name: measure_translation(setting) for name, setting in settings.items()},
            translation_table,
        ),
        "evaluation": (lambda: measure_evaluation(params), evaluation_table),
        "startup": (measure_startup, startup_table),
    }
    results: dict[str, object] = _machine(params, output)
    for name in parts:
        measure, table = measurements[name]
        announce(f"measuring: {name} ...")
        results[name] = measure()
        console.print(table(results[name]))
    _write(results, output)


def bench_estimate(params: Params, prepared: Prepared, output: Path | None) -> None:
    """Estimates how long `dvc repro` takes with ``params``; prints it and writes it to the JSON file ``output``."""
    results = _machine(params, output)
    rows = estimate(params, prepared)
    console.print(estimate_table(rows))
    totals = {"total_without_ablation": total(without_ablation(rows)), "total": total(rows)}
    _write({**results, "estimate": [asdict(row) for row in rows], **totals}, output)


def _machine(params: Params, output: Path | None) -> dict[str, object]:
    """Prints and returns a description of the machine; UserError, before anything is measured, if ``output`` is a
    folder or lies in none."""
    if output is not None and not output.resolve().parent.is_dir():
        raise UserError(f"{output}: there is no folder {output.parent} to write to")
    if output is not None and output.is_dir():
        raise UserError(f"{output} is a folder; name a .json file")
    machine = describe_machine(one_device(params.train.accelerator))
    announce(", ".join(f"{key} {value}" for key, value in machine.items() if key != "versions"))
    if machine["load"] > BUSY:
        announce(f"warning: load {machine['load']:.1f} in the last minute; times are too long beside other work")
    return {"machine": machine}


def _write(results: dict[str, object], output: Path | None) -> None:
    if output is not None:
        write_json(output, results)
        announce(f"written: {output}")
