"""How much the translations differ from their inputs, and whether only their colours do."""

import numpy as np
from sklearn.preprocessing import PolynomialFeatures

from gcl.diagnosis.evidence import Evidence
from gcl.diagnosis.yardsticks import difference

COPIED = 0.15
"""Translations that changed less than this, relative to the difference between inputs, are copies."""


def change(evidence: Evidence) -> float | None:
    """The root mean square change from input to translation, at half the size, divided by that between two inputs; None
    if the inputs do not differ, for instance because there is only one."""
    between = difference(evidence.inputs)
    squares = [
        np.square(after.halved - before.halved).mean()
        for before, after in zip(evidence.inputs, evidence.translations, strict=True)
    ]
    return float(np.sqrt(np.mean(squares)) / between) if between else None


def beyond_colours(evidence: Evidence) -> float | None:
    """What no map of colours explains in the translations: its root mean square, divided by the translations' contrast.

    The map of each image is the best quadratic one from the input's RGB to the translation's, which contains all affine
    ones, and nearly all curves of brightness. None for copies, in which nothing changed, for blank translations, and
    where :func:`change` is None.
    """
    changed = change(evidence)
    if changed is None or changed < COPIED:
        return None
    left, contrast = 0.0, 0.0
    for before, after in zip(evidence.inputs, evidence.translations, strict=True):
        # Every fourth pixel is enough to fit 30 numbers.
        colours, target = (image.whole[::2, ::2].reshape(-1, 3) / 255 for image in (before, after))  # (pixels, 3)
        terms = PolynomialFeatures(2).fit_transform(colours)  # (pixels, 10)
        weights = np.linalg.lstsq(terms.T @ terms, terms.T @ target, rcond=None)[0]
        left += np.square(target - terms @ weights).mean()
        contrast += target.var(axis=0).mean()
    return float(np.sqrt(left / contrast)) if contrast else None
