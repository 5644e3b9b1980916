"""How far around itself a tile has to see, if the generator can translate tiles on their own at all."""

from gcl.networks.generator import Generator
from gcl.tiles.layers import WHOLE_PICTURE, Rows, Shape, whole_chain

FAR = 2**16
"""Rows so far from the edges of a map that no padding reaches them."""


def halo(generator: Generator) -> int | None:
    """The pixels on every side of a tile that its translation depends on, rounded up to the generator's stride.

    A tile starts and ends at multiples of the stride. None if the translation depends on the whole picture.
    """
    if any(isinstance(layer, WHOLE_PICTURE) for layer in generator.modules()):
        return None
    chain = whole_chain(generator)
    rows = Rows(FAR, FAR + generator.stride)
    needed = chain.spans(rows, Shape(3, 2 * FAR, 2 * FAR))[0]
    reach = max(rows.start - needed.start, needed.stop - rows.stop)
    return reach + -reach % generator.stride
