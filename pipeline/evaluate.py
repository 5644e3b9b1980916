"""Stage 4: translated images, testA and testB -> reports/metrics.json, each number beside its yardsticks."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from PIL import Image

from gcl.config import MAIN, EvaluateConfig, Params
from gcl.data import to_signed, to_tensor
from gcl.encoders import BUNDLED
from gcl.files import digest, write_json, write_whole
from gcl.images import list_images
from gcl.manifest import Manifest, read_manifest
from gcl.metrics import (
    Measurement,
    frechet_and_kernel,
    lpips_distances,
    peak_signal_to_noise,
    structural_similarity,
)
from gcl.overlap import intersection_over_union, mean_over_present
from gcl.scenes import CLASSES
from gcl.segmenter import load_segmenter, segment
from pipeline.console import announce
from pipeline.devices import one_device
from pipeline.numbers import rounded, shown
from pipeline.tracking import run_identity, saved_run, tracked

DIRECTION = {
    "fid": "lower",
    "kid": "lower",
    "lpips": "lower",
    "psnr": "higher",
    "ssim": "higher",
    "iou": "higher",
}
"""Which way a metric is better, by the first part of its name."""


@dataclass(frozen=True)
class Result:
    """A metric of the translations beside the same metric of two yardsticks, None where it makes no sense.

    ``untranslated`` puts testA in the translations' place. ``real`` puts real images of B there: the training images
    for metrics of sets, the test images for those of the segmenter.
    """

    measurement: Measurement
    untranslated: float | None = None
    real: float | None = None


def evaluate(config: EvaluateConfig, prepared: Path, translated: Path, device: str) -> list[Result]:
    """All metrics that can be known for this data set."""
    manifest = read_manifest(prepared)
    results = _set_metrics(config, prepared, translated, device)
    results += _pair_metrics(config, manifest, prepared, translated, device)
    if manifest.masks:
        results += _segmentation(prepared, translated, device)
    return results


def run_evaluation(
    params: Params, prepared: Path, translated: Path, reports: Path, run_file: Path, variant: str = MAIN
) -> None:
    """Evaluates, writes metrics.json, evaluation.json and per_image.csv, and logs to the training's MLflow run."""
    device = one_device(params.train.accelerator).type
    results = evaluate(params.evaluate, prepared, translated, device)
    reports.mkdir(parents=True, exist_ok=True)
    numbers = {result.measurement.name: rounded(result.measurement.value) for result in results}
    write_json(reports / "metrics.json", numbers)
    write_json(reports / "evaluation.json", [_row(result) for result in results])
    write_whole(reports / "per_image.csv", per_image(results).to_csv(float_format="%.6g").encode())
    with tracked(run_identity(params, read_manifest(prepared), variant), saved_run(run_file)) as run:
        run.set_tags({"evaluate.features": params.evaluate.features})
        run.log_metrics(numbers, params.train.steps)
        for name in ("metrics.json", "evaluation.json", "per_image.csv"):
            run.log_file(reports / name, "evaluation")
    for result in results:
        announce(_line(result))


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

    results = [Result(lpips(translated, source, "to_input"))]
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
    library = f"bundled segmenter, sha256 {digest(BUNDLED / 'segmenter.safetensors')}"
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


def _row(result: Result) -> dict[str, object]:
    """One number with everything that stands beside it."""
    row = asdict(result.measurement)
    del row["per_image"]
    yardsticks = {"untranslated": rounded(result.untranslated), "real": rounded(result.real)}
    better = DIRECTION[result.measurement.name.split("_")[0]]
    return {**row, "value": rounded(result.measurement.value), **yardsticks, "better": better}


def _line(result: Result) -> str:
    name, value = result.measurement.name, shown(result.measurement.value)
    better = DIRECTION[name.split("_")[0]]
    yardsticks = f"untranslated {shown(result.untranslated):>9}   real {shown(result.real):>9}"
    return f"{name:22} {value:>9}   ({better} is better)   {yardsticks}"
