"""Runs of several settings -> reports/sweep.md, its figure and reports/sweep.csv. Same inputs, same bytes."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from matplotlib import rc_context, rcParamsDefault

from gcl.files import replaced_folder, write_whole
from gcl.measures.rounding import shown
from gcl.measures.statistics import Estimate
from pipeline.console import announce
from pipeline.pages.comparison import ComparedMetric
from pipeline.pages.figures import Panel, draw_metrics
from pipeline.params import flatten, read_mapping
from pipeline.sweeps.measured import Measured
from pipeline.sweeps.page import side, sweep_page
from pipeline.sweeps.runs import Found
from pipeline.sweeps.settings import group
from pipeline.variant_params import written


def sweep(found: Found, params_file: Path, changes: Sequence[str], chosen: Sequence[str], reports: Path) -> None:
    """Writes sweep.md, sweep/metrics.png and sweep.csv into ``reports``.

    The baseline is the setting in ``params_file`` with ``changes`` such as ``graph.hops=2``. ``chosen`` are the metrics
    to show; without any, all that do not mislead. UserError if there is nothing to compare.
    """
    measured = Measured(group(found.runs, flatten(read_mapping(params_file)), changes), chosen)
    page, panels = (
        sweep_page(measured, found),
        [_panel(metric, metric in measured.compared) for metric in measured.shown],
    )
    # A user's matplotlibrc must not change the bytes.
    with replaced_folder(reports / "sweep") as pictures, rc_context(rcParamsDefault):
        draw_metrics(panels, pictures / "metrics.png")
    write_whole(reports / "sweep.csv", _table(measured).to_csv(index=False).encode())
    write_whole(reports / "sweep.md", f"{page}\n".encode())
    settings, left_out = measured.sweep.settings, [*found.left_out, *measured.sweep.left_out]
    announce(f"{len(measured.runs)} runs in {len(settings)} settings, {len(left_out)} left out: {reports / 'sweep.md'}")


def _table(measured: Measured) -> pd.DataFrame:
    """One row per run: name, seed, what differs between settings, and every metric."""
    sweep, metrics = measured.sweep, [metric.name for metric in measured.metrics]
    rows = [
        {"name": run.name, "seed": run.seed, **{key: written(value) for key, value in setting.values.items()}}
        | run.metrics
        for setting in sweep.settings
        for run in setting.runs
    ]
    return pd.DataFrame(rows, columns=["name", "seed", *sweep.varied, *metrics])


def _panel(metric: ComparedMetric, compared: bool) -> Panel:
    known = [estimate for estimate in metric.estimates.values() if estimate is not None]
    spread = any(estimate.deviation is not None for estimate in known)
    nothing = metric.row["untranslated"]
    return Panel(
        "\n".join([metric.name, side(metric), *([] if nothing is None else [f"untranslated {shown(nothing)}"])]),
        _note(spread) if compared else "no intervals: nothing is compared",
        {label: [] if estimate is None else estimate.by_seed for label, estimate in metric.estimates.items()},
        {label: _interval(estimate) if compared else None for label, estimate in metric.estimates.items()},
    )


def _note(spread: bool) -> str:
    return "bar: ± standard deviation over seeds" if spread else "one seed: no interval"


def _interval(estimate: Estimate | None) -> tuple[float, float] | None:
    if estimate is None or estimate.deviation is None:
        return None
    return estimate.mean - estimate.deviation, estimate.mean + estimate.deviation
