"""The CUT family's ResNet generator and PatchGAN discriminator, under the names of their public checkpoints.

``resampling="blur"`` is the published form: anti-aliased down- and upsampling with fixed binomial filters
(Zhang, 2019). ``resampling="resize"`` strides the convolution to go down and repeats pixels to go up: cheaper.
"""

from collections.abc import Collection

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrizations

from gcl.errors import UserError


def binomial_filter(channels: int, taps: int) -> Tensor:
    """The normalised binomial filter, one (1, taps, taps) a channel: [1,2,1] for 3 taps, [1,3,3,1] for 4."""
    line = torch.tensor({3: [1.0, 2.0, 1.0], 4: [1.0, 3.0, 3.0, 1.0]}[taps])
    plane = torch.outer(line, line)
    return (plane / plane.sum()).expand(channels, 1, taps, taps).clone()


class ReflectionPad2d(nn.ReflectionPad2d):
    """As torch's, but in the type of its input also under autocast, which would pad in float32 on a CPU."""

    def forward(self, images: Tensor) -> Tensor:
        """(B, C, H, W) to the padded images."""
        with torch.autocast(images.device.type, enabled=False):
            return super().forward(images)


class InstanceNorm2d(nn.Module):
    """``(x - mean) / sqrt(variance + 1e-5)`` over the positions of every image and channel.

    In the memory format of its input: torch's own turns channels-last tensors over, twice a layer. Of these, images
    are normalised one after the other, by what normalises a batch: meant for the small batches of this method.
    """

    def forward(self, images: Tensor) -> Tensor:
        """(B, C, H, W) to the same shape."""
        # On mps the gradients of channels-last batch normalisation are wrong (pytorch#175189).
        if images.device.type == "mps" or not images.is_contiguous(memory_format=torch.channels_last):
            return F.instance_norm(images)
        normalised = [F.batch_norm(image, None, None, training=True) for image in images.split(1)]
        return torch.cat(normalised) if len(normalised) > 1 else normalised[0]


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

    That is linear interpolation, which is computed much faster than the transposed convolution with the filter.
    """

    def __init__(self, channels: int):
        super().__init__()
        # An entry of every public checkpoint.
        self.register_buffer("filt", 4 * binomial_filter(channels, taps=4))

    def forward(self, images: Tensor) -> Tensor:
        return F.interpolate(images, scale_factor=2, mode="bilinear", align_corners=False)


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


def _normalised(convolution: nn.Module, activation: nn.Module) -> list[nn.Module]:
    return [convolution, InstanceNorm2d(), activation]


def _down(channels: int, resampling: str) -> list[nn.Module]:
    """Layers that halve the size and double the ``channels``."""
    stride = 1 if resampling == "blur" else 2
    convolution = nn.Conv2d(channels, 2 * channels, 3, stride=stride, padding=1)
    layers = _normalised(convolution, nn.ReLU(inplace=True))
    return [*layers, BlurDownsample(2 * channels)] if resampling == "blur" else layers


def _up(channels: int, resampling: str) -> list[nn.Module]:
    """Layers that double the size and halve the ``channels``."""
    larger = BlurUpsample(channels) if resampling == "blur" else nn.Upsample(scale_factor=2, mode="nearest")
    convolution = nn.Conv2d(channels, channels // 2, 3, padding=1)
    return [larger, *_normalised(convolution, nn.ReLU(inplace=True))]


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
        layers = [ReflectionPad2d(3), *_normalised(nn.Conv2d(3, channels, 7), nn.ReLU(inplace=True))]
        for level in range(downsamplings):
            layers += _down(channels * 2**level, resampling)
        layers += [ResidualBlock(channels * self.stride) for _ in range(blocks)]
        for level in reversed(range(downsamplings)):
            layers += _up(channels * 2 ** (level + 1), resampling)
        layers += [ReflectionPad2d(3), nn.Conv2d(channels, 3, 7), nn.Tanh()]
        self.model = nn.Sequential(*layers)
        self.apply(_initialise)

    def forward(self, images: Tensor) -> Tensor:
        """``images`` (B, 3, H, W) in [-1, 1], H and W multiples of ``stride``: the same shape and range."""
        return self.model(images)

    def encode(self, images: Tensor, layers: Collection[int]) -> list[Tensor]:
        """Features of ``images`` after the chosen entries of ``model``, in ascending order; the rest is not run.

        UserError for an entry that this generator does not have.
        """
        wrong = [layer for layer in layers if not 0 <= layer < len(self.model)]
        if wrong:
            raise UserError(f"cut.layers: this generator has no layer {wrong[0]}, only 0 to {len(self.model) - 1}")
        features, hidden = [], images
        for index, layer in enumerate(self.model[: max(layers) + 1]):
            hidden = layer(hidden)
            if index in layers:
                # A normalisation's output is the next layer's to change: activations work in place.
                features.append(hidden.clone() if isinstance(layer, InstanceNorm2d) else hidden)
        return features


class Discriminator(nn.Module):
    """PatchGAN: a map of scores, each of one patch; three strided layers see 70x70 pixels.

    Args:
        channels: base channels, doubled by every strided layer up to eight times.
        layers: strided layers.
        spectral_norm: whether every convolution is divided by the largest singular value of its weights
            (Miyato et al., 2018), so that the scores cannot rise ever steeper between real and translated images.
    """

    def __init__(self, channels: int = 64, layers: int = 3, spectral_norm: bool = False):
        super().__init__()
        modules = [nn.Conv2d(3, channels, 4, padding=1), nn.LeakyReLU(0.2, inplace=True), BlurDownsample(channels)]
        width = channels
        for level in range(1, layers + 1):
            wider = channels * min(2**level, 8)
            convolution = nn.Conv2d(width, wider, 4, padding=1)
            modules += _normalised(convolution, nn.LeakyReLU(0.2, inplace=True))
            if level < layers:
                modules.append(BlurDownsample(wider))
            width = wider
        modules.append(nn.Conv2d(width, 1, 4, padding=1))
        self.model = nn.Sequential(*modules)
        self.apply(_initialise)
        if spectral_norm:
            for module in self.model:
                _divide_by_largest_singular_value(module)

    def forward(self, images: Tensor) -> Tensor:
        """``images`` (B, 3, H, W) in [-1, 1]: a score map (B, 1, h, w), about 1 where patches look real."""
        return self.model(images)


def count_parameters(network: nn.Module) -> int:
    """How many numbers of ``network`` are trained."""
    return sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad)


def _divide_by_largest_singular_value(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d):
        # Divided, small weights are as large as others, but move faster: Adam's steps do not shrink with them.
        nn.init.xavier_normal_(module.weight)
        parametrizations.spectral_norm(module)


def _initialise(module: nn.Module) -> None:
    """Xavier with gain 0.02 and zero biases, as published."""
    if isinstance(module, nn.Conv2d):
        nn.init.xavier_normal_(module.weight, gain=0.02)
        nn.init.zeros_(module.bias)
