"""Frozen features of any network of timm that offers them (``features_only``): ImageNet networks and many others."""

import logging
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, Self

import timm
import torch
import torch.nn.functional as F
from timm.models._features import FeatureGetterNet
from torch import Tensor, nn

from gcl.networks.architectures import EncoderError
from gcl.networks.published_weights import WeightsUnavailable
from gcl.networks.weight_checks import not_finite

Scale = tuple[Sequence[float], Sequence[float]]
"""Mean and standard deviation per channel that normalise images in [0, 1]."""

# timm would warn of every entry that the lower part of a network does not need.
logging.getLogger("timm.models._builder").setLevel(logging.ERROR)


UNUSUAL = 160
"""A side in pixels that no network is bound to; a multiple of all strides."""


class TimmFeatures(nn.Module):
    """Features of images after chosen layers of a frozen network of timm.

    Layers of a network that halves the size from stage to stage are named after the pixels of the image that lie
    between two neighbouring features: stride2, stride4, ... Transformers whose blocks all have the same size have
    block1, block2, ... Only the part of the network up to the last chosen layer is kept. No parameter requires a
    gradient, but gradients flow through to the images, and the network always is in evaluation mode.

    Args:
        name: timm's name of the network.
        layers: the layers to return, at least one.
        state: the weights of the whole network by timm's names; None downloads them into timm's own cache.
        scale: what normalises images in [0, 1]; None for what timm says of the network.

    ``channels`` holds the number of channels of each layer, in the order of ``layers``, and ``strides`` the pixels
    between two neighbouring features.

    Raises EncoderError for an unknown network or layer, and for a ``state`` that does not fit or is not finite. Without
    ``state``, whatever timm's download raises.
    """

    def __init__(
        self, name: str, layers: Sequence[str], state: Mapping[str, Tensor] | None = None, scale: Scale | None = None
    ):
        super().__init__()
        names = layers_of(name)
        if not layers:
            raise EncoderError(f"timm's {name} needs at least one layer; choose from {', '.join(names)}")
        if wrong := [layer for layer in layers if layer not in names]:
            raise EncoderError(f"timm's {name} has no layer {wrong[0]}; choose from {', '.join(names)}")
        chosen = sorted({names.index(layer) for layer in layers})
        self.network = _loaded(name, chosen, state)
        self.order = [chosen.index(names.index(layer)) for layer in layers]
        widths, reductions = self.network.feature_info.channels(), self.network.feature_info.reduction()
        self.channels = [widths[index] for index in self.order]
        self.strides = [reductions[index] for index in self.order]
        config = self.network.pretrained_cfg
        for buffer, values in zip(
            ("mean", "standard_deviation"), scale or (config["mean"], config["std"]), strict=True
        ):
            self.register_buffer(buffer, torch.tensor(values).view(3, 1, 1), persistent=False)  # (3,) -> (3, 1, 1)
        self.requires_grad_(False)
        self.eval()

    def train(self, mode: bool = True) -> Self:
        """Stays in evaluation mode whatever ``mode`` is, so that the model around it can switch freely."""
        return super().train(False)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Maps images (B, 3, H, W) in [-1, 1] to one (B, C, H', W') per chosen layer, in the order given.

        H' and W' are H and W divided by the layer's stride, rounded up.
        """
        height, width = images.shape[-2:]
        # Networks differ in what they do where a stride does not divide a side: some refuse, others pad at the top and
        # shift all features. With a border of zeros at the right and at the bottom, every one of them divides it.
        border = (0, -width % max(self.strides), 0, -height % max(self.strides))
        features = self.network(F.pad(((images + 1) / 2 - self.mean) / self.standard_deviation, border))
        if str(getattr(self.network, "output_fmt", "NCHW")).endswith("NHWC"):
            features = [maps.permute(0, 3, 1, 2) for maps in features]  # (B, H', W', C) -> (B, C, H', W')
        # What lies wholly in the border is left out.
        return [
            features[index][..., : -(-height // stride), : -(-width // stride)]
            for index, stride in zip(self.order, self.strides, strict=True)
        ]


def published_features(name: str, layers: Sequence[str]) -> TimmFeatures:
    """The features with the weights that timm finds in its cache, or downloads into it; WeightsUnavailable if neither
    works."""
    try:
        return TimmFeatures(name, layers)
    except EncoderError:
        raise
    # What a download raises depends on the library with which timm makes it.
    except Exception as error:
        raise WeightsUnavailable(
            f"timm could not get the weights of {name}: {' '.join(str(error).split())[:300].rstrip('.')}. Either run "
            "once with a network; or set encoder.weights to a local file of timm's weights; or set encoder.name to "
            "efficientnet_lite0, which needs no download"
        ) from None


@cache
def layers_of(name: str) -> Sequence[str]:
    """The names of the layers of timm's network ``name``, found once in a process.

    EncoderError if timm has no such network or no features of it, or if it is bound to one size of images.
    """
    with torch.device("meta"):
        network = _created(name)
        try:
            # Nothing is computed on this device, but shapes are checked.
            network(torch.zeros(1, 3, UNUSUAL, UNUSUAL))
        except (AssertionError, RuntimeError) as error:
            raise EncoderError(
                f"encoder.name: timm's {name} takes images of its own size only ({error}); choose another network"
            ) from error
    if isinstance(network, FeatureGetterNet):
        return [f"block{number}" for number in range(1, _depth(name) + 1)]
    return [f"stride{stride}" for stride in network.feature_info.reduction()]


def _depth(name: str) -> int:
    """The number of the blocks of a transformer."""
    with torch.device("meta"):
        return len(timm.create_model(name, pretrained=False).feature_info)


def _created(name: str, **arguments: Any) -> nn.Module:
    """timm's network with ``features_only``, for images of any size where the network allows that."""
    if not timm.is_model(name):
        similar = timm.list_models(f"*{name.split('.')[0]}*")[:6]
        told = f"; similar names are {', '.join(similar)}" if similar else "; see timm.list_models()"
        raise EncoderError(f"encoder.name: timm has no network {name}{told}")
    # Transformers refuse images of another size than they were trained on, unless they are told otherwise.
    for any_size in ({"dynamic_img_size": True, "dynamic_img_pad": True}, {"strict_img_size": False}, {}):
        try:
            return timm.create_model(name, features_only=True, **any_size, **arguments)
        except TypeError as error:
            if not any_size or not any(key in str(error) for key in any_size):
                raise EncoderError(f"encoder.name: timm gives no features of {name}: {error}") from error
        except (RuntimeError, AttributeError, NotImplementedError, AssertionError) as error:
            raise EncoderError(f"encoder.name: timm gives no features of {name}: {error}") from error
    raise AssertionError("the last attempt returns or raises")


def _loaded(name: str, indices: Sequence[int], state: Mapping[str, Tensor] | None) -> nn.Module:
    """The part of the network up to the last of the layers numbered ``indices``, with its weights."""
    arguments: dict[str, Any] = {"pretrained": True, "out_indices": tuple(indices)}
    if state is not None:
        _check(name, state)
        arguments["pretrained_cfg_overlay"] = {"state_dict": dict(state)}
    network = _created(name, **arguments)
    # Networks of the EfficientNet family keep, and run, the blocks after the last chosen one.
    if hasattr(network, "blocks") and hasattr(network, "_stage_out_idx"):
        network.blocks = network.blocks[: max(network._stage_out_idx)]
    return network


def _check(name: str, state: Mapping[str, Tensor]) -> None:
    """EncoderError unless ``state`` holds the whole network, whose features would be loaded without a check."""
    if told := not_finite(state):
        raise EncoderError(f"the weights of {name}: {told}")
    try:
        timm.create_model(name, pretrained=True, pretrained_cfg_overlay={"state_dict": dict(state)})
    except (RuntimeError, KeyError) as error:
        first = " ".join(str(error).split())[:300]
        raise EncoderError(f"the weights do not fit timm's {name}: {first}") from error
