"""EfficientNet-Lite2 on ImageNet: the network of ``evaluate.features: efficientnet_lite2``, from its Python package."""

from torch import Tensor, nn
from torch_fidelity import register_feature_extractor
from torchvision.transforms.v2 import functional as transforms

from gcl.measures.features.feature_extractors import (
    PerceptualDistance,
    PooledFeatures,
    distance_over_layers,
    extractor_class,
)
from gcl.networks.efficientnet_lite import DIGESTS, SCALE, lite_features, whole_lite

EXTRACTOR = "efficientnet-lite2"
DIMENSIONS = 1280
LAYERS = ("stride4", "stride8", "stride16", "stride32")

SMALLEST = 224
"""The shorter side, in pixels, to which smaller images are enlarged, near the 260 that the network was trained at.

On much smaller ones its vectors are several times longer, and KID, whose kernel is cubic, grows a hundredfold.
"""


class Lite2(nn.Module):
    """EfficientNet-Lite2 for metrics of pairs: it returns the last map of each stage in LAYERS.

    ``channels`` holds the number of channels of each stage.
    """

    def __init__(self) -> None:
        super().__init__()
        self.features = lite_features(2, LAYERS)
        self.channels = self.features.channels

    def forward(self, images: Tensor) -> list[Tensor]:
        """Maps images (B, 3, H, W) in [-1, 1] to one (B, C, H', W') per stage, enlarging small images first."""
        return self.features(_enlarged(images))


class Lite2Vectors(nn.Module):
    """EfficientNet-Lite2 for metrics of sets: one vector per image, which the network's classifier would see."""

    def __init__(self) -> None:
        super().__init__()
        self.network = whole_lite(2)

    def pooled(self, images: Tensor) -> Tensor:
        """Maps images (B, 3, H, W) in [-1, 1] to (B, 1280) of values >= 0, enlarging small images first."""
        scaled = transforms.normalize((_enlarged(images) + 1) / 2, *SCALE)
        return self.network.forward_features(scaled).mean(dim=(2, 3))


def _enlarged(images: Tensor) -> Tensor:
    if min(images.shape[-2:]) >= SMALLEST:
        return images
    return transforms.resize(images, [SMALLEST], antialias=True)


register_feature_extractor(EXTRACTOR, extractor_class(Lite2Vectors, DIMENSIONS))


def lite2_features() -> PooledFeatures:
    """The vectors before the classifier, for metrics of sets."""
    return PooledFeatures(EXTRACTOR, None, DIMENSIONS, f"{_described()}, {DIMENSIONS} dimensions")


def lite2_distance() -> PerceptualDistance:
    """LPIPS on the stages, for metrics of pairs; EncoderError if the package with the weights is missing."""
    return PerceptualDistance(distance_over_layers(Lite2()), f"{_described()}, {', '.join(LAYERS)}, unweighted")


def _described() -> str:
    return f"EfficientNet-Lite2, sha256 {DIGESTS[2]}, images enlarged to a shorter side of at least {SMALLEST} pixels"
