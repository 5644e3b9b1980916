"""Stage 4: translated images, testA and testB -> reports/metrics.json, each number beside its yardsticks."""

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from PIL import Image

from gcl.config import MAIN, EvaluateConfig, Params
from gcl.files import digest
from gcl.images.decoding import list_images
from gcl.images.manifest import Manifest
from gcl.images.masks import CLASSES
from gcl.images.pixels import to_signed, to_tensor
from gcl.images.prepared import Prepared
from gcl.measures.digits import rounded, shown
from gcl.measures.matching import check_translations
from gcl.measures.metrics import (
    Measurement,
    frechet_and_kernel,
    lpips_distances,
    peak_signal_to_noise,
    structural_similarity,
)
from gcl.measures.overlap import intersection_over_union, mean_over_present
from gcl.measures.segmenter import WEIGHTS, load_segmenter, segment
from gcl.measures.verdict import SIDES, Row, verdict_on
from pipeline.console import announce
from pipeline.params import flatten
from pipeline.running.devices import one_device
from pipeline.running.run_folder import RunFolder
from pipeline.tracking.run import TrackedRun, run_identity, tracked

DIRECTION = {
    "fid": "lower",
    "kid": "lower",
    "lpips": "lower",
    "psnr": "higher",
    "ssim": "higher",
    "iou": "higher",
}
"""Which way a metric is better, by the first part of its name; :func:`_better` knows the exception."""


@dataclass(frozen=True)
class Result:
    """A metric of the translations beside the same metric of two yardsticks, None where it makes no sense.

    ``untranslated`` puts testA in the translations' place. ``real`` puts real images of B there: the training images
    for metrics of sets, the test images for those of the segmenter.
    """

    measurement: Measurement
    untranslated: float | None = None
    real: float | None = None


def evaluate(config: EvaluateConfig, prepared: Prepared, translated: Path, device: str) -> list[Result]:
    """All metrics that can be known for this data set; UserError, at once, for translations that do not match it."""
    manifest, folder = prepared.manifest, prepared.folder
    check_translations(translated, manifest.splits["testA"])
    results = _set_metrics(config, folder, translated, device)
    results += _pair_metrics(config, manifest, folder, translated, device)
    if manifest.masks:
        results += _segmentation(folder, translated, device)
    return results


def run_evaluation(params: Params, prepared: Prepared, run: RunFolder, run_name: str | None = None) -> None:
    """Evaluates the translations of ``run`` and writes its metrics.

    They are logged to the MLflow run of its training, or to a new one called ``run_name``; to none if neither is known.
    The verdict is told last.
    """
    device = one_device(params.train.accelerator).type
    results = evaluate(params.evaluate, prepared, run.translated, device)
    rows = [_row(result) for result in results]
    metrics, yardsticks, verdict = {row["name"]: row["value"] for row in rows}, _yardsticks(rows), verdict_on(rows)
    files = run.write_evaluation(metrics, yardsticks, rows, per_image(results))
    if run.run_file is not None or run_name is not None:
        with _tracked(run_identity(params, prepared.manifest, run.variant or MAIN), run, run_name) as mlflow_run:
            mlflow_run.set_tags({"evaluate.features": params.evaluate.features, "verdict": verdict.word})
            mlflow_run.log_metrics(metrics | flatten(yardsticks), params.train.steps if run_name is None else 0)
            for file in files:
                mlflow_run.log_file(file, "evaluation")
    for row in rows:
        announce(_line(row))
    for warning in prepared.manifest.warnings:
        announce(f"WARNING: {warning}")
    announce(verdict.sentence)


def _tracked(identity: dict[str, Any], run: RunFolder, name: str | None) -> AbstractContextManager[TrackedRun]:
    """The training's run, or one called ``name``, which knows of no training: neither its variant nor its seed."""
    if name is None:
        return tracked(identity, run.saved())
    tags = {key: value for key, value in identity["tags"].items() if key not in ("variant", "seed")}
    return tracked({**identity, "name": name, "tags": tags})


def per_image(results: Iterable[Result]) -> pd.DataFrame:
    """One row a test image, one column a metric that is known by image."""
    columns = {
        result.measurement.name: result.measurement.per_image
        for result in results
        if result.measurement.per_image is not None
    }
    return pd.DataFrame(columns).rename_axis("image").sort_index()


def _set_metrics(config: EvaluateConfig, prepared: Path, translated: Path, device: str) -> list[Result]:
    """FID and KID against testB; all three on images of one size, or they could not be compared."""
    folders = [translated, prepared / "testA", prepared / "trainB"]

    def against_test_b(folder: Path) -> tuple[Measurement, Measurement]:
        weights, reference = config.inception_weights, prepared / "testB"
        return frechet_and_kernel(
            folder, reference, config.features, weights, config.batch_size, config.seed, device, alike=folders
        )

    outputs, untranslated = against_test_b(translated), against_test_b(prepared / "testA")
    one_image = len(list_images(prepared / "trainB")) < 2
    real = (None, None) if one_image else [measurement.value for measurement in against_test_b(prepared / "trainB")]
    return [Result(*row) for row in zip(outputs, [other.value for other in untranslated], real, strict=True)]


def _pair_metrics(
    config: EvaluateConfig, manifest: Manifest, prepared: Path, translated: Path, device: str
) -> list[Result]:
    """LPIPS to the input and, where testB is the true translation of testA, LPIPS, PSNR and SSIM to the truth."""
    source, truth = prepared / "testA", prepared / "testB"

    def lpips(first: Path, second: Path, to: str) -> Measurement:
        return _named(lpips_distances(first, second, config.features, config.alexnet_weights, device), to)

    results = [Result(lpips(translated, source, "to_input"), untranslated=0.0)]
    if manifest.paired:
        results.append(Result(lpips(translated, truth, "to_truth"), lpips(source, truth, "to_truth").value))
        for metric in (peak_signal_to_noise, structural_similarity):
            results.append(Result(_named(metric(translated, truth), "to_truth"), metric(source, truth).value))
    return results


def _segmentation(prepared: Path, translated: Path, device: str) -> list[Result]:
    """IoU between the classes seen in the outputs and the INPUT's mask: did the content survive?

    The Cityscapes protocol in miniature: the segmenter knows nothing but real images of domain B.
    """
    network = load_segmenter().to(device)
    masks = [np.asarray(Image.open(path)) for path in list_images(prepared / "masks")]

    def overlaps(folder: Path) -> list[float | None]:
        images = (to_signed(to_tensor(path)).unsqueeze(0).to(device) for path in list_images(folder))
        predicted = (segment(network, image)[0].cpu().numpy() for image in images)
        return intersection_over_union(predicted, masks, len(CLASSES))

    outputs, untranslated, real = (overlaps(folder) for folder in (translated, prepared / "testA", prepared / "testB"))
    animal = CLASSES.index("animal")
    choices = {"iou_mean": mean_over_present, "iou_animal": lambda values: values[animal] or 0.0}
    library = f"bundled segmenter, sha256 {digest(WEIGHTS)}"
    return [
        Result(
            Measurement(name, choose(outputs), library, f"torch {torch.__version__}", len(masks), len(masks)),
            choose(untranslated),
            choose(real),
        )
        for name, choose in choices.items()
    ]


def _named(measurement: Measurement, to: str) -> Measurement:
    return replace(measurement, name=f"{measurement.name}_{to}")


def _row(result: Result) -> dict[str, Any]:
    """One number with everything that stands beside it."""
    row = asdict(result.measurement)
    del row["per_image"]
    yardsticks = {"untranslated": rounded(result.untranslated), "real": rounded(result.real)}
    return {**row, "value": rounded(result.measurement.value), **yardsticks, "better": _better(row["name"])}


def _better(name: str) -> str:
    # The untouched input is closest to itself, and a translation has to leave it: neither side is the better one.
    return "neither" if name.endswith("_to_input") else DIRECTION[name.split("_")[0]]


def _yardsticks(rows: Sequence[Row]) -> dict[str, dict[str, float]]:
    """Those of every metric by their own names, for `dvc metrics` and MLflow."""
    return {
        yardstick: {row["name"]: row[yardstick] for row in rows if row[yardstick] is not None}
        for yardstick in ("untranslated", "real")
    }


def _line(row: Row) -> str:
    yardsticks = f"untranslated {shown(row['untranslated']):>9}   real {shown(row['real']):>9}"
    return f"{row['name']:22} {shown(row['value']):>9}   {yardsticks}   ({SIDES[row['better']]})"
