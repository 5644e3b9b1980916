"""A discriminator on the features of a frozen ImageNet network, which learns fast from few photographs.

Sauer et al., *Projected GANs Converge Faster*, NeurIPS 2021.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrizations

from gcl.networks.efficientnet_lite import lite_features

LAYERS = ("stride4", "stride8", "stride16")
MIXED = 64
"""Channels of the mixed features."""

SMALLEST = 96
"""The shorter side, in pixels, to which smaller images are enlarged.

The network's first convolution is evaluated at every other pixel. At 64 pixels it let the generator draw a grid of
single pixels.
"""


class ProjectedDiscriminator(nn.Module):
    """Scores of features of EfficientNet-Lite1 at several scales, mixed at random, by one small head for each scale.

    The frozen features are mixed across channels by random 1x1 convolutions, then across scales by random 3x3
    convolutions from the coarsest to the finest, both frozen. They keep the discriminator from looking only at the few
    features that tell it most. Only the heads learn, with spectral normalisation.

    Args:
        channels: the width of the heads.
    """

    def __init__(self, channels: int = 96):
        super().__init__()
        self.features = lite_features(1, LAYERS)
        self.across_channels = nn.ModuleList([_random(nn.Conv2d(width, MIXED, 1)) for width in self.features.channels])
        self.across_scales = nn.ModuleList([_random(nn.Conv2d(MIXED, MIXED, 3, padding=1)) for _ in LAYERS])
        self.heads = nn.ModuleList([_head(channels) for _ in LAYERS])

    def forward(self, images: Tensor) -> Tensor:
        """Maps ``images`` (B, 3, H, W) in [-1, 1] to scores (B, scales, H/4, W/4), above 0 where they look real.

        The maps of coarser scales are enlarged by repetition, so that all scales weigh the same. Images smaller than
        SMALLEST are enlarged first, and H and W are the sides that they have then.
        """
        if (shorter := min(images.shape[-2:])) < SMALLEST:
            size = [round(side * SMALLEST / shorter) for side in images.shape[-2:]]
            images = F.interpolate(images, size=size, mode="bilinear", align_corners=False)
        scores = [head(maps) for head, maps in zip(self.heads, self._mixed(images), strict=True)]
        size = scores[0].shape[-2:]
        return torch.cat([F.interpolate(each, size=size, mode="nearest") for each in scores], dim=1)

    def _mixed(self, images: Tensor) -> Sequence[Tensor]:
        """One (B, MIXED, H', W') for each scale, from the finest on."""
        scales = [mix(maps) for mix, maps in zip(self.across_channels, self.features(images), strict=True)]
        mixed, coarser = [], None
        for maps, mix in zip(reversed(scales), reversed(self.across_scales), strict=True):
            if coarser is not None:
                maps = maps + F.interpolate(coarser, size=maps.shape[-2:], mode="bilinear", align_corners=False)
            coarser = mix(maps)
            mixed.append(coarser)
        return mixed[::-1]


def _random(convolution: nn.Conv2d) -> nn.Conv2d:
    nn.init.kaiming_normal_(convolution.weight, nonlinearity="linear")
    nn.init.zeros_(convolution.bias)
    return convolution.requires_grad_(False)


def _head(channels: int) -> nn.Sequential:
    convolutions = (
        nn.Conv2d(MIXED, channels, 3, padding=1),
        nn.Conv2d(channels, channels, 3, padding=1),
        nn.Conv2d(channels, 1, 1),
    )
    first, second, last = (parametrizations.spectral_norm(each) for each in convolutions)
    return nn.Sequential(first, nn.LeakyReLU(0.2), second, nn.LeakyReLU(0.2), last)
