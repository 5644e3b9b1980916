"""The metrics of a sweep by setting: which ones are shown, and by which ones settings are compared."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain

from gcl.errors import UserError
from pipeline.pages.comparison import ComparedMetric
from pipeline.sweeps.metric_rows import NAMES, metric_row
from pipeline.sweeps.runs import Run
from pipeline.sweeps.settings import Sweep


@dataclass(frozen=True)
class Measured:
    """All metrics of the runs of a ``sweep``. Those that are ``chosen`` are shown; without any, all that do not
    mislead."""

    sweep: Sweep
    chosen: Sequence[str]

    @property
    def runs(self) -> list[Run]:
        """The runs of all settings, in the order of settings and seeds."""
        return list(chain.from_iterable(setting.runs for setting in self.sweep.settings))

    @cached_property
    def metrics(self) -> list[ComparedMetric]:
        """All metrics that any run has, in the order of evaluation, with their estimates by the labels of settings."""
        names = {name for run in self.runs for name in run.metrics}
        ordered = sorted(names, key=lambda name: (NAMES.index(name) if name in NAMES else len(NAMES), name))
        settings = self.sweep.settings
        return [
            ComparedMetric(metric_row(name, self.runs), {setting.label: setting.estimate(name) for setting in settings})
            for name in ordered
        ]

    @cached_property
    def shown(self) -> list[ComparedMetric]:
        """The metrics to show; UserError if no run has one that is chosen."""
        known = {metric.name: metric for metric in self.metrics}
        if unknown := [name for name in self.chosen if name not in known]:
            raise UserError(f"--metric {unknown[0]}: no run has it; there are: {', '.join(known)}")
        if self.chosen:
            return [known[name] for name in dict.fromkeys(self.chosen)]
        return [metric for metric in self.metrics if metric.row["misleads"] is None]

    @property
    def left_out(self) -> list[ComparedMetric]:
        """The metrics that are not shown because they mislead."""
        return [] if self.chosen else [metric for metric in self.metrics if metric.row["misleads"] is not None]

    @cached_property
    def compared(self) -> list[ComparedMetric]:
        """The metrics by which settings are compared: a smaller failure among failures says nothing about settings."""
        judged = [metric for metric in self.metrics if metric.judged]
        if judged and all(metric.hopeless for metric in judged):
            return []
        return [metric for metric in self.shown if not metric.hopeless]
