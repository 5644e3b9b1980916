"""What the symptoms of translations are held against: how much images differ, and what other images show as well."""

from collections.abc import Sequence

import numpy as np

from gcl.diagnosis.evidence import Picture


def variances(pictures: Sequence[Picture]) -> np.ndarray:
    """How much each place of the thumbnails varies from picture to picture, averaged over the colours: (side, side).

    0 everywhere for a single picture.
    """
    thumbnails = np.stack([picture.thumbnail for picture in pictures])  # (pictures, side, side, 3)
    return thumbnails.var(axis=0, ddof=min(1, len(pictures) - 1)).mean(axis=-1)


def difference(pictures: Sequence[Picture]) -> float:
    """The root mean square difference between the thumbnails of two different pictures, in [0, 1]: for a mean over all
    pairs, this is ``sqrt(2 * variance)``."""
    return float(np.sqrt(2 * variances(pictures).mean()))


def excess(values: np.ndarray, *yardsticks: np.ndarray) -> float:
    """By how much the mean of ``values`` (n,) exceeds the highest mean of the ``yardsticks`` (m,), two standard errors
    of this difference deducted, since few values exceed it by chance; 0 if it does not exceed it by as much."""
    highest = max(yardsticks, key=np.mean)
    errors = [of.var(ddof=min(1, len(of) - 1)) / len(of) for of in (values, highest)]
    return max(0.0, float(values.mean() - highest.mean() - 2 * np.sqrt(sum(errors))))
