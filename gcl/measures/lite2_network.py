"""EfficientNet-Lite2 on ImageNet: the network of ``evaluate.features: efficientnet_lite2``, from its Python package."""

from torch import Tensor, nn
from torch_fidelity import register_feature_extractor
from torchvision.transforms.v2 import functional as transforms

from gcl.measures.feature_extractors import PerceptualDistance, PooledFeatures, distance_over_layers, extractor_class
from gcl.networks.efficientnet_lite import DIGESTS, lite_features

EXTRACTOR = "efficientnet-lite2"
DIMENSIONS = 352
LAYERS = ("stride4", "stride8", "stride16", "stride32")

SMALLEST = 128
"""The shorter side, in pixels, below which images are enlarged: less would leave maps of a few positions only."""


class Lite2(nn.Module):
    """EfficientNet-Lite2 for metrics: it returns the last map of each stage in LAYERS, or one vector per image.

    ``channels`` holds the number of channels of each stage.
    """

    def __init__(self) -> None:
        super().__init__()
        self.features = lite_features(2, LAYERS)
        self.channels = self.features.channels

    def forward(self, images: Tensor) -> list[Tensor]:
        """Maps images (B, 3, H, W) in [-1, 1] to one (B, C, H', W') per stage, enlarging small images first."""
        if min(images.shape[-2:]) < SMALLEST:
            images = transforms.resize(images, [SMALLEST], antialias=True)
        return self.features(images)

    def pooled(self, images: Tensor) -> Tensor:
        """Maps images (B, 3, H, W) in [-1, 1] to (B, 352): the last stage, averaged over positions."""
        return self(images)[-1].mean(dim=(2, 3))


register_feature_extractor(EXTRACTOR, extractor_class(Lite2, DIMENSIONS))


def lite2_features() -> PooledFeatures:
    """The last stage's vectors, for metrics of sets."""
    return PooledFeatures(EXTRACTOR, None, DIMENSIONS, f"{_described()}, {DIMENSIONS} dimensions")


def lite2_distance() -> PerceptualDistance:
    """LPIPS on the stages, for metrics of pairs; EncoderError if the package with the weights is missing."""
    return PerceptualDistance(distance_over_layers(Lite2()), f"{_described()}, {', '.join(LAYERS)}, unweighted")


def _described() -> str:
    return f"EfficientNet-Lite2, sha256 {DIGESTS[2]}, images enlarged to a shorter side of at least {SMALLEST} pixels"
