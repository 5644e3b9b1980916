"""A metric over several runs: its spread over the seeds, and its uncertainty due to the choice of test images."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

import numpy as np
import pandas as pd
from scipy.stats import bootstrap

RESAMPLES = 9999
"""The number of resamples of the test images that the bootstrap draws."""


@dataclass(frozen=True)
class Estimate:
    """A metric of one setting.

    ``by_seed`` holds one value per seed. ``by_image`` holds one value per test image, averaged over the seeds; None for
    a metric of the whole set.
    """

    by_seed: Sequence[float]
    by_image: pd.Series | None

    @property
    def mean(self) -> float:
        """The mean over the seeds."""
        return fmean(self.by_seed)

    @property
    def deviation(self) -> float | None:
        """The sample standard deviation over the seeds; None for a single seed, which has none."""
        return stdev(self.by_seed) if len(self.by_seed) > 1 else None

    def apart_from(self, other: "Estimate") -> bool:
        """Whether all seeds of one lie on the same side of all seeds of the other."""
        return min(self.by_seed) > max(other.by_seed) or max(self.by_seed) < min(other.by_seed)


def chance_apart(seeds: int) -> float:
    """The probability that two equal settings with ``seeds`` seeds each are :meth:`Estimate.apart_from` by chance."""
    return 2 / math.comb(2 * seeds, seeds)


def bootstrap_interval(values: Sequence[float], seed: int) -> tuple[float, float]:
    """The 95 % percentile bootstrap interval of the mean of ``values`` (N,); ``seed`` draws the resamples."""
    result = bootstrap(
        (np.asarray(values),),
        np.mean,
        n_resamples=RESAMPLES,
        vectorized=True,
        method="percentile",
        rng=np.random.default_rng(seed),
    )
    return float(result.confidence_interval.low), float(result.confidence_interval.high)
