"""Measures all metrics of a folder of translations, and beside them the yardsticks, such as doing nothing."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

import pandas as pd

from gcl.config import EvaluateConfig
from gcl.images.prepared import Prepared
from gcl.measures.check_translations import check_translations
from gcl.measures.evaluation_context import Context
from gcl.measures.evaluation_rows import Row
from gcl.measures.measurement import Measurement
from gcl.measures.metrics import METRICS, Metric
from gcl.measures.rounding import rounded


@dataclass(frozen=True)
class Result:
    """A metric of the translations and, for comparison, of three yardsticks and of another checkpoint's translations.

    A yardstick is None where the metric makes no sense for it, and ``other`` where there is no other checkpoint.
    ``name`` and ``scope`` depend on the features that the metric was measured on, ``misleads`` on the data set.
    """

    metric: Metric
    name: str
    measurement: Measurement
    untranslated: float | None
    another: float | None
    real: float | None
    other: float | None
    scope: str | None
    misleads: str | None

    @property
    def row(self) -> Row:
        """The row of evaluation.json, with values rounded to six digits."""
        measured = {key: value for key, value in asdict(self.measurement).items() if key != "per_image"}
        return {
            "name": self.name,
            **measured,
            "value": rounded(self.measurement.value),
            "untranslated": rounded(self.untranslated),
            "another": rounded(self.another),
            "real": rounded(self.real),
            "other_checkpoint": rounded(self.other),
            "better": self.metric.better,
            "compares": self.metric.compares,
            "meaning": self.metric.meaning,
            "misleads": self.misleads,
            "real_images": self.metric.real,
            "scope": self.scope,
        }


def evaluate(
    config: EvaluateConfig, prepared: Prepared, translated: Path, device: str, other: Path | None = None
) -> list[Result]:
    """Measures all metrics that this data set allows, also of the translations by an ``other`` checkpoint.

    UserError, before anything is measured, if the translations do not match the test images.
    """
    manifest = prepared.manifest
    for folder in filter(None, (translated, other)):
        check_translations(folder, manifest.splits["testA"])
    context = Context(config, prepared, translated, device)
    return [_result(metric, context, other) for metric in METRICS if metric.known_for(manifest)]


def per_image(results: Iterable[Result]) -> pd.DataFrame:
    """A table with one row per test image and one column per metric that has a value per image."""
    columns = {
        result.name: result.measurement.per_image for result in results if result.measurement.per_image is not None
    }
    return pd.DataFrame(columns).rename_axis("image").sort_index()


def _result(metric: Metric, context: Context, other: Path | None) -> Result:
    return Result(
        metric,
        metric.name_on(context.features),
        metric.measure(context, context.translated),
        _untranslated(metric, context),
        _another(metric, context),
        _real(metric, context),
        None if other is None else metric.measure(context, other).value,
        metric.scope_on(context.features),
        metric.misleads(context.prepared.manifest.source, context.prepared.manifest.direction),
    )


def _untranslated(metric: Metric, context: Context) -> float | None:
    if metric.untranslated is not None:
        return metric.untranslated
    return metric.measure(context, context.prepared.split("testA")).value


def _another(metric: Metric, context: Context) -> float | None:
    # A single image has no other.
    if metric.another is None or len(context.prepared.images("testA")) < 2:
        return None
    return metric.another(context).value


def _real(metric: Metric, context: Context) -> float | None:
    # A single image is not a set.
    if metric.real is None or (metric.compares == "sets" and len(context.prepared.images(metric.real)) < 2):
        return None
    return metric.measure(context, context.prepared.split(metric.real)).value
