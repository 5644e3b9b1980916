"""Whether a few numbers of an image tell its domain: a cross-validated linear probe, beside what chance may reach."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import binom
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from gcl.checks.groups import GROUPS, Number

FOLDS = 5

LEVEL = 0.001
"""The nominal probability of passing the bound by chance. Folds share training images, so the real one is near 0.01."""


@dataclass(frozen=True)
class Telling:
    """The number that differs most between the domains, and its mean in each."""

    number: Number
    mean_a: float
    mean_b: float


@dataclass(frozen=True)
class Probe:
    """How well one group of numbers tells A from B.

    Attributes:
        name: of the group, or "all".
        accuracy: balanced, averaged over the folds; 0.5 is guessing. None if there are too few images for any answer.
        spread: the standard deviation of the accuracy over the folds.
        bound: what guessing exceeds with probability ``LEVEL``; 1 or more if there are too few images for any answer.
        most: the number that tells most by itself.
    """

    name: str
    accuracy: float | None
    spread: float | None
    bound: float
    most: Telling | None

    @property
    def tells(self) -> bool:
        """Whether the group tells A from B better than chance."""
        return self.accuracy is not None and self.accuracy > self.bound


def probe_groups(of_a: Sequence[dict[str, float]], of_b: Sequence[dict[str, float]], seed: int = 0) -> list[Probe]:
    """One probe for each group, and one for all numbers together; ``of_a``, ``of_b`` have the numbers of each image."""
    every = [number for group in GROUPS for number in group.numbers]
    named = [(group.name, group.numbers) for group in GROUPS] + [("all", every)]
    return [_probe(name, numbers, of_a, of_b, seed) for name, numbers in named]


def chance_bound(a: int, b: int) -> float:
    """The balanced accuracy that guessing exceeds with probability ``LEVEL`` for ``a`` and ``b`` images.

    Its variance is (1/a + 1/b) / 16 at most, that of a fair coin's mean over n = 4ab / (a + b) throws; the bound is the
    binomial quantile over n.
    """
    throws = 4 * a * b // (a + b) if a and b else 0
    return float(binom.ppf(1 - LEVEL, throws, 0.5)) / throws if throws else 1.0


def _probe(name: str, numbers: Sequence[Number], of_a: Sequence, of_b: Sequence, seed: int) -> Probe:
    bound = chance_bound(len(of_a), len(of_b))
    if bound >= 1 or min(len(of_a), len(of_b)) < FOLDS:
        return Probe(name, None, None, 1.0, None)
    values = np.array([[image[number.name] for number in numbers] for image in (*of_a, *of_b)])
    is_b = np.arange(len(values)) >= len(of_a)
    model = make_pipeline(StandardScaler(), LogisticRegression(class_weight="balanced", max_iter=1000))
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=seed)
    scores = cross_val_score(model, values, is_b, cv=folds, scoring="balanced_accuracy")
    return Probe(name, float(scores.mean()), float(scores.std()), bound, _most(numbers, values, is_b))


def _most(numbers: Sequence[Number], values: np.ndarray, is_b: np.ndarray) -> Telling:
    """The column of ``values`` (N, numbers) by which a random A and a random B are most often in the same order."""
    apart = [abs(roc_auc_score(is_b, column) - 0.5) for column in values.T]
    column = int(np.argmax(np.round(apart, 6)))
    a, b = (float(values[is_b == domain, column].mean()) for domain in (False, True))
    return Telling(numbers[column], a, b)
