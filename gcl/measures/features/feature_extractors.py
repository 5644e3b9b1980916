"""The features that metrics compare: one vector per image for sets of images, a distance over all layers for pairs."""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from lpips import LPIPS, normalize_tensor, spatial_average
from torch import Tensor, nn
from torch_fidelity import FeatureExtractorBase

from gcl.images.pixels import to_signed


@dataclass(frozen=True)
class PooledFeatures:
    """Features of one vector per image.

    Attributes:
        extractor: the name under which torch-fidelity knows the extractor.
        weights: the file that the extractor reads; None if it finds its weights itself.
        dimensions: the length of a vector.
        description: shown beside the metrics that use these features.
    """

    extractor: str
    weights: Path | None
    dimensions: int
    description: str


@dataclass(frozen=True)
class PerceptualDistance:
    """LPIPS, a network that maps two batches of images (B, 3, H, W) in [-1, 1] to (B, 1, 1, 1), with a description."""

    network: LPIPS
    description: str

    def maps(self, images: Tensor) -> list[Tensor]:
        """The maps (B, C, H', W') of each layer for ``images`` (B, 3, H, W) in [-1, 1]."""
        return self.network.net(self.network.scaling_layer(images))

    def between(self, first: Sequence[Tensor], second: Sequence[Tensor]) -> Tensor:
        """What the network returns for two batches of images, (B, 1, 1, 1), from their :meth:`maps`."""
        total = 0.0
        for layer, pair in enumerate(zip(first, second, strict=True)):
            ours, theirs = map(normalize_tensor, pair)
            difference = (ours - theirs) ** 2
            weighed = self.network.lins[layer](difference) if self.network.lpips else difference.sum(1, keepdim=True)
            total = total + spatial_average(weighed)
        return total


def extractor_class(load: Callable[[], nn.Module], dimensions: int) -> type[FeatureExtractorBase]:
    """Builds the class to register with torch-fidelity for the network that ``load`` returns.

    The network's method ``pooled`` maps images (B, 3, H, W) in [-1, 1] to vectors (B, dimensions).
    """

    class Extractor(FeatureExtractorBase):
        """Maps uint8 images (B, 3, H, W) to a tuple of one tensor (B, dimensions)."""

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
    """Builds LPIPS without linear weights on the layers of ``network``, which takes images (B, 3, H, W) in [-1, 1].

    The squared difference of unit-normalised channels is summed over channels and layers and averaged over positions.
    ``network`` returns a list with the features of each layer; its attribute ``channels`` lists their channels.
    """
    distance = untrained_lpips(linear=False)
    # The package scales images as ImageNet networks expect them; this network does its own scaling.
    distance.net, distance.scaling_layer = network, nn.Identity()
    distance.chns, distance.L = network.channels, len(network.channels)
    return distance


def untrained_lpips(linear: bool) -> LPIPS:
    """LPIPS with a randomly initialised AlexNet; ``linear`` adds the package's linear weights."""
    with warnings.catch_warnings():
        # The package requests its networks from torchvision in a deprecated way.
        warnings.filterwarnings("ignore", category=UserWarning, module="torchvision")
        return LPIPS(net="alex", lpips=linear, pnet_rand=True, verbose=False)
