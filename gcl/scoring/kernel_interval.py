"""The interval of KID over the choice of images: a bootstrap in which no image is ever compared with itself."""

import numpy as np
from sklearn.metrics.pairwise import polynomial_kernel

RESAMPLES = 999
"""The number of resamples of both sets; each costs as much as the square of the number of images."""

ROWS = 1000
"""The rows of a kernel matrix that are held in memory at once."""


def kernel_interval(value: float, ours: np.ndarray, theirs: np.ndarray, seed: int) -> tuple[float, float]:
    """The 95 % percentile bootstrap interval of KID, between two sets of vectors (N, D) and (M, D); ``seed`` draws.

    The images of both sets are drawn anew. ``value`` is KID as reported, a mean over subsets that may differ a little
    from the distance of the whole sets; the interval is moved by this difference.
    """
    random = np.random.default_rng(seed)
    drawn = [random.multinomial(len(x), np.full(len(x), 1 / len(x)), RESAMPLES) for x in (ours, theirs)]
    # The first row draws every image once: the sets as they are.
    whole, *resampled = kernel_distances(ours, theirs, *(np.vstack([np.ones_like(times[0]), times]) for times in drawn))
    low, high = np.nanquantile(resampled, (0.025, 0.975)) - whole
    return float(value + low), float(value + high)


def kernel_distances(ours: np.ndarray, theirs: np.ndarray, drawn: np.ndarray, others: np.ndarray) -> np.ndarray:
    """The squared maximum mean discrepancy, with the kernel k of KID, of each resample of two sets: (R,).

    ``ours`` (N, D) and ``theirs`` (M, D) are vectors; ``drawn`` (R, N) and ``others`` (R, M) say how many times w_i
    each resample holds each of them. Within a set the mean is taken over pairs of different images,
    sum_{i != j} w_i w_j k(x_i, x_j) / sum_{i != j} w_i w_j, because an image drawn twice would otherwise make the set
    look closer to itself than it is. A resample that holds one image only has no such pair, and its distance is NaN.
    """
    first, second = drawn.astype(float), others.astype(float)
    between = _sums(ours, first, theirs, second) / (first.sum(axis=1) * second.sum(axis=1))
    return _within(ours, first) + _within(theirs, second) - 2 * between


def _within(vectors: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The mean of the kernel over pairs of different images, for each row of ``weights`` (R, N): (R,)."""
    with_themselves = ((vectors**2).mean(axis=1) + 1) ** 3
    pairs = weights.sum(axis=1) ** 2 - (weights**2).sum(axis=1)
    sums = _sums(vectors, weights, vectors, weights) - weights**2 @ with_themselves
    return np.divide(sums, pairs, out=np.full(len(pairs), np.nan), where=pairs > 0)


def _sums(ours: np.ndarray, first: np.ndarray, theirs: np.ndarray, second: np.ndarray) -> np.ndarray:
    """sum_ij w_i v_j k(x_i, y_j) for each row w of ``first`` (R, N) and v of ``second`` (R, M): (R,)."""
    sums = np.zeros(len(first))
    for start in range(0, len(ours), ROWS):
        rows = slice(start, start + ROWS)
        sums += ((first[:, rows] @ polynomial_kernel(ours[rows], theirs, degree=3)) * second).sum(axis=1)
    return sums
