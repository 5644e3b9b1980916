"""The page of a sweep: a table of settings by metrics, with differences to the baseline, and what to beware of."""

from gcl.measures.evaluation_rows import SIDES
from gcl.measures.rounding import UNKNOWN, shown
from gcl.measures.statistics import Estimate
from pipeline.pages.comparison import ComparedMetric
from pipeline.pages.rendering import code, render
from pipeline.sweeps.differences import Difference
from pipeline.sweeps.measured import Measured
from pipeline.sweeps.runs import Found
from pipeline.sweeps.settings import Setting, Sweep, differing
from pipeline.variant_params import written


def sweep_page(measured: Measured, found: Found) -> str:
    """The page as Markdown; ``found`` is what was looked for, and what of it does not count."""
    sweep, table = measured.sweep, _table(measured)
    differences = [sweep.difference(setting, of.name) for setting in sweep.settings for of in measured.compared]
    known = [difference for difference in differences if difference is not None]
    return render(
        "sweep.md.j2",
        place=found.place,
        varied=sweep.varied,
        params=sweep.params,
        origins=sweep.origins,
        runs=len(measured.runs),
        settings=len(sweep.settings),
        one_seed=all(len(setting.runs) == 1 for setting in sweep.settings),
        code=differing([run.code for run in measured.runs]),
        baselines=sweep.baselines,
        header=list(table),
        rows=list(zip(*table.values(), strict=True)),
        metrics=[metric.row for metric in measured.shown],
        compared=measured.compared,
        hopeless=[metric.name for metric in measured.shown if metric.hopeless],
        with_interval=any(difference.interval is not None for difference in known),
        of_one_pair=any(difference.interval is None for difference in known),
        hidden=[metric.row for metric in measured.left_out],
        left_out=[*found.left_out, *sweep.left_out],
    )


def side(metric: ComparedMetric) -> str:
    """Which side is better, in words."""
    return SIDES.get(metric.row["better"], "better side unknown")


def _table(measured: Measured) -> dict[str, list[str]]:
    """The columns by their heads; each has one cell per setting and, if it is known, one of doing nothing."""
    sweep = measured.sweep
    columns = {f"`{key}`": [_value(setting, key) for setting in sweep.settings] for key in sweep.varied}
    columns["seeds"] = [_seeds(setting, setting in sweep.baselines) for setting in sweep.settings]
    for metric in measured.shown:
        cells = [_cell(sweep, setting, metric, metric in measured.compared) for setting in sweep.settings]
        columns[f"`{metric.name}`<br>{side(metric)}"] = cells
    of_nothing = [metric.row["untranslated"] for metric in measured.shown]
    if any(value is not None for value in of_nothing):
        last = [*("" for _ in sweep.varied), "*untranslated A*", *map(shown, of_nothing)]
        for cells, cell in zip(columns.values(), last, strict=True):
            cells.append(cell)
    return columns


def _value(setting: Setting, key: str) -> str:
    return code(written(setting.values[key])) if key in setting.values else UNKNOWN


def _seeds(setting: Setting, is_baseline: bool) -> str:
    return ", ".join(str(run.seed) for run in setting.runs) + (" (baseline)" if is_baseline else "")


def _cell(sweep: Sweep, setting: Setting, metric: ComparedMetric, compared: bool) -> str:
    """Mean and spread over the seeds and, on a second line, the difference to the baseline."""
    estimate = metric.estimates[setting.label]
    if estimate is None:
        return UNKNOWN
    difference = sweep.difference(setting, metric.name) if compared else None
    return _spread(estimate) if difference is None else f"{_spread(estimate)}<br>{_told(difference, setting)}"


def _told(difference: Difference, setting: Setting) -> str:
    """The difference with its interval, and the number of pairs if not every seed of the setting is in one."""
    if difference.interval is None:
        return f"{_signed(difference.mean)} (1 pair)"
    pairs = f" ({difference.pairs} pairs)" if difference.pairs < len(setting.runs) else ""
    return f"{_signed(difference.mean)} [{', '.join(map(_signed, difference.interval))}]{pairs}"


def _spread(estimate: Estimate) -> str:
    mean = shown(estimate.mean)
    return mean if estimate.deviation is None else f"{mean} ± {estimate.deviation:.3g}"


def _signed(value: float) -> str:
    return f"{value:+.3g}" if value else "0"
