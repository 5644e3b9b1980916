"""The choices of ``evaluate.features``: through which networks sets and pairs of images are compared."""

from collections.abc import Callable
from dataclasses import dataclass

from gcl.config import EvaluateConfig
from gcl.measures.feature_extractors import PerceptualDistance, PooledFeatures
from gcl.measures.judge_network import judge_distance, judge_features
from gcl.measures.published_extractors import alexnet_distance, inception_features


@dataclass(frozen=True)
class FeatureSet:
    """A network for sets of images and one for pairs, loaded when they are asked for.

    Attributes:
        pooled, perceptual: make the two of ``evaluate``'s parameters; WeightsUnavailable where weights are missing.
        pooled_suffix, perceptual_suffix: what the names of metrics on them have behind the metric's own, so that nobody
            mistakes a number for the published one.
        scope: what the numbers can be compared with, if not with published ones: the end of a sentence that begins
            "The features of these metrics are".
    """

    pooled: Callable[[EvaluateConfig], PooledFeatures]
    pooled_suffix: str
    perceptual: Callable[[EvaluateConfig], PerceptualDistance]
    perceptual_suffix: str
    scope: str | None = None


FEATURE_SETS = {
    "small": FeatureSet(
        pooled=lambda config: judge_features(),
        pooled_suffix="_small",
        perceptual=lambda config: judge_distance(),
        perceptual_suffix="_small",
        scope="those of the small network that comes with the project, not of Inception or AlexNet: such numbers "
        "compare runs of this project with each other and with nothing published",
    ),
    "inception": FeatureSet(
        pooled=lambda config: inception_features(config.inception_weights),
        pooled_suffix="",
        perceptual=lambda config: alexnet_distance(config.alexnet_weights),
        perceptual_suffix="_alex",
    ),
}
