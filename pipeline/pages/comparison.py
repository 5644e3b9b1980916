"""The main setting beside its variants: every metric of theirs, the verdict on each, and what they are compared by."""

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
"""By variant, the main setting first: one run per seed."""


def find_runs(params: Params, main: RunFolder, ablations: Path) -> Runs:
    """``main`` and all runs in ``ablations``; UserError unless all were measured alike, on the same test images."""
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
    """One metric by variant.

    ``row`` is that of the first run that has it: all but its value holds for every run. ``estimates`` has None for a
    variant of which a run does not have it.
    """

    row: Row
    estimates: Mapping[str, Estimate | None]

    @property
    def name(self) -> str:
        """Its name on the features that it was measured on."""
        return self.row["name"]

    def rows(self) -> dict[str, Row]:
        """By variant what :mod:`gcl.measures.verdict` takes, with the mean over the seeds."""
        known = {variant: estimate for variant, estimate in self.estimates.items() if estimate is not None}
        return {variant: {**self.row, "value": estimate.mean} for variant, estimate in known.items()}

    @property
    def judged(self) -> bool:
        """Whether any run can be better or worse by it than doing nothing."""
        return any(is_judged(row) for row in self.rows().values())

    @property
    def hopeless(self) -> bool:
        """Whether by this metric every variant is worse than doing nothing."""
        return self.judged and all(gain(row) < 0 for row in self.rows().values())


@dataclass(frozen=True)
class Comparison:
    """All that the runs of main and its variants measured."""

    runs: Runs

    @cached_property
    def metrics(self) -> list[ComparedMetric]:
        """Every metric that any run has, in the order of the rows."""
        rows = {}
        for run in chain(*self.runs.values()):
            rows |= {name: row for name, row in run.metrics.items() if name not in rows}
        estimates = {name: {variant: _estimate(of, name) for variant, of in self.runs.items()} for name in rows}
        return [ComparedMetric(row, estimates[name]) for name, row in rows.items()]

    @property
    def shown(self) -> list[ComparedMetric]:
        """Those that do not mislead."""
        return [metric for metric in self.metrics if metric.row["misleads"] is None]

    @property
    def left_out(self) -> list[ComparedMetric]:
        """Those that mislead."""
        return [metric for metric in self.metrics if metric.row["misleads"] is not None]

    @cached_property
    def verdicts(self) -> dict[str, Verdict]:
        """On every variant, by its means over the seeds."""
        rows = [metric.rows() for metric in self.metrics]
        return {variant: verdict_on([of[variant] for of in rows if variant in of]) for variant in self.runs}

    @cached_property
    def compared(self) -> list[ComparedMetric]:
        """Those that variants are compared by: among failures, a smaller one says nothing about the settings."""
        if all(verdict.word == WORSE for verdict in self.verdicts.values()):
            return []
        return [metric for metric in self.shown if not metric.hopeless]


def _estimate(runs: Sequence[RunFolder], metric: str) -> Estimate | None:
    if not all(metric in run.metrics for run in runs):
        return None
    seeds = [run.metrics[metric]["value"] for run in runs]
    if not all(metric in run.per_image for run in runs):
        return Estimate(seeds, None)
    return Estimate(seeds, pd.concat([run.per_image[metric] for run in runs], axis=1).mean(axis=1))
