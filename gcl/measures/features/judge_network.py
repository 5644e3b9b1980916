"""The judge: the bundled network by whose features images are compared with ``evaluate.features: small``."""

from pathlib import Path

from torch import Tensor
from torch_fidelity import register_feature_extractor

from gcl.files import digest
from gcl.measures.features.feature_extractors import (
    PerceptualDistance,
    PooledFeatures,
    distance_over_layers,
    extractor_class,
)
from gcl.networks.architectures import JUDGE
from gcl.networks.vgg import Encoder

WEIGHTS = Path(__file__).parents[1] / "weights" / "judge.safetensors"
EXTRACTOR = "bundled-judge"
DIMENSIONS = JUDGE.widths[-1]


class Judge(Encoder):
    """The encoder of the metrics: it returns the last ReLU of every block, or one vector per image."""

    def __init__(self) -> None:
        super().__init__(JUDGE, JUDGE.block_ends())

    def pooled(self, images: Tensor) -> Tensor:
        """Maps images (B, 3, H, W) in [-1, 1] to (B, 64): the last ReLU, averaged over positions."""
        return self(images)[-1].mean(dim=(2, 3))


def load_judge() -> Judge:
    """Loads the bundled judge, which shares neither weights nor shape nor seed with the small encoder."""
    return Judge().load(WEIGHTS)


register_feature_extractor(EXTRACTOR, extractor_class(load_judge, DIMENSIONS))


def judge_features() -> PooledFeatures:
    """The judge's vectors, for metrics of sets."""
    description = f"bundled judge, sha256 {digest(WEIGHTS)}, {DIMENSIONS} dimensions"
    return PooledFeatures(EXTRACTOR, None, DIMENSIONS, description)


def judge_distance() -> PerceptualDistance:
    """LPIPS on the judge's layers, for metrics of pairs."""
    description = f"bundled judge, sha256 {digest(WEIGHTS)}, last ReLU of each block, unweighted"
    return PerceptualDistance(distance_over_layers(load_judge()), description)
