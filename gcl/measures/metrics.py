"""METRICS, the list of everything that is measured.

A new metric is a new entry: evaluation, yardsticks, verdict, reports and MLflow read all they need from it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from gcl.images.manifest import Manifest
from gcl.measures.evaluation_context import Context
from gcl.measures.features.feature_sets import FeatureSet
from gcl.measures.measurement import Measurement
from gcl.measures.pair_distances import (
    lpips_distances,
    peak_signal_to_noise,
    structural_similarity,
    structure_distances,
    structure_to_next,
)
from gcl.measures.patch_statistics import single_image_frechet
from gcl.measures.region_overlap import region_overlaps
from gcl.measures.set_distances import frechet_and_kernel

STRIPES = "where a stripe begins cannot be known from the input"
"""The reason why metrics that compare pixel by pixel mislead on drawn zebras."""


@dataclass(frozen=True)
class Metric:
    """What a metric is called, what it means, what it needs and how it is measured.

    Attributes:
        name: the name of its rows and columns; ``{features}`` stands for the suffix of the features it is measured on.
        meaning: what it is, for the report: the end of a sentence that begins with its name.
        better: whether lower or higher values are better; a metric with neither is never judged.
        compares: whether it compares sets of images, pairs of them, the regions in them, or the patches of two single
            pictures.
        measure: measures a folder of images. It is called with the translations and, for the yardsticks, with testA
            and the split ``real`` instead. ``Context.once`` shares a measurement that several metrics are parts of.
        on: which network of the chosen feature set it uses; None if it uses no network or one of its own.
        needs: what the data set must have: the true translations of testA, or its masks; None for nothing.
        real: the split whose images give the yardstick ``real``; None if that makes no sense.
        untranslated: the yardstick ``untranslated`` if it is known without measuring; None to measure it.
        another: measures the yardstick ``another``, every input held against another one; None if that makes no sense.
        misleads_on_scenes: why nobody should judge by it on drawn zebras, as a clause; None if it does not mislead.
    """

    name: str
    meaning: str
    better: Literal["lower", "higher", "neither"]
    compares: Literal["sets", "pairs", "regions", "patches"]
    measure: Callable[[Context, Path], Measurement]
    on: Literal["pooled", "perceptual"] | None = None
    needs: Literal["truth", "masks"] | None = None
    real: Literal["trainB", "testB"] | None = None
    untranslated: float | None = None
    another: Callable[[Context], Measurement] | None = None
    misleads_on_scenes: str | None = None

    def name_on(self, features: FeatureSet) -> str:
        """The metric's name when it is measured on ``features``."""
        suffixes = {None: "", "pooled": features.pooled_suffix, "perceptual": features.perceptual_suffix}
        return self.name.format(features=suffixes[self.on])

    def scope_on(self, features: FeatureSet) -> str | None:
        """What its values on ``features`` can be compared with; None if it uses no network or one of its own."""
        # The features of published metrics have no suffix; those of the published SIFID are none of the choices.
        is_no_published_metric = self.compares == "patches" and not features.pooled_suffix
        return None if self.on is None or is_no_published_metric else features.scope

    def known_for(self, data: Manifest) -> bool:
        """Whether ``data`` has what the metric needs; single pictures are no sets."""
        enough = {"sets": not data.single_image, "patches": data.single_image}.get(self.compares, True)
        return enough and {None: True, "truth": data.paired, "masks": data.masks}[self.needs]

    def misleads(self, source: str | None, direction: str) -> str | None:
        """Why nobody should judge by it on data of this ``source`` and ``direction``, as a clause; None if it does not
        mislead there."""
        return self.misleads_on_scenes if source == "scenes" and direction == "AtoB" else None


def _distances_to_test_b(context: Context, images: Path) -> tuple[Measurement, Measurement]:
    """FID and KID against testB, with the same image size for all folders so that their values can be compared."""
    config, split = context.config, context.prepared.split
    alike = [context.translated, split("testA"), split("trainB")]
    return frechet_and_kernel(
        images, split("testB"), context.pooled, config.batch_size, config.seed, context.device, alike
    )


def _patches_to_test_b(context: Context, images: Path) -> Measurement:
    return single_image_frechet(images, context.prepared.split("testB"), context.perceptual, context.device)


def _lpips_to(split: str) -> Callable[[Context, Path], Measurement]:
    def measure(context: Context, images: Path) -> Measurement:
        return lpips_distances(images, context.prepared.split(split), context.perceptual, context.device)

    return measure


def _structure_to_input(context: Context, images: Path) -> Measurement:
    return structure_distances(images, context.prepared.split("testA"), context.perceptual, context.device)


def _structure_of_another(context: Context) -> Measurement:
    return structure_to_next(context.prepared.split("testA"), context.perceptual, context.device)


def _overlaps_with_masks(context: Context, images: Path) -> dict[str, Measurement]:
    return region_overlaps(images, context.prepared.masks(), context.device)


METRICS = [
    Metric(
        "fid{features}",
        "is the Fréchet distance between the translations and the test images of B, each set taken as a normal "
        "distribution of features",
        better="lower",
        compares="sets",
        on="pooled",
        real="trainB",
        measure=lambda context, images: context.once(_distances_to_test_b, images)[0],
    ),
    Metric(
        "kid{features}",
        "is the kernel distance between the same two sets of features (squared maximum mean discrepancy, cubic "
        "kernel), which a small number of images does not bias",
        better="lower",
        compares="sets",
        on="pooled",
        real="trainB",
        measure=lambda context, images: context.once(_distances_to_test_b, images)[1],
    ),
    Metric(
        "sifid{features}",
        "is a single-image FID, but not the published SIFID, whose features are Inception's: the Fréchet distance "
        "between the patches of the translation and those of the picture of B, at one scale, each set taken as a "
        "normal distribution of features",
        better="lower",
        compares="patches",
        on="perceptual",
        measure=_patches_to_test_b,
    ),
    Metric(
        "lpips{features}_to_input",
        "is the perceptual distance from each translation to its own input: 0 is the untouched input, and a "
        "translation has to differ from it, so neither lower nor higher is better",
        better="neither",
        compares="pairs",
        on="perceptual",
        untranslated=0.0,
        measure=_lpips_to("testA"),
    ),
    Metric(
        "structure{features}_to_input",
        "is the mean squared difference between the self-similarity of each translation and that of its input (the "
        "cosine similarities between all positions of the network's last map): the lower, the more of the arrangement "
        "survives, but 0 is the untouched input, so neither lower nor higher is better",
        better="neither",
        compares="pairs",
        on="perceptual",
        untranslated=0.0,
        another=_structure_of_another,
        measure=_structure_to_input,
    ),
    Metric(
        "lpips{features}_to_truth",
        "is the perceptual distance from each translation to the true one, the test image of B of the same name",
        better="lower",
        compares="pairs",
        on="perceptual",
        needs="truth",
        measure=_lpips_to("testB"),
    ),
    Metric(
        "psnr_to_truth",
        "is the peak signal-to-noise ratio of each translation against the true one, in decibels",
        better="higher",
        compares="pairs",
        needs="truth",
        misleads_on_scenes=STRIPES,
        measure=lambda context, images: peak_signal_to_noise(images, context.prepared.split("testB")),
    ),
    Metric(
        "ssim_to_truth",
        "is the structural similarity of each translation to the true one, 1 for the same image",
        better="higher",
        compares="pairs",
        needs="truth",
        misleads_on_scenes=STRIPES,
        measure=lambda context, images: structural_similarity(images, context.prepared.split("testB")),
    ),
    Metric(
        "iou_mean",
        "shows whether the content survived: a segmenter that knows only scenes of B labels the translations, and its "
        "labels are compared with the masks of the inputs by intersection over union, averaged over the classes",
        better="higher",
        compares="regions",
        needs="masks",
        real="testB",
        measure=lambda context, images: context.once(_overlaps_with_masks, images)["mean"],
    ),
    Metric(
        "iou_animal",
        "shows whether the animal survived: it is the intersection over union of that class alone",
        better="higher",
        compares="regions",
        needs="masks",
        real="testB",
        measure=lambda context, images: context.once(_overlaps_with_masks, images)["animal"],
    ),
]
