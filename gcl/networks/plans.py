"""What the networks look like, told without building one: nothing here imports torch."""

from dataclasses import dataclass

from gcl.errors import UserError


class EncoderError(UserError, ValueError):
    """A layer that the network does not have, or a file that does not hold the network."""


@dataclass(frozen=True)
class Plan:
    """The shape of a VGG-like network: width and number of 3x3 convolutions of each block, and the scale of its input.

    ``mean`` and ``standard_deviation`` are those of images in [0, 1], by channel; at 0.5 both, images in [-1, 1]
    reach the first convolution as they are.
    """

    widths: tuple[int, ...]
    convolutions: tuple[int, ...]
    mean: tuple[float, float, float] = (0.5, 0.5, 0.5)
    standard_deviation: tuple[float, float, float] = (0.5, 0.5, 0.5)

    def layers(self) -> list[str]:
        """The layers that features can be taken from, all ReLUs, from the image upwards: relu{block}_{convolution}."""
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
    """The number of the last layer of :class:`gcl.networks.generator.Generator`, whose layers are numbered from 0."""
    down = {"blur": 4, "resize": 3}[resampling]
    # Padding, convolution, normalisation and activation before all others; padding, convolution and tanh after them.
    return 4 + (down + 4) * downsamplings + blocks + 3 - 1
