"""The choices of ``evaluate.features``: the networks by whose features sets and pairs of images are compared."""

from collections.abc import Callable
from dataclasses import dataclass

from gcl.config import EvaluateConfig
from gcl.measures.features.feature_extractors import PerceptualDistance, PooledFeatures
from gcl.measures.features.judge_network import judge_distance, judge_features
from gcl.measures.features.lite2_network import lite2_distance, lite2_features
from gcl.measures.features.published_extractors import alexnet_distance, inception_features


@dataclass(frozen=True)
class FeatureSet:
    """A network for sets of images and one for pairs, loaded when they are asked for.

    Attributes:
        pooled, perceptual: load the two from the parameters in ``evaluate``; WeightsUnavailable if weights are missing.
        pooled_suffix, perceptual_suffix: appended to the names of metrics measured on them, so that nobody mistakes
            the values for published ones.
        scope: what the values can be compared with, and what they favour: the end of a sentence that begins "The
            features of these metrics are".
    """

    pooled: Callable[[EvaluateConfig], PooledFeatures]
    pooled_suffix: str
    perceptual: Callable[[EvaluateConfig], PerceptualDistance]
    perceptual_suffix: str
    scope: str


UNPUBLISHED = (
    "not of Inception or AlexNet: the values can be compared between runs of this project, but not with anything "
    "published"
)
"""What the values of every other network cannot be compared with."""

FLATTERED = (
    "being ImageNet features, they flatter a generator whose discriminator looks at ImageNet features too, as the "
    "projected one does (Kynkäänniemi et al., ICLR 2023), so look at the pictures and at the structure as well"
)
"""The caution that belongs to every network trained on ImageNet."""

FEATURE_SETS = {
    "small": FeatureSet(
        pooled=lambda config: judge_features(),
        pooled_suffix="_small",
        perceptual=lambda config: judge_distance(),
        perceptual_suffix="_small",
        scope=f"those of the small network that comes with the project, {UNPUBLISHED}",
    ),
    "efficientnet_lite2": FeatureSet(
        pooled=lambda config: lite2_features(),
        pooled_suffix="_lite2",
        perceptual=lambda config: lite2_distance(),
        perceptual_suffix="_lite2",
        scope=f"those of EfficientNet-Lite2, {UNPUBLISHED}; {FLATTERED}",
    ),
    "inception": FeatureSet(
        pooled=lambda config: inception_features(config.inception_weights),
        pooled_suffix="",
        perceptual=lambda config: alexnet_distance(config.alexnet_weights),
        perceptual_suffix="_alex",
        scope=f"the published ones; {FLATTERED}",
    ),
}
