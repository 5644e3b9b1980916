"""The layers that generator and discriminator share, with the names of the CUT family's public checkpoints.

Down- and upsampling are anti-aliased with fixed binomial filters (Zhang, 2019), as published.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gcl.networks.channel_statistics import ChannelStatistics


def binomial_filter(channels: int, taps: int) -> Tensor:
    """The normalised binomial filter (channels, 1, taps, taps): [1,2,1] for 3 taps, [1,3,3,1] for 4."""
    line = torch.tensor({3: [1.0, 2.0, 1.0], 4: [1.0, 3.0, 3.0, 1.0]}[taps])
    plane = torch.outer(line, line)
    return (plane / plane.sum()).expand(channels, 1, taps, taps).clone()


class ReflectionPad2d(nn.ReflectionPad2d):
    """Like torch's, but keeps the type of its input under autocast, which on a CPU would pad in float32."""

    def forward(self, images: Tensor) -> Tensor:
        """(B, C, H, W) to the padded images."""
        with torch.autocast(images.device.type, enabled=False):
            return super().forward(images)


FEW_POSITIONS = 2**16
"""As many values can be added up in float32 without losing digits that matter."""


class InstanceNorm2d(nn.Module):
    """``(x - mean) / sqrt(variance + 1e-5)`` over the positions of every image and channel.

    The memory format of the input is kept; torch's own converts channels-last tensors to the other format and back in
    every layer. Channels-last images are normalised one at a time by batch normalisation, which suits the small batches
    of this method. On a CPU, however, it adds up in float32: values of a map of 24 million positions came out wrong by
    0.16. So large pictures are normalised by statistics in float64 when they are translated.
    """

    def forward(self, images: Tensor) -> Tensor:
        """(B, C, H, W) to the same shape."""
        # On mps the gradients of channels-last batch normalisation are wrong (pytorch#175189).
        if images.device.type == "mps" or not images.is_contiguous(memory_format=torch.channels_last):
            return F.instance_norm(images)
        positions = images.shape[2] * images.shape[3]
        if positions > FEW_POSITIONS and images.device.type == "cpu" and not torch.is_grad_enabled():
            normalised = [exactly_normalised(image) for image in images.split(1)]
        else:
            normalised = [F.batch_norm(image, None, None, training=True) for image in images.split(1)]
        return torch.cat(normalised) if len(normalised) > 1 else normalised[0]


def exactly_normalised(images: Tensor) -> Tensor:
    """Instance normalisation of one image (1, C, H, W) by statistics in float64."""
    statistics = ChannelStatistics()
    statistics.add(images)
    return statistics.normalise(images.clone()).to(images.dtype)


class PositionNorm2d(nn.Module):
    """``(x - mean) / sqrt(variance + 1e-5)`` over the channels of every position (Li et al., NeurIPS 2019).

    Unlike with instance normalisation, what becomes of a position does not depend on the size of the picture or on
    what else is in it. A network for single pictures, which is trained on small crops, needs that.
    """

    def forward(self, images: Tensor) -> Tensor:
        """(B, C, H, W) to the same shape."""
        positions = images.permute(0, 2, 3, 1)  # (B, H, W, C)
        return F.layer_norm(positions, positions.shape[3:]).permute(0, 3, 1, 2)


NORMALIZATIONS = {"instance": InstanceNorm2d, "position": PositionNorm2d}
"""The choices of ``generator.normalization``."""


class BlurDownsample(nn.Module):
    """Blurs with [1,2,1] and keeps every second pixel: (B, C, H, W) -> (B, C, ceil(H/2), ceil(W/2))."""

    def __init__(self, channels: int):
        super().__init__()
        self.pad = ReflectionPad2d(1)
        self.register_buffer("filt", binomial_filter(channels, taps=3))

    def forward(self, images: Tensor) -> Tensor:
        return F.conv2d(self.pad(images), self.filt, stride=2, groups=images.shape[1])


class BlurUpsample(nn.Module):
    """Doubles height and width with the [1,3,3,1] filter: (B, C, H, W) -> (B, C, 2H, 2W).

    This equals bilinear interpolation, which is much faster than the transposed convolution with the filter.
    """

    def __init__(self, channels: int):
        super().__init__()
        # The filter is not used; every public checkpoint holds it.
        self.register_buffer("filt", 4 * binomial_filter(channels, taps=4))

    def forward(self, images: Tensor) -> Tensor:
        return F.interpolate(images, scale_factor=2, mode="bilinear", align_corners=False)


def normalised(
    convolution: nn.Module, activation: nn.Module, normalization: type[nn.Module] = InstanceNorm2d
) -> list[nn.Module]:
    return [convolution, normalization(), activation]


def count_parameters(network: nn.Module) -> int:
    """The number of trainable parameters of ``network``."""
    return sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad)


def initialise(module: nn.Module) -> None:
    """Initialises convolutions with Xavier at gain 0.02 and zero biases, as published."""
    if isinstance(module, nn.Conv2d):
        nn.init.xavier_normal_(module.weight, gain=0.02)
        nn.init.zeros_(module.bias)


def initialise_for_relu(module: nn.Module) -> None:
    """Initialises convolutions so that ReLUs keep the variance (He et al., 2015), with zero biases."""
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        nn.init.zeros_(module.bias)
