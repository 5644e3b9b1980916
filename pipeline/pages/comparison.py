"""The main setting beside its variants: all metrics, the verdict on each variant, and the metrics that compare them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from pathlib import Path

import pandas as pd

from gcl.config import MAIN, Params
from gcl.errors import UserError
from gcl.measures.evaluation_rows import Row, check_rows
from gcl.measures.statistics import Estimate
from gcl.measures.verdict import WORSE, Verdict, gain, is_judged, verdict_on
from pipeline.running.run_folder import RunFolder, seed_folder
from pipeline.variant_params import seeds_of

Runs = Mapping[str, Sequence[RunFolder]]
"""One run per seed for every variant, the main setting first."""


def find_runs(params: Params, main: RunFolder, ablations: Path) -> Runs:
    """Finds ``main`` and all runs in ``ablations``.

    UserError if no variant runs the main setting's other seeds, or if runs were measured on different test images or by
    an earlier version.
    """
    if seeds_of(params, MAIN) and MAIN not in params.ablate.variants:
        raise UserError(
            f"ablate.seeds is {params.ablate.seeds}, but no variant runs the main setting with the seeds after the "
            f"first; add this line to ablate.variants in params.yaml: {MAIN}: {{}}"
        )

    def run(variant: str, seed: int) -> RunFolder:
        return RunFolder.inside(seed_folder(ablations / variant, seed), variant)

    runs = {MAIN: []} | {name: [run(name, seed) for seed in seeds_of(params, name)] for name in params.ablate.variants}
    runs[MAIN].insert(0, main)
    for other in chain(*runs.values()):
        check_rows(other.metrics.values(), other.reports)
        if not other.per_image.index.equals(main.per_image.index):
            raise UserError(
                f"{other.reports}: measured on other test images than {main.reports}; "
                f"run: {other.command('gcl evaluate')}"
            )
    return runs


@dataclass(frozen=True)
class ComparedMetric:
    """One metric, by variant.

    ``row`` comes from the first run that has the metric; all of it but the values holds for every run. ``estimates``
    has None for a variant if one of its runs does not have the metric.
    """

    row: Row
    estimates: Mapping[str, Estimate | None]

    @property
    def name(self) -> str:
        """The metric's name, which depends on the features that it was measured on."""
        return self.row["name"]

    def rows(self) -> dict[str, Row]:
        """One row per variant, as :mod:`gcl.measures.verdict` takes it, with the mean over the seeds as its value."""
        known = {variant: estimate for variant, estimate in self.estimates.items() if estimate is not None}
        return {variant: {**self.row, "value": estimate.mean} for variant, estimate in known.items()}

    @property
    def has_images(self) -> bool:
        """Whether its values are known by test image, for the main setting at least."""
        main = self.estimates[MAIN]
        return main is not None and main.by_image is not None

    @property
    def judged(self) -> bool:
        """Whether any variant can be better or worse than doing nothing by this metric."""
        return any(is_judged(row) for row in self.rows().values())

    @property
    def hopeless(self) -> bool:
        """Whether every variant is worse than doing nothing by this metric."""
        return self.judged and all(gain(row) < 0 for row in self.rows().values())


@dataclass(frozen=True)
class Comparison:
    """All metrics of the runs of the main setting and its variants."""

    runs: Runs

    @cached_property
    def metrics(self) -> list[ComparedMetric]:
        """All metrics that any run has, in the order of its rows."""
        rows = {}
        for run in chain(*self.runs.values()):
            rows |= {name: row for name, row in run.metrics.items() if name not in rows}
        estimates = {name: {variant: _estimate(of, name) for variant, of in self.runs.items()} for name in rows}
        return [ComparedMetric(row, estimates[name]) for name, row in rows.items()]

    @property
    def shown(self) -> list[ComparedMetric]:
        """The metrics that do not mislead."""
        return [metric for metric in self.metrics if metric.row["misleads"] is None]

    @property
    def left_out(self) -> list[ComparedMetric]:
        """The metrics that mislead."""
        return [metric for metric in self.metrics if metric.row["misleads"] is not None]

    @cached_property
    def verdicts(self) -> dict[str, Verdict]:
        """The verdict on every variant, based on its means over the seeds."""
        rows = [metric.rows() for metric in self.metrics]
        return {variant: verdict_on([of[variant] for of in rows if variant in of]) for variant in self.runs}

    @cached_property
    def compared(self) -> list[ComparedMetric]:
        """The metrics by which variants are compared: a smaller failure among failures says nothing about settings."""
        if all(verdict.word == WORSE for verdict in self.verdicts.values()):
            return []
        return [metric for metric in self.shown if not metric.hopeless]


def _estimate(runs: Sequence[RunFolder], metric: str) -> Estimate | None:
    if not all(metric in run.metrics for run in runs):
        return None
    seeds = [run.metrics[metric]["value"] for run in runs]
    # A single image says nothing about others.
    if not all(metric in run.per_image and len(run.per_image) > 1 for run in runs):
        return Estimate(seeds, None)
    return Estimate(seeds, pd.concat([run.per_image[metric] for run in runs], axis=1).mean(axis=1))
