"""Spreads over seeds and bootstrap intervals over images, against closed forms and plain loops."""

import statistics

import numpy as np
import pytest

from gcl.measures.statistics import Estimate, bootstrap_interval, chance_apart


def test_the_bootstrap_is_that_of_a_loop():
    values = np.random.default_rng(3).gamma(2, size=60)
    random = np.random.default_rng(4)
    means = [random.choice(values, len(values)).mean() for _ in range(10000)]
    expected = np.quantile(means, [0.025, 0.975])
    width = expected[1] - expected[0]
    assert bootstrap_interval(values, seed=0) == pytest.approx(expected, abs=0.02 * width)
    assert bootstrap_interval(values, seed=0) == bootstrap_interval(values, seed=0) != bootstrap_interval(values, 1)


def test_the_bootstrap_of_a_constant_has_no_width():
    assert bootstrap_interval([0.25] * 7, seed=0) == (0.25, 0.25)


def test_the_spread_over_seeds_is_the_sample_standard_deviation():
    estimate = Estimate([1.0, 2.0, 6.0], None)
    assert estimate.mean == 3 and estimate.deviation == pytest.approx(7**0.5)
    assert Estimate([1.0], None).deviation is None


@pytest.mark.parametrize("seeds", [1, 2, 3])
def test_equal_settings_come_apart_as_often_as_told(seeds):
    draws = np.random.default_rng(5).random((2000, 2, seeds))
    apart = [Estimate(first, None).apart_from(Estimate(second, None)) for first, second in draws.tolist()]
    assert statistics.fmean(apart) == pytest.approx(chance_apart(seeds), abs=0.025)
