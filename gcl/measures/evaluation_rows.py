"""The rows of evaluation.json: one per metric, a number with everything that people and pages need beside it."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from gcl.errors import UserError

Row = Mapping[str, Any]
"""The metric's name; all of its :class:`gcl.measures.measurement.Measurement` but the values per image; its yardsticks
untranslated and real; and what pages and the verdict need to know of its :class:`gcl.measures.metrics.Metric`: better,
compares, meaning, misleads, real_images (the split that real is measured on), and scope, that of its features."""

SIDES = {"lower": "lower is better", "higher": "higher is better", "neither": "neither side is better"}
"""What ``better`` may say of a metric, as people are told."""


YARDSTICKS = ("untranslated", "real")
"""What stands in the translations' place for comparison: the test images as they are, and real images of B."""


def check_rows(rows: Iterable[Row], folder: Path) -> None:
    """UserError if ``rows``, of the evaluation.json in ``folder``, are those of an earlier version, which said less."""
    if not all({"compares", "misleads", "meaning", "real_images", "scope"} <= row.keys() for row in rows):
        raise UserError(
            f"{folder / 'evaluation.json'} was written by an earlier version of this program; evaluate again: dvc repro"
        )


def yardsticks(rows: Sequence[Row]) -> dict[str, dict[str, float]]:
    """Every yardstick's values by the metrics' names, where there are any."""
    return {
        yardstick: {row["name"]: row[yardstick] for row in rows if row[yardstick] is not None}
        for yardstick in YARDSTICKS
    }
