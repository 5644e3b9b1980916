"""The networks of the published metrics: torch-fidelity's Inception-v3 for FID and KID, AlexNet for LPIPS."""

import pickle
from pathlib import Path

import torch
from torch import Tensor
from torch_fidelity.feature_extractor_inceptionv3 import URL_INCEPTION_V3
from torchvision.models import AlexNet_Weights

from gcl.errors import UserError
from gcl.files import digest
from gcl.measures.features.feature_extractors import PerceptualDistance, PooledFeatures, untrained_lpips
from gcl.networks.published_weights import local_or_published

INCEPTION = "inception-v3-compat"
INCEPTION_DIMENSIONS = 2048
OFFLINE = "evaluate.features to small or efficientnet_lite2"


def inception_features(weights: Path | None) -> PooledFeatures:
    """Inception's vectors, for metrics of sets. ``weights`` is a local file, or None to download it.

    WeightsUnavailable and UserError as for :func:`find_inception_weights`.
    """
    file = find_inception_weights(weights)
    description = f"{INCEPTION}, sha256 {digest(file)}, {INCEPTION_DIMENSIONS} dimensions"
    return PooledFeatures(INCEPTION, file, INCEPTION_DIMENSIONS, description)


def alexnet_distance(weights: Path | None) -> PerceptualDistance:
    """LPIPS on AlexNet with its linear weights, for metrics of pairs, on the CPU.

    ``weights`` is a local file, or None to download it. WeightsUnavailable and UserError as for
    :func:`find_alexnet_weights`.
    """
    file = find_alexnet_weights(weights)
    network, state = untrained_lpips(linear=True), _alexnet_state(file)
    # lpips keeps torchvision's layer indices: its slice2.3.weight is features.3.weight.
    names = network.net.state_dict()
    network.net.load_state_dict({name: state["features." + name.partition(".")[2]] for name in names})
    return PerceptualDistance(network, f"AlexNet, sha256 {digest(file)}, LPIPS 0.1 linear weights")


def find_inception_weights(local: Path | None) -> Path:
    """Finds the weights of torch-fidelity's Inception-v3: ``local``, or torch's hub cache, downloaded if needed.

    WeightsUnavailable if there is no file and no download, UserError if the file belongs to another network.
    """
    file = local_or_published(local, URL_INCEPTION_V3, "evaluate.inception_weights", OFFLINE)
    # torchvision's own Inception-v3, which is easily mistaken for this one, has 1000 outputs.
    _state_with(file, "fc.weight", (1008, INCEPTION_DIMENSIONS), "torch-fidelity's Inception-v3")
    return file


def find_alexnet_weights(local: Path | None) -> Path:
    """Finds the weights of torchvision's AlexNet: ``local``, or torch's hub cache, downloaded if needed.

    WeightsUnavailable if there is no file and no download, UserError if the file belongs to another network.
    """
    file = local_or_published(local, AlexNet_Weights.IMAGENET1K_V1.url, "evaluate.alexnet_weights", OFFLINE)
    _alexnet_state(file)
    return file


def _alexnet_state(file: Path) -> dict[str, Tensor]:
    return _state_with(file, "features.0.weight", (64, 3, 11, 11), "torchvision's AlexNet")


def _state_with(file: Path, key: str, shape: tuple[int, ...], network: str) -> dict[str, Tensor]:
    """Reads the state dict in ``file``; UserError unless the shape of one entry shows that it is ``network``'s."""
    try:
        # weights_only refuses pickled code, which torch-fidelity would run when it reads the same file.
        state = torch.load(file, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
        raise UserError(f"{file} is not a readable file of weights: {error}") from None
    if not isinstance(state, dict) or key not in state or tuple(state[key].shape) != shape:
        raise UserError(f"{file} does not hold {network}: it has no {key} of shape {shape}")
    return state
