"""Intersection over union of class ids, as Cityscapes counts it: over the whole set."""

from collections.abc import Iterable, Sequence

import numpy as np


def overlap(predicted: np.ndarray, truth: np.ndarray, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Counts the pixels in each class's intersection and in its union, (classes,) each, from ids 0 ... classes - 1.

    ValueError if the arrays differ in shape or hold ids outside the classes.
    """
    if predicted.shape != truth.shape:
        raise ValueError(f"predicted classes have shape {predicted.shape}, true ones {truth.shape}")
    for name, ids in (("predicted", predicted), ("true", truth)):
        if ids.min() < 0 or ids.max() >= classes:
            raise ValueError(f"{name} classes are {ids.min()} ... {ids.max()}, not within 0 ... {classes - 1}")
    cells = truth.astype(np.int64) * classes + predicted
    confusion = np.bincount(cells.ravel(), minlength=classes**2).reshape(classes, classes)
    intersections = confusion.diagonal()
    return intersections, confusion.sum(axis=0) + confusion.sum(axis=1) - intersections


def intersection_over_union(
    predicted: Iterable[np.ndarray], truth: Iterable[np.ndarray], classes: int
) -> list[float | None]:
    """The IoU of each class from arrays of class ids; None for a class that is neither predicted nor true anywhere.

    As in Cityscapes, intersections and unions are summed over the whole set before they are divided. ValueError if the
    sets differ in length or are empty, and as for :func:`overlap`.
    """
    overlaps = [overlap(*pair, classes) for pair in zip(predicted, truth, strict=True)]
    if not overlaps:
        raise ValueError("no classes to compare: the set is empty")
    intersections, unions = np.sum(overlaps, axis=0)
    return [float(i / u) if u else None for i, u in zip(intersections, unions, strict=True)]


def mean_over_present(values: Sequence[float | None]) -> float:
    """The mean of the values that are not None."""
    return float(np.mean([value for value in values if value is not None]))
