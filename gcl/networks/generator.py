"""The CUT family's ResNet generator, with the parameter names of its public checkpoints.

``resampling="blur"`` is the published form: anti-aliased down- and upsampling. ``resampling="resize"`` is cheaper: it
downsamples with strided convolutions and upsamples by repeating pixels.
"""

from collections.abc import Collection

import torch
from torch import Tensor, nn

from gcl.errors import UserError
from gcl.networks.layers import (
    NORMALIZATIONS,
    BlurDownsample,
    BlurUpsample,
    ReflectionPad2d,
    initialise,
    initialise_for_relu,
    normalised,
)

INSIDE = 0.997
"""What images are multiplied by before artanh, which is infinite at 1; rounded to 8 bits, they stay the same."""


class ResidualBlock(nn.Module):
    """Two reflection-padded 3x3 convolutions with normalisation, added to the input."""

    def __init__(self, channels: int, normalization: type[nn.Module]):
        super().__init__()
        self.conv_block = nn.Sequential(
            ReflectionPad2d(1),
            nn.Conv2d(channels, channels, 3),
            normalization(),
            nn.ReLU(inplace=True),
            ReflectionPad2d(1),
            nn.Conv2d(channels, channels, 3),
            normalization(),
        )

    def forward(self, images: Tensor) -> Tensor:
        return images + self.conv_block(images)


def _down(channels: int, resampling: str, normalization: type[nn.Module]) -> list[nn.Module]:
    """The layers that halve the size and double the ``channels``."""
    stride = 1 if resampling == "blur" else 2
    convolution = nn.Conv2d(channels, 2 * channels, 3, stride=stride, padding=1)
    layers = normalised(convolution, nn.ReLU(inplace=True), normalization)
    return [*layers, BlurDownsample(2 * channels)] if resampling == "blur" else layers


def _up(channels: int, resampling: str, normalization: type[nn.Module]) -> list[nn.Module]:
    """The layers that double the size and halve the ``channels``."""
    larger = BlurUpsample(channels) if resampling == "blur" else nn.Upsample(scale_factor=2, mode="nearest")
    convolution = nn.Conv2d(channels, channels // 2, 3, padding=1)
    return [larger, *normalised(convolution, nn.ReLU(inplace=True), normalization)]


class Generator(nn.Module):
    """ResNet generator: 7x7 convolution, downsampling, residual blocks, upsampling, 7x7 convolution, tanh.

    Args:
        channels: base channels, doubled by every downsampling.
        blocks: the number of residual blocks.
        downsamplings: how often the size is halved before the blocks and doubled after them.
        resampling: ``blur`` (published) or ``resize``.
        residual: whether only the change is learned: ``G(x) = tanh(f(x) + artanh(0.997 x))``, where f is everything
            before the tanh and 0 at first. Colours and details then stay unless the training finds a reason to change
            them.
        normalization: ``instance`` (published), which takes the statistics of each channel over the whole picture, or
            ``position``, which takes those of each position over its channels.
    """

    def __init__(
        self,
        channels: int = 64,
        blocks: int = 9,
        downsamplings: int = 2,
        resampling: str = "blur",
        residual: bool = False,
        normalization: str = "instance",
    ):
        super().__init__()
        self.stride, self.residual = 2**downsamplings, residual
        norm = NORMALIZATIONS[normalization]
        layers = [ReflectionPad2d(3), *normalised(nn.Conv2d(3, channels, 7), nn.ReLU(inplace=True), norm)]
        for level in range(downsamplings):
            layers += _down(channels * 2**level, resampling, norm)
        layers += [ResidualBlock(channels * self.stride, norm) for _ in range(blocks)]
        for level in reversed(range(downsamplings)):
            layers += _up(channels * 2 ** (level + 1), resampling, norm)
        layers += [ReflectionPad2d(3), nn.Conv2d(channels, 3, 7), nn.Tanh()]
        self.model = nn.Sequential(*layers)
        self.apply(initialise)
        if normalization == "position":
            # Adam's steps do not shrink with the weights: with the published gain of 0.02 they would turn too fast.
            self.model[:-2].apply(initialise_for_relu)
        if residual:
            nn.init.zeros_(self.model[-2].weight)

    def forward(self, images: Tensor) -> Tensor:
        """Translates ``images`` (B, 3, H, W) in [-1, 1], H and W multiples of ``stride``; same shape and range."""
        if not self.residual:
            return self.model(images)
        return torch.tanh(self.model[:-1](images) + torch.atanh(INSIDE * images))

    def encode(self, images: Tensor, layers: Collection[int]) -> list[Tensor]:
        """The features of ``images`` after the chosen ``layers`` of ``model``, in ascending order.

        The layers after the last chosen one are not run, and a residual generator's input is not added. UserError for a
        layer that this generator does not have.
        """
        wrong = [layer for layer in layers if not 0 <= layer < len(self.model)]
        if wrong:
            raise UserError(f"this generator has no layer {wrong[0]}, only 0 to {len(self.model) - 1}")
        features, hidden = [], images
        for index, layer in enumerate(self.model[: max(layers) + 1]):
            hidden = layer(hidden)
            if index in layers:
                # The next layer, an activation, works in place and would change a normalisation's output.
                features.append(hidden.clone() if isinstance(layer, tuple(NORMALIZATIONS.values())) else hidden)
        return features
