"""What metrics see images through: one vector per image for sets, a distance over all layers for pairs."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from lpips import LPIPS
from torch import Tensor, nn
from torch_fidelity import FeatureExtractorBase

from gcl.images.pixels import to_signed


@dataclass(frozen=True)
class PooledFeatures:
    """One vector per image: what torch-fidelity calls their extractor, and what stands beside their numbers.

    weights is the file that the extractor is to read, None where it knows its own.
    """

    extractor: str
    weights: Path | None
    dimensions: int
    description: str


@dataclass(frozen=True)
class PerceptualDistance:
    """LPIPS, a network from two batches of images (B, 3, H, W) in [-1, 1] to (B, 1, 1, 1), and its description."""

    network: LPIPS
    description: str


def extractor_class(load: Callable[[], nn.Module], dimensions: int) -> type[FeatureExtractorBase]:
    """What torch-fidelity registers for the network that ``load`` gives.

    The network's method ``pooled`` takes images (B, 3, H, W) in [-1, 1] to vectors (B, dimensions).
    """

    class Extractor(FeatureExtractorBase):
        """Takes uint8 (B, 3, H, W) to a tuple of one (B, dimensions)."""

        def __init__(self, name: str, features_list: list[str], **_: object) -> None:
            super().__init__(name, features_list)
            self.network = load()

        def forward(self, pixels: Tensor) -> tuple[Tensor]:
            return (self.network.pooled(to_signed(pixels)),)

        @staticmethod
        def get_provided_features_list() -> tuple[str]:
            return (str(dimensions),)

        @staticmethod
        def get_default_feature_layer_for_metric(metric: str) -> str:
            return str(dimensions)

    return Extractor


def distance_over_layers(network: nn.Module) -> LPIPS:
    """LPIPS without linear weights on the layers of ``network``, which takes images (B, 3, H, W) in [-1, 1].

    The squared difference of unit-normalised channels is summed over channels and layers and averaged over positions.
    ``network`` gives a list of layers, and ``channels`` says how many each of them has.
    """
    distance = untrained_lpips(linear=False)
    # The package scales images as ImageNet's networks want them; a network of another kind does its own scaling.
    distance.net, distance.scaling_layer = network, nn.Identity()
    distance.chns, distance.L = network.channels, len(network.channels)
    return distance


def untrained_lpips(linear: bool) -> LPIPS:
    """LPIPS-AlexNet with a random AlexNet; ``linear`` says whether with the package's linear weights."""
    with warnings.catch_warnings():
        # The package asks torchvision for its networks in a way that torchvision deprecates.
        warnings.filterwarnings("ignore", category=UserWarning, module="torchvision")
        return LPIPS(net="alex", lpips=linear, pnet_rand=True, verbose=False)
