"""The shapes of the networks, known without building them: nothing here imports torch."""

from dataclasses import dataclass

from gcl.errors import UserError


class EncoderError(UserError, ValueError):
    """The network does not have this layer, or the file does not hold this network."""


@dataclass(frozen=True)
class Plan:
    """The shape of a VGG-like network: the width and number of 3x3 convolutions per block, and the scale of its input.

    ``mean`` and ``standard_deviation`` normalise images in [0, 1], per channel. With 0.5 for both, images in [-1, 1]
    reach the first convolution unchanged.
    """

    widths: tuple[int, ...]
    convolutions: tuple[int, ...]
    mean: tuple[float, float, float] = (0.5, 0.5, 0.5)
    standard_deviation: tuple[float, float, float] = (0.5, 0.5, 0.5)

    def layers(self) -> list[str]:
        """The layers that features can be taken from: all ReLUs, from the image on, as relu{block}_{convolution}."""
        return [
            f"relu{block}_{convolution}"
            for block, depth in enumerate(self.convolutions, start=1)
            for convolution in range(1, depth + 1)
        ]

    def block_ends(self) -> list[str]:
        """The last ReLU of each block."""
        return [f"relu{block}_{depth}" for block, depth in enumerate(self.convolutions, start=1)]


SMALL = Plan(widths=(16, 48, 96), convolutions=(2, 2, 2))
JUDGE = Plan(widths=(16, 32, 64, 64), convolutions=(1, 2, 2, 2))
VGG16 = Plan(
    widths=(64, 128, 256, 512, 512),
    convolutions=(2, 2, 3, 3, 3),
    mean=(0.485, 0.456, 0.406),
    standard_deviation=(0.229, 0.224, 0.225),
)


def last_generator_layer(blocks: int, downsamplings: int, resampling: str) -> int:
    """The index of the last layer of :class:`gcl.networks.generator.Generator`; layers are numbered from 0."""
    down = {"blur": 4, "resize": 3}[resampling]
    # First come padding, convolution, normalisation and activation; last come padding, convolution and tanh.
    return 4 + (down + 4) * downsamplings + blocks + 3 - 1
