"""The table of discriminators. A new one is a module and a row here; importing this module does not import torch."""

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
        build: builds the network from its parameters; it maps images (B, 3, H, W) in [-1, 1] to scores (B, S, h, w).
        loss: the name of its usual loss in :mod:`gcl.training.gan_losses`.
        fits: given its parameters and the side of a crop in pixels, says whether such a crop gets any score.
    """

    build: Callable[[DiscriminatorConfig], nn.Module]
    loss: str
    fits: Callable[[DiscriminatorConfig, int], bool]


def _patch(config: DiscriminatorConfig) -> nn.Module:
    from gcl.networks.patch_discriminator import Discriminator

    return Discriminator(config.channels, config.layers, config.spectral_norm)


def _patch_fits(config: DiscriminatorConfig, crop: int) -> bool:
    for _ in range(config.layers):
        crop //= 2  # a 4x4 convolution takes off one pixel; blurred downsampling halves the side, rounding up
    return crop >= 3


def _projected(config: DiscriminatorConfig) -> nn.Module:
    from gcl.networks.projected_discriminator import ProjectedDiscriminator

    return ProjectedDiscriminator(config.channels)


DISCRIMINATORS = {
    "patch": DiscriminatorKind(_patch, "least_squares", _patch_fits),
    "projected": DiscriminatorKind(_projected, "hinge", lambda config, crop: True),
}


def build_discriminator(config: DiscriminatorConfig) -> nn.Module:
    """Builds the discriminator with these parameters, freshly initialised."""
    return DISCRIMINATORS[config.name].build(config)


def check_discriminator(config: DiscriminatorConfig, crop_size: int) -> None:
    """UserError for an unknown name, or for more layers than a crop of ``crop_size`` pixels leaves room for."""
    if config.name not in DISCRIMINATORS:
        known = ", ".join(DISCRIMINATORS)
        raise UserError(f"discriminator.name = {config.name}: there is no such discriminator; choose from {known}")
    if not DISCRIMINATORS[config.name].fits(config, crop_size):
        raise UserError(
            f"discriminator.layers {config.layers} is too many for train.crop_size {crop_size}: "
            "nothing would be left of the image"
        )
