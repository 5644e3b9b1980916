"""Stage: results of the main run and its variants -> reports/ablation.md and its pictures. Same inputs, same bytes."""

from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from matplotlib import rc_context, rcParamsDefault

from gcl.config import MAIN, Params
from gcl.files import replaced_folder, write_json, write_whole
from gcl.images.manifest import Manifest
from gcl.images.prepared import Prepared
from gcl.images.spreading import spread_out
from gcl.measures.evaluation_rows import SIDES, YARDSTICKS
from gcl.measures.rounding import UNKNOWN, rounded, shown
from gcl.measures.statistics import RESAMPLES, Estimate, bootstrap_interval, chance_apart
from gcl.measures.verdict import MIXED, WORSE, Verdict
from gcl.training.gan_losses import loss_of
from pipeline.console import announce
from pipeline.pages.comparison import ComparedMetric, Comparison, Runs, find_runs
from pipeline.pages.figures import Panel, draw_metrics, draw_pictures, draw_samples
from pipeline.pages.rendering import code, render, text
from pipeline.running.run_folder import RunFolder
from pipeline.variant_params import seeds, written

IMAGES = 6
"""The number of test images whose translations by all variants are shown."""

COLUMNS = 3
"""The number of pictures side by side, where there is a single test image."""


def compare(params: Params, prepared: Prepared, main: RunFolder, ablations: Path) -> None:
    """Writes ablation.md, its pictures in ablation/, and the means in ablation.json, into the reports of ``main``.

    ``main`` is the main setting's first run; all other runs are in ``ablations``.
    """
    comparison, reports = Comparison(find_runs(params, main, ablations)), main.reports
    page = _page(params, prepared.manifest, comparison)
    panels = [_panel(metric, params.evaluate.seed, metric in comparison.compared) for metric in comparison.shown]
    # A user's matplotlibrc must not change the bytes.
    with replaced_folder(reports / "ablation") as pictures, rc_context(rcParamsDefault):
        draw_metrics(panels, pictures / "metrics.png")
        strip = _strip(comparison.runs, prepared)
        if prepared.manifest.single_image:
            draw_pictures({label: only for label, (only,) in strip.items()}, COLUMNS, pictures / "translations.png")
        else:
            draw_samples(strip, pictures / "translations.png")
    write_whole(reports / "ablation.md", f"{page}\n".encode())
    write_json(reports / "ablation.json", _means(comparison))
    announce(f"ablation: {reports / 'ablation.md'}")


def _page(params: Params, manifest: Manifest, comparison: Comparison) -> str:
    main, table = comparison.runs[MAIN][0], _table(params, comparison)
    by_image = [metric for metric in comparison.compared if metric.has_images]
    return render(
        "ablation.md.j2",
        params=params,
        main=MAIN,
        manifest=manifest,
        images=manifest.counts()["testA"],
        seeds=seeds(params),
        header=list(table),
        rows=list(zip(*table.values(), strict=True)),
        compared=comparison.compared,
        hopeless=[metric.name for metric in comparison.shown if metric.hopeless],
        metrics=[metric.row for metric in comparison.shown],
        left_out=[metric.row for metric in comparison.left_out],
        chance=shown(100 * chance_apart(len(seeds(params)))),
        by_image=[metric.name for metric in by_image],
        judged_by_image=any(metric.judged for metric in by_image),
        resamples=RESAMPLES,
        saturated=_saturated_below(params),
        density=shown(main.curves["graph_density"].iloc[-1]) if "graph_density" in main.curves else None,
    )


def _table(params: Params, comparison: Comparison) -> dict[str, list[str]]:
    """The columns by their heads; each has one cell per variant, then the three yardsticks."""
    runs, verdicts, changes = comparison.runs, comparison.verdicts, params.ablate.variants
    labels = [_label(variant, changes.get(variant, {})) for variant in runs]
    unknown = [UNKNOWN] * len(YARDSTICKS)
    columns = {
        "variant": [*labels, "untranslated A", "another A", "real B"],
        "beside doing nothing": [*(_beside_nothing(verdicts[variant]) for variant in runs), *unknown],
    }
    for metric in comparison.shown:
        cells = [_cell(metric, variant, params.evaluate.seed, metric in comparison.compared) for variant in runs]
        head = f"`{metric.name}`<br>{SIDES[metric.row['better']]}"
        columns[head] = [*cells, *(shown(metric.row[yardstick]) for yardstick in YARDSTICKS)]
    columns["training time"] = [*_times(runs), *unknown]
    limit = _saturated_below(params)
    columns["saturated"] = [*(_saturated(of, seeds(params), limit) for of in runs.values()), *unknown]
    return columns


def _saturated_below(params: Params) -> float:
    return loss_of(params.discriminator.name, params.discriminator.loss).saturated


def _means(comparison: Comparison) -> dict[str, dict[str, float]]:
    """The means of every variant's metrics, rounded to six digits, for `dvc metrics diff`."""
    return {
        variant: {
            metric.name: rounded(estimate.mean)
            for metric in comparison.shown
            if (estimate := metric.estimates[variant]) is not None
        }
        for variant in comparison.runs
    }


def _label(variant: str, changes: Mapping[str, Any]) -> str:
    """The variant's name and its changes, written as in params.yaml."""
    settings = [f"{key}: {written(value)}" for key, value in changes.items()]
    return f"{code(variant)}<br>{text(', '.join(settings)) or 'params.yaml as it is'}"


def _beside_nothing(verdict: Verdict) -> str:
    if verdict.word == MIXED:
        return f"mixed: worse by {', '.join(f'`{name}`' for name in verdict.worse)}"
    return f"**{verdict.word}**" if verdict.word == WORSE else verdict.word


def _cell(metric: ComparedMetric, variant: str, seed: int, compared: bool) -> str:
    """Mean and spread over the seeds and, on a second line if it is meaningful, the difference to the main setting."""
    estimate, main = metric.estimates[variant], metric.estimates[MAIN]
    if estimate is None:
        return UNKNOWN
    value = _spread(estimate)
    if variant == MAIN or main is None or not compared:
        return value
    mark = " †" if len(estimate.by_seed) > 1 and estimate.apart_from(main) else ""
    if estimate.by_image is not None and main.by_image is not None:
        difference = estimate.by_image - main.by_image
        low, high = bootstrap_interval(difference, seed)
        return f"{value}<br>{_signed(difference.mean())} [{_signed(low)}, {_signed(high)}]{mark}"
    return f"{value}<br>{_signed(estimate.mean - main.mean)}{mark}" if len(estimate.by_seed) > 1 else value


def _times(runs: Runs) -> list[str]:
    times = [[run.training_seconds for run in of] for of in runs.values()]
    unit, seconds = ("min", 60) if max(chain(*times)) >= 1000 else ("s", 1)
    return [f"{_spread(Estimate([time / seconds for time in of], None))} {unit}" for of in times]


def _saturated(runs: Sequence[RunFolder], seeds: Sequence[int], limit: float) -> str:
    """The seeds whose discriminator became saturated: its loss fell below ``limit``."""
    found = [str(seed) for run, seed in zip(runs, seeds, strict=True) if run.curves["discriminator"].min() < limit]
    return f"**seed {', '.join(found)}**" if found else "no"


def _panel(metric: ComparedMetric, seed: int, compared: bool) -> Panel:
    known = [f"{name} {shown(metric.row[name])}" for name in YARDSTICKS if metric.row[name] is not None]
    return Panel(
        f"{metric.name}\n{SIDES[metric.row['better']]}\n{', '.join(known)}",
        _note(metric) if compared else "no intervals: nothing is compared",
        {variant: [] if estimate is None else estimate.by_seed for variant, estimate in metric.estimates.items()},
        {variant: _interval(estimate, seed) if compared else None for variant, estimate in metric.estimates.items()},
    )


def _note(metric: ComparedMetric) -> str:
    """Describes what :func:`_interval` shows."""
    known = [estimate for estimate in metric.estimates.values() if estimate is not None]
    if any(estimate.by_image is not None for estimate in known):
        return "bar: 95 % over test images"
    if any(estimate.deviation is not None for estimate in known):
        return "bar: ± standard deviation over seeds"
    return "one seed: no interval"


def _interval(estimate: Estimate | None, seed: int) -> tuple[float, float] | None:
    if estimate is None:
        return None
    if estimate.by_image is not None:
        return bootstrap_interval(estimate.by_image, seed)
    if estimate.deviation is not None:
        return estimate.mean - estimate.deviation, estimate.mean + estimate.deviation
    return None


def _strip(runs: Runs, prepared: Prepared) -> dict[str, list[Path]]:
    """Test images, spread evenly over the test set, and their translations by the first run of every variant."""
    inputs = spread_out(prepared.images("testA"), IMAGES)
    rows = {"input (A)": inputs}
    rows |= {variant: [of[0].translation(path.stem) for path in inputs] for variant, of in runs.items()}
    return rows | ({"truth (B)": [prepared.truth(path) for path in inputs]} if prepared.manifest.paired else {})


def _spread(estimate: Estimate) -> str:
    mean = shown(estimate.mean)
    return mean if estimate.deviation is None else f"{mean} ± {estimate.deviation:.3g}"


def _signed(value: float) -> str:
    return f"{value:+.3g}" if value else "0"
