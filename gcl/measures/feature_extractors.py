"""The networks through whose features sets and pairs of images are compared, and where their weights lie.

``small`` is the bundled judge, which needs no download; ``inception`` are the networks of the published
metrics: torch-fidelity's Inception-v3 for FID and KID, torchvision's AlexNet for LPIPS.
"""

import pickle
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from lpips import LPIPS
from torch import Tensor, nn
from torch_fidelity import FeatureExtractorBase, register_feature_extractor
from torch_fidelity.feature_extractor_inceptionv3 import URL_INCEPTION_V3
from torchvision.models import AlexNet_Weights

from gcl.errors import UserError
from gcl.files import digest
from gcl.images.pixels import to_signed
from gcl.measures.judge import WEIGHTS, load_judge
from gcl.networks.plans import JUDGE as JUDGE_PLAN
from gcl.networks.published_weights import local_or_published

FeatureSet = Literal["small", "inception"]

JUDGE = "bundled-judge"
JUDGE_DIMENSIONS = JUDGE_PLAN.widths[-1]
INCEPTION = "inception-v3-compat"
INCEPTION_DIMENSIONS = 2048
SMALL = "evaluate.features to small"


class JudgeExtractor(FeatureExtractorBase):
    """The bundled judge as torch-fidelity calls it: uint8 (B, 3, H, W) to a tuple of one (B, 64)."""

    def __init__(self, name: str, features_list: list[str], **_: object) -> None:
        super().__init__(name, features_list)
        self.judge = load_judge()

    def forward(self, pixels: Tensor) -> tuple[Tensor]:
        return (self.judge.pooled(to_signed(pixels)),)

    @staticmethod
    def get_provided_features_list() -> tuple[str]:
        return (str(JUDGE_DIMENSIONS),)

    @staticmethod
    def get_default_feature_layer_for_metric(metric: str) -> str:
        return str(JUDGE_DIMENSIONS)


register_feature_extractor(JUDGE, JudgeExtractor)


@dataclass(frozen=True)
class PooledFeatures:
    """One vector an image: what torch-fidelity calls their extractor, and what stands beside their numbers.

    weights is the file that the extractor is to read, None where it knows its own. suffix ends the names of
    metrics on these features; the names of the published metrics have none.
    """

    extractor: str
    weights: Path | None
    dimensions: int
    suffix: str
    description: str


def pooled_features(features: FeatureSet, weights: Path | None) -> PooledFeatures:
    """The features of FID and KID. ``weights`` is a local file for Inception, None to download it.

    Raises WeightsUnavailable and UserError as find_inception_weights does.
    """
    if features == "small":
        description = f"bundled judge, sha256 {digest(WEIGHTS)}, {JUDGE_DIMENSIONS} dimensions"
        return PooledFeatures(JUDGE, None, JUDGE_DIMENSIONS, "_small", description)
    file = find_inception_weights(weights)
    description = f"{INCEPTION}, sha256 {digest(file)}, {INCEPTION_DIMENSIONS} dimensions"
    return PooledFeatures(INCEPTION, file, INCEPTION_DIMENSIONS, "", description)


@dataclass(frozen=True)
class PerceptualDistance:
    """A network from images (B, 3, H, W) in [-1, 1], twice, to (B, 1, 1, 1), and its metric's name."""

    network: LPIPS
    name: str
    description: str


def perceptual_distance(features: FeatureSet, weights: Path | None) -> PerceptualDistance:
    """LPIPS (Zhang et al., 2018), on the CPU. ``weights`` is a local file for AlexNet, None to download it.

    Raises WeightsUnavailable and UserError as find_alexnet_weights does.
    """
    if features == "small":
        description = f"bundled judge, sha256 {digest(WEIGHTS)}, last ReLU of each block, unweighted"
        return PerceptualDistance(_judge_distance(), "lpips_small", description)
    file = find_alexnet_weights(weights)
    description = f"AlexNet, sha256 {digest(file)}, LPIPS 0.1 linear weights"
    return PerceptualDistance(_alexnet_distance(file), "lpips_alex", description)


def find_inception_weights(local: Path | None) -> Path:
    """The weights of torch-fidelity's Inception-v3: ``local``, or torch's hub cache, filled if need be.

    Raises WeightsUnavailable for no file and no download, UserError for a file of another network.
    """
    file = local_or_published(local, URL_INCEPTION_V3, "evaluate.inception_weights", SMALL)
    # torchvision's own Inception-v3, easily mistaken for this one, has 1000 outputs.
    _state_with(file, "fc.weight", (1008, INCEPTION_DIMENSIONS), "torch-fidelity's Inception-v3")
    return file


def find_alexnet_weights(local: Path | None) -> Path:
    """The weights of torchvision's AlexNet: ``local``, or torch's hub cache, filled if need be.

    Raises WeightsUnavailable for no file and no download, UserError for a file of another network.
    """
    file = local_or_published(local, AlexNet_Weights.IMAGENET1K_V1.url, "evaluate.alexnet_weights", SMALL)
    _alexnet_state(file)
    return file


def _judge_distance() -> LPIPS:
    """lpips's own formula on the judge's layers: no linear weights, no ImageNet scaling of the input."""
    network = _lpips(linear=False)
    judge = load_judge()
    network.net, network.scaling_layer = judge, nn.Identity()
    network.chns, network.L = judge.channels, len(judge.channels)
    return network


def _alexnet_distance(file: Path) -> LPIPS:
    network, state = _lpips(linear=True), _alexnet_state(file)
    # lpips keeps torchvision's numbers: its slice2.3.weight is features.3.weight.
    names = network.net.state_dict()
    network.net.load_state_dict({name: state["features." + name.partition(".")[2]] for name in names})
    return network


def _lpips(linear: bool) -> LPIPS:
    """LPIPS-AlexNet with a random AlexNet; ``linear`` says whether with the package's linear weights."""
    with warnings.catch_warnings():
        # The package asks torchvision for its networks in a way that torchvision deprecates.
        warnings.filterwarnings("ignore", category=UserWarning, module="torchvision")
        return LPIPS(net="alex", lpips=linear, pnet_rand=True, verbose=False)


def _alexnet_state(file: Path) -> dict[str, Tensor]:
    return _state_with(file, "features.0.weight", (64, 3, 11, 11), "torchvision's AlexNet")


def _state_with(file: Path, key: str, shape: tuple[int, ...], network: str) -> dict[str, Tensor]:
    """The state dict in ``file``, known for ``network``'s by the shape of one entry; else UserError."""
    try:
        # Without pickled code, which torch-fidelity would run when it reads the same file.
        state = torch.load(file, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
        raise UserError(f"{file} is not a readable file of weights: {error}") from None
    if not isinstance(state, dict) or key not in state or tuple(state[key].shape) != shape:
        raise UserError(f"{file} does not hold {network}: it has no {key} of shape {shape}")
    return state
