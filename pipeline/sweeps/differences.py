"""The difference between two settings that ran with the same seeds."""

from collections.abc import Mapping
from statistics import fmean, stdev
from typing import NamedTuple

from scipy.stats import t

CONFIDENCE = 0.95


class Difference(NamedTuple):
    """The ``mean`` of the differences between ``pairs`` pairs of runs, and its ``interval``; None for one pair."""

    pairs: int
    mean: float
    interval: tuple[float, float] | None


def paired_difference(values: Mapping[int, float], baseline: Mapping[int, float]) -> Difference | None:
    """By how much ``values`` exceed ``baseline``, both by seed; None if they have no seed in common.

    The interval of the mean d of n differences is Student's, as in the paired t test: d ± t(0.975; n - 1) s / sqrt(n),
    where s is their sample standard deviation. It takes the differences as normally distributed.
    """
    differences = [value - baseline[seed] for seed, value in values.items() if seed in baseline]
    if not differences:
        return None
    mean, count = fmean(differences), len(differences)
    if count == 1:
        return Difference(count, mean, None)
    half = t.ppf((1 + CONFIDENCE) / 2, count - 1) * stdev(differences) / count**0.5
    return Difference(count, mean, (mean - half, mean + half))
