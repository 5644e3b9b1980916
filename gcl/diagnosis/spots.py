"""Spots that do not belong to the input: the same one at the same place everywhere, and burnt-out patches."""

from collections.abc import Sequence

import numpy as np
from scipy.ndimage import binary_opening, label

from gcl.diagnosis.evidence import Evidence, Picture
from gcl.diagnosis.yardsticks import excess, variances

FROZEN = 0.1
"""A place whose variance is below this share of its yardstick's is the same in all translations."""

FEWEST = 12
"""Among fewer translations, a place looks frozen or burnt-out by chance."""

EXTREMES = (2, 253)
"""A colour channel at or beyond these of 0 ... 255 is saturated."""


def same_spot(evidence: Evidence) -> float | None:
    """The share of the picture that the largest connected spot takes that looks the same in every translation, although
    inputs and real B vary there.

    In such a spot the translations vary ten times less than inputs and real B at that place, and than translations
    usually do relative to them. None for fewer than FEWEST translations, if the inputs do not vary, or if half of the
    picture is the same in every translation.
    """
    yardstick = variances(evidence.inputs)
    if len(evidence.real) > 1:
        yardstick = np.minimum(yardstick, variances(evidence.real))
    varied = yardstick > FROZEN * yardstick.mean()
    if len(evidence.translations) < FEWEST or not varied.any():
        return None
    ratio = np.where(varied, variances(evidence.translations), np.inf) / np.where(varied, yardstick, 1)
    usual = np.median(ratio[varied])
    if usual < FROZEN:
        return None
    spots, _ = label(ratio < FROZEN * min(1, usual))
    return float(np.bincount(spots.ravel())[1:].max(initial=0) / spots.size)


def burnt_out(evidence: Evidence) -> float | None:
    """The share of the picture that is saturated, in patches of 3x3 pixels or more, beyond that of the inputs and of
    real B, two standard errors deducted. None for fewer than FEWEST translations."""
    if len(evidence.translations) < FEWEST:
        return None
    return excess(*(_saturated(of) for of in (evidence.translations, evidence.inputs, evidence.real)))


def _saturated(pictures: Sequence[Picture]) -> np.ndarray:
    """The saturated share of each picture, (pictures,)."""
    low, high = EXTREMES
    masks = (((picture.middle <= low) | (picture.middle >= high)).any(axis=-1) for picture in pictures)
    return np.array([binary_opening(mask, np.ones((3, 3))).mean() for mask in masks])
