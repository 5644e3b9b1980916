"""The discriminators that there are. A new one is a module and a row here; importing this does not import torch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gcl.config import DiscriminatorConfig
from gcl.errors import UserError

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class DiscriminatorKind:
    """One discriminator.

    Attributes:
        build: its parameters to the network, from images (B, 3, H, W) in [-1, 1] to a map of scores (B, 1, h, w).
        fits: its parameters and the side of a crop, in pixels, to whether any score is left of such a crop.
    """

    build: Callable[[DiscriminatorConfig], nn.Module]
    fits: Callable[[DiscriminatorConfig, int], bool]


def _patch(config: DiscriminatorConfig) -> nn.Module:
    from gcl.networks.discriminator import Discriminator

    return Discriminator(config.channels, config.layers, config.spectral_norm)


def _patch_fits(config: DiscriminatorConfig, crop: int) -> bool:
    for _ in range(config.layers):
        crop //= 2  # a 4x4 convolution takes a pixel off, blurred downsampling halves, rounding up
    return crop >= 3


DISCRIMINATORS = {"patch": DiscriminatorKind(_patch, _patch_fits)}


def build_discriminator(config: DiscriminatorConfig) -> nn.Module:
    """The discriminator of these parameters, freshly initialised."""
    return DISCRIMINATORS[config.name].build(config)


def check_discriminator(config: DiscriminatorConfig, crop_size: int) -> None:
    """UserError for an unknown name, and for more layers than a crop of ``crop_size`` pixels leaves room for."""
    if config.name not in DISCRIMINATORS:
        known = ", ".join(DISCRIMINATORS)
        raise UserError(f"discriminator.name = {config.name}: there is no such discriminator; there are {known}")
    if not DISCRIMINATORS[config.name].fits(config, crop_size):
        raise UserError(
            f"discriminator.layers {config.layers} are too many for train.crop_size {crop_size}: "
            "nothing would be left of the image"
        )
