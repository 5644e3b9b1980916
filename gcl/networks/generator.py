"""The CUT family's ResNet generator, under the names of its public checkpoints.

``resampling="blur"`` is the published form: anti-aliased down- and upsampling. ``resampling="resize"`` strides the
convolution to go down and repeats pixels to go up, which is cheaper.
"""

from collections.abc import Collection

from torch import Tensor, nn

from gcl.errors import UserError
from gcl.networks.layers import BlurDownsample, BlurUpsample, InstanceNorm2d, ReflectionPad2d, initialise, normalised


class ResidualBlock(nn.Module):
    """Two reflection-padded 3x3 convolutions with instance normalisation, added to the input."""

    def __init__(self, channels: int):
        super().__init__()
        self.conv_block = nn.Sequential(
            ReflectionPad2d(1),
            nn.Conv2d(channels, channels, 3),
            InstanceNorm2d(),
            nn.ReLU(inplace=True),
            ReflectionPad2d(1),
            nn.Conv2d(channels, channels, 3),
            InstanceNorm2d(),
        )

    def forward(self, images: Tensor) -> Tensor:
        return images + self.conv_block(images)


def _down(channels: int, resampling: str) -> list[nn.Module]:
    """Layers that halve the size and double the ``channels``."""
    stride = 1 if resampling == "blur" else 2
    convolution = nn.Conv2d(channels, 2 * channels, 3, stride=stride, padding=1)
    layers = normalised(convolution, nn.ReLU(inplace=True))
    return [*layers, BlurDownsample(2 * channels)] if resampling == "blur" else layers


def _up(channels: int, resampling: str) -> list[nn.Module]:
    """Layers that double the size and halve the ``channels``."""
    larger = BlurUpsample(channels) if resampling == "blur" else nn.Upsample(scale_factor=2, mode="nearest")
    convolution = nn.Conv2d(channels, channels // 2, 3, padding=1)
    return [larger, *normalised(convolution, nn.ReLU(inplace=True))]


class Generator(nn.Module):
    """ResNet generator: 7x7 convolution, downsampling, residual blocks, upsampling, 7x7 convolution, tanh.

    Args:
        channels: base channels, doubled by every downsampling.
        blocks: residual blocks.
        downsamplings: how often the size is halved before the blocks and doubled after them.
        resampling: ``blur`` (published) or ``resize``.
    """

    def __init__(self, channels: int = 64, blocks: int = 9, downsamplings: int = 2, resampling: str = "blur"):
        super().__init__()
        self.stride = 2**downsamplings
        layers = [ReflectionPad2d(3), *normalised(nn.Conv2d(3, channels, 7), nn.ReLU(inplace=True))]
        for level in range(downsamplings):
            layers += _down(channels * 2**level, resampling)
        layers += [ResidualBlock(channels * self.stride) for _ in range(blocks)]
        for level in reversed(range(downsamplings)):
            layers += _up(channels * 2 ** (level + 1), resampling)
        layers += [ReflectionPad2d(3), nn.Conv2d(channels, 3, 7), nn.Tanh()]
        self.model = nn.Sequential(*layers)
        self.apply(initialise)

    def forward(self, images: Tensor) -> Tensor:
        """``images`` (B, 3, H, W) in [-1, 1], H and W multiples of ``stride``: the same shape and range."""
        return self.model(images)

    def encode(self, images: Tensor, layers: Collection[int]) -> list[Tensor]:
        """Features of ``images`` after the chosen entries of ``model``, in ascending order; the rest is not run.

        UserError for an entry that this generator does not have.
        """
        wrong = [layer for layer in layers if not 0 <= layer < len(self.model)]
        if wrong:
            raise UserError(f"this generator has no layer {wrong[0]}, only 0 to {len(self.model) - 1}")
        features, hidden = [], images
        for index, layer in enumerate(self.model[: max(layers) + 1]):
            hidden = layer(hidden)
            if index in layers:
                # A normalisation's output is the next layer's to change: activations work in place.
                features.append(hidden.clone() if isinstance(layer, InstanceNorm2d) else hidden)
        return features
