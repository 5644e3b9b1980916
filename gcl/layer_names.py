"""Which layers of the networks can be asked for, told without building one."""

ENCODER_BLOCKS = {"small": (2, 2, 2), "vgg16": (2, 2, 3, 3, 3)}
"""Convolutions of each block, by the encoder's name."""


def encoder_layers(name: str) -> list[str]:
    """The layers of an encoder that features can be taken from, from the image upwards: relu{block}_{convolution}."""
    blocks = enumerate(ENCODER_BLOCKS[name], start=1)
    return [f"relu{block}_{place}" for block, depth in blocks for place in range(1, depth + 1)]


def last_generator_layer(blocks: int, downsamplings: int, resampling: str) -> int:
    """The number of the last layer of :class:`gcl.networks.Generator`, whose layers are numbered from 0."""
    down = {"blur": 4, "resize": 3}[resampling]
    # Padding, convolution, normalisation and activation before all others; padding, convolution and tanh after them.
    return 4 + (down + 4) * downsamplings + blocks + 3 - 1
