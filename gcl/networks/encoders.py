"""The table of encoders: frozen networks whose features become the nodes of the graphs.

A new encoder is a function that loads it, and a row in ENCODERS. Importing this module does not import torch, so that
the names of layers can be checked before anything slow begins.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from gcl.networks.architectures import SMALL, VGG16, EncoderError

if TYPE_CHECKING:
    from torch import nn

STRIDES = ("stride2", "stride4", "stride8", "stride16", "stride32")
"""The layers of an EfficientNet: the last block of every resolution."""

BUNDLED = Path(__file__).parent / "weights" / "encoder.safetensors"


@dataclass(frozen=True)
class EncoderKind:
    """One encoder.

    Attributes:
        layers: returns the layers that features can be taken from, in order from the image on.
        load: (chosen layers, local file of weights or None) -> the frozen network. It maps images (B, 3, H, W) in
            [-1, 1] to one (B, C, H', W') per chosen layer. Its attribute ``channels`` lists their C, and ``strides``
            the pixels between two neighbouring features: feature (i, j) stands for the square of that side whose first
            pixel is (i * stride, j * stride).
        untrained: chosen layers -> a network with random weights, whose state ``load`` accepts as a file; None if the
            weights are never downloaded.
    """

    layers: Callable[[], Sequence[str]]
    load: Callable[[Sequence[str], Path | None], nn.Module]
    untrained: Callable[[Sequence[str]], nn.Module] | None = None


def _small(layers: Sequence[str], weights: Path | None) -> nn.Module:
    """The network bundled with this project, pretrained on procedural textures."""
    from gcl.networks.vgg import Encoder

    return Encoder(SMALL, layers).load(weights or BUNDLED)


def _vgg16(layers: Sequence[str], weights: Path | None) -> nn.Module:
    """VGG16 with torchvision's ImageNet weights, from torch's hub cache or downloaded into it."""
    from torchvision.models import VGG16_Weights

    from gcl.networks.published_weights import local_or_published
    from gcl.networks.vgg import Encoder

    encoder, url = Encoder(VGG16, layers), VGG16_Weights.IMAGENET1K_V1.url
    return encoder.load(local_or_published(weights, url, "encoder.weights", "encoder.name to small"))


def _untrained_vgg16(layers: Sequence[str]) -> nn.Module:
    from gcl.networks.vgg import Encoder

    return Encoder(VGG16, layers)


def _lite0(layers: Sequence[str], weights: Path | None) -> nn.Module:
    """EfficientNet-Lite0 with ImageNet weights, which a Python package holds."""
    from gcl.networks.efficientnet_lite import lite_features

    return lite_features(0, layers, weights)


ENCODERS = {
    "small": EncoderKind(SMALL.layers, _small),
    "vgg16": EncoderKind(VGG16.layers, _vgg16, _untrained_vgg16),
    "efficientnet_lite0": EncoderKind(lambda: STRIDES, _lite0),
}

TIMM = "timm/"
"""What the name of an encoder begins with that is any of timm's networks: timm/resnet50, ..."""


def encoder_kind(name: str) -> EncoderKind:
    """The row of encoder.name ``name``; EncoderError for an unknown one."""
    if name.startswith(TIMM):
        return _of_timm(name.removeprefix(TIMM))
    if name not in ENCODERS:
        known = ", ".join([*ENCODERS, f"{TIMM}NAME"])
        raise EncoderError(f"encoder.name = {name}: there is no such encoder; choose from {known}")
    return ENCODERS[name]


def _of_timm(name: str) -> EncoderKind:
    """Any network of timm: its weights come from encoder.weights, timm's cache or its download."""

    def layers() -> Sequence[str]:
        from gcl.networks.timm_features import layers_of

        return layers_of(name)

    def load(layers: Sequence[str], weights: Path | None) -> nn.Module:
        from gcl.networks.timm_features import TimmFeatures, published_features
        from gcl.networks.weight_files import read_state

        return published_features(name, layers) if weights is None else TimmFeatures(name, layers, read_state(weights))

    def untrained(_: Sequence[str]) -> nn.Module:
        import timm

        return timm.create_model(name)

    return EncoderKind(layers, load, untrained)


def check_encoder(name: str, layers: Sequence[str]) -> None:
    """EncoderError for an unknown name, or for a layer that the encoder does not have."""
    known = encoder_kind(name).layers()
    for layer in layers:
        if layer not in known:
            choices = ", ".join(known)
            raise EncoderError(f"encoder.layers: encoder.name {name} has no layer {layer}; choose from {choices}")


def load_encoder(name: str, layers: Sequence[str], weights: Path | None = None) -> nn.Module:
    """Loads the encoder ``name``, which returns its features after the given ``layers``.

    Layers of the VGG family are named relu{block}_{convolution}. Those of efficientnet_lite0 and of timm's networks are
    named stride2, stride4, ... after the pixels between two neighbouring features, or block1, block2, ... in
    transformers.

    ``weights`` is a local file to read instead of the published, packaged or bundled one: .safetensors, or a state dict
    that torch.save wrote.

    Raises EncoderError for an unknown name or layer or a file that does not fit, FileNotFoundError for a missing file,
    and WeightsUnavailable if published weights are neither on disk nor downloadable.
    """
    check_encoder(name, layers)
    return encoder_kind(name).load(layers, weights)
