"""The rows of a score: those of evaluation.json, where yardsticks may be unknown, with an interval each."""

from collections.abc import Iterator, Sequence

from gcl.images.decoding import list_images
from gcl.measures.evaluation import Result
from gcl.measures.evaluation_context import Context
from gcl.measures.evaluation_rows import Row
from gcl.measures.measurement import Measurement, png_files
from gcl.measures.metrics import METRICS, Metric
from gcl.measures.rounding import rounded
from gcl.measures.set_distances import PooledVectors
from gcl.measures.statistics import bootstrap_interval
from gcl.scoring.kernel_interval import kernel_interval
from gcl.scoring.plain_folders import PlainFolders


def measurable(against_real: Context, against_truth: Context | None) -> list[tuple[Metric, Context]]:
    """The metrics that these plain folders allow, each with its context: testB is the truth for those that need it."""
    chosen = ((metric, against_truth if metric.needs == "truth" else against_real) for metric in METRICS)
    return [(metric, context) for metric, context in chosen if context is not None and _allowed(metric, context)]


def _allowed(metric: Metric, context: Context) -> bool:
    """Sets take two images each, patches one picture each; pairs that do not take the truth take the inputs."""
    data: PlainFolders = context.prepared
    outputs, real = len(list_images(context.translated)), data.count("testB")
    enough = {
        "sets": min(outputs, real) > 1,
        "patches": outputs == real == 1,
        "pairs": data.paired or data.count("testA") > 0,
        "regions": False,  # there are no masks
    }
    return enough[metric.compares] and (metric.needs is None or (metric.needs == "truth" and data.paired))


def scored_rows(measured: Sequence[tuple[Metric, Context]]) -> Iterator[Row]:
    """Measures each metric in its context, whose data are plain folders.

    Each row has ``interval``, the 95 % interval over the choice of images, [low, high]; None where there is none.
    """
    for metric, context in measured:
        measurement = metric.measure(context, context.translated)
        scope = metric.scope_on(context.features)
        name = metric.name_on(context.features)
        result = Result(
            metric, name, measurement, *_yardsticks(metric, context), other=None, scope=scope, misleads=None
        )
        interval = _interval(measurement, context)
        yield {**result.row, "interval": interval and [rounded(bound) for bound in interval]}


def _yardsticks(metric: Metric, context: Context) -> tuple[float | None, float | None, float | None]:
    """The values of untranslated, another and real, as in an evaluation; None where their images were not given."""
    data: PlainFolders = context.prepared
    untranslated = another = real = None
    if data.count("testA"):
        untranslated = metric.untranslated
        if untranslated is None:
            untranslated = metric.measure(context, data.split("testA")).value
    if metric.another is not None and data.count("testA") > 1:
        another = metric.another(context).value
    if metric.real is not None and data.count(metric.real) >= (2 if metric.compares == "sets" else 1):
        real = metric.measure(context, data.split(metric.real)).value
    return untranslated, another, real


def _interval(measurement: Measurement, context: Context) -> tuple[float, float] | None:
    """The interval of a mean over images, or of KID; None for other values of sets, and for a single image."""
    config = context.config
    if measurement.per_image is not None and len(measurement.per_image) > 1:
        return bootstrap_interval(list(measurement.per_image.values()), config.seed)
    # Only KID has subsets.
    if measurement.subset_size is None:
        return None
    vectors_of = PooledVectors(context.pooled, measurement.resize, config.batch_size, context.device)
    folders = context.translated, context.prepared.split("testB")
    ours, theirs = (vectors_of(png_files(folder, at_least=2)).double().numpy() for folder in folders)
    return kernel_interval(measurement.value, ours, theirs, config.seed)
