"""The rows of evaluation.json: one per metric, with its value and everything that people and pages need beside it."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from gcl.errors import UserError

Row = Mapping[str, Any]
"""One row: the metric's name; its :class:`gcl.measures.measurement.Measurement` without the values per image; its
yardsticks untranslated, another and real; other_checkpoint, the value of the training's other checkpoint; what pages
and the verdict need to know about its :class:`gcl.measures.metrics.Metric`: better, compares, meaning, misleads and
real_images (the split that real is measured on); and the scope of its features."""

SIDES = {"lower": "lower is better", "higher": "higher is better", "neither": "neither side is better"}
"""The values of ``better``, in words."""

YARDSTICKS = ("untranslated", "another", "real")
"""What is measured for comparison with the translations: the test images as they are, each test image held against
another one, and real images of B."""


def check_rows(rows: Iterable[Row], folder: Path) -> None:
    """UserError if ``rows``, read from evaluation.json in ``folder``, lack what an earlier version did not write."""
    if not all({"another", "compares", "misleads", "meaning", "real_images", "scope"} <= row.keys() for row in rows):
        raise UserError(
            f"{folder / 'evaluation.json'} was written by an earlier version of this program; evaluate again: dvc repro"
        )


def yardsticks(rows: Sequence[Row]) -> dict[str, dict[str, float]]:
    """The known values of each yardstick, by the metrics' names."""
    return {
        yardstick: {row["name"]: row[yardstick] for row in rows if row[yardstick] is not None}
        for yardstick in YARDSTICKS
    }
