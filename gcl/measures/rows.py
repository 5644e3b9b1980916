"""The rows of evaluation.json: one per metric, a number with everything that people and pages need beside it."""

import json
from collections.abc import Mapping, Sequence
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


def read_rows(file: Path) -> list[Row]:
    """The rows in an evaluation.json; UserError for one of an earlier version, whose rows said less."""
    rows = json.loads(file.read_text(encoding="utf-8"))
    if not all({"compares", "misleads", "meaning", "real_images", "scope"} <= row.keys() for row in rows):
        raise UserError(f"{file} was written by an earlier version of this program; evaluate again, with: dvc repro")
    return rows


def yardsticks(rows: Sequence[Row]) -> dict[str, dict[str, float]]:
    """Every yardstick's values by the metrics' names, where there are any."""
    return {
        yardstick: {row["name"]: row[yardstick] for row in rows if row[yardstick] is not None}
        for yardstick in YARDSTICKS
    }
