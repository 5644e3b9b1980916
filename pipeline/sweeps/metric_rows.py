"""What is known of a metric by its name alone, for runs of which only the values are at hand."""

from collections.abc import Sequence
from math import isclose

from gcl.measures.evaluation_rows import Row
from gcl.measures.features.feature_sets import FEATURE_SETS
from gcl.measures.metrics import METRICS
from pipeline.sweeps.runs import Run

_KNOWN = {
    metric.name_on(features): (metric, metric.scope_on(features))
    for features in FEATURE_SETS.values()
    for metric in METRICS
}

NAMES = tuple(_KNOWN)
"""The names of all metrics on all features."""


def metric_row(name: str, runs: Sequence[Run]) -> Row:
    """What :class:`pipeline.pages.comparison.ComparedMetric` needs of a metric of these ``runs``.

    It misleads if it does so for all of them. ``untranslated`` is its value for doing nothing, if that is the same for
    all runs but for rounding. A metric that this version does not know is never judged.
    """
    if name not in _KNOWN:
        return {"name": name, "better": None, "misleads": None, "scope": None, "untranslated": None}
    metric, scope = _KNOWN[name]
    # Earlier versions did not have a direction.
    reasons = {metric.misleads(run.params.get("data.source"), run.params.get("data.direction", "AtoB")) for run in runs}
    of_nothing = [run.untranslated.get(name) for run in runs if name in run.metrics]
    return {
        "name": name,
        "better": metric.better,
        "misleads": None if None in reasons else reasons.pop(),
        "scope": scope,
        "untranslated": of_nothing[0] if _about_the_same(of_nothing) else None,
    }


def _about_the_same(values: Sequence[float | None]) -> bool:
    return None not in values and all(isclose(value, values[0], rel_tol=0.001) for value in values)
