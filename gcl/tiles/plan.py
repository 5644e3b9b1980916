"""How high the bands of every pass are, and what memory and disk that takes, known before anything starts.

Memory is counted as the maps that a layer holds at once, its input and its output. Convolutions were seen to need
nothing else that counts on a CPU. Freed pieces of the heap are not always reused, so the process grows by more: in
tiles by 1.0 to 2.8 times the maps, as a whole by 1.0 to 1.7 times: by the most where the command line keeps it all.
"""

from pathlib import Path
from typing import NamedTuple

import torch

from gcl.errors import UserError
from gcl.networks.generator import Generator
from gcl.networks.inference import padded_side
from gcl.tiles.layers import Rows, Shape, whole_chain
from gcl.tiles.maps import Picture
from gcl.tiles.passes import Pass, passes
from gcl.tiles.reading import Header
from gcl.tiles.writing import most_encoded

IN_TILES, AS_A_WHOLE = 3, 2
"""How many times the bytes of the maps the process may grow."""

FIXED = 2**26
"""The bytes that reading, writing and the libraries take besides, whatever the size."""

ENOUGH = 2**28
"""The bytes of a band's maps beyond which a higher band would hardly be translated faster."""

AROUND = 12
"""The float32 numbers per pixel that a whole picture takes besides the generator's maps: itself, padded, translated."""


class Tiled(NamedTuple):
    """A pass and the rows of its bands."""

    run: Pass
    rows: int


class Plan(NamedTuple):
    """How a picture is translated in tiles.

    Attributes:
        picture: the picture.
        passes: the passes, each with the height of its bands.
        memory: the most bytes by which the process grows.
        disk: the most bytes that the files of the maps, and the translation before it is encoded, take at once.
    """

    picture: Picture
    passes: list[Tiled]
    memory: int
    disk: int

    @property
    def tiles(self) -> int:
        """The number of tiles that the translation is made of."""
        run, rows = self.passes[-1]
        return len(list(run.bands(rows)))

    @property
    def bands(self) -> int:
        """The number of bands of all passes."""
        return sum(len(list(run.bands(rows))) for run, rows in self.passes)


def whole_memory(generator: Generator, height: int, width: int) -> int:
    """The most bytes by which the process grows when the picture is translated as a whole."""
    return FIXED + AS_A_WHOLE * whole_maps(generator, *padded_size(generator, height, width))


def whole_maps(generator: Generator, height: int, width: int) -> int:
    """The most bytes of maps that are held at once while the picture, already padded, is translated as a whole."""
    shape = Shape(3, height, width)
    return whole_chain(generator).peak(Rows(0, height), shape) + AROUND * Shape(1, height, width).bytes(height)


def largest_map(generator: Generator, height: int, width: int) -> int:
    """The numbers of the largest map while the picture is translated as a whole."""
    shapes = whole_chain(generator).shapes(Shape(3, *padded_size(generator, height, width)))
    return max(channels * rows * columns for channels, rows, columns in shapes)


def planned(
    generator: Generator, about: Header, memory: int, folder: Path, device: torch.device, keep_alpha: bool = False
) -> Plan:
    """Plans tiles that take at most ``memory`` bytes and whose files lie in ``folder``.

    UserError if even tiles of single rows take more.
    """
    picture = Picture(
        folder / "picture", about.height, about.width, padded_size(generator, about.height, about.width), device
    )
    runs = passes(generator, picture)
    least = FIXED + max(about.memory, IN_TILES * max(_peak(run, 1) for run in runs))
    if least > memory:
        raise UserError(
            f"translate.memory: a picture of {about.width} x {about.height} pixels takes at least "
            f"{gigabytes(least, up=True)} GB in tiles, but only {gigabytes(memory)} GB may be used"
        )
    tiled = [Tiled(run, _rows(run, (memory - FIXED) // IN_TILES)) for run in runs]
    most = FIXED + max(about.memory, IN_TILES * max(_peak(run, rows) for run, rows in tiled))
    return Plan(picture, tiled, most, _disk(runs, about, keep_alpha))


def padded_size(generator: Generator, height: int, width: int) -> tuple[int, int]:
    """The height and width to which the generator's input is padded."""
    return int(padded_side(height, generator)), int(padded_side(width, generator))


def gigabytes(count: int, up: bool = False) -> str:
    """``count`` bytes in GB with two digits, rounded, or rounded ``up``."""
    return f"{(count + 0.0049e9 * up) / 1e9:.2f}"


def _rows(run: Pass, memory: int) -> int:
    """The rows of the highest band that takes at most ``memory`` bytes."""
    fits, too_many = 1, run.map.shape.height + 1
    while too_many - fits > 1:
        middle = (fits + too_many) // 2
        if _peak(run, middle) <= min(memory, ENOUGH):
            fits = middle
        else:
            too_many = middle
    return fits


def _peak(run: Pass, rows: int) -> int:
    """The most bytes that reading bands of so many ``rows`` takes: at the upper edge, in the middle or at the lower."""
    height = run.map.shape.height
    starts = {0, (height - rows) // 2, height - rows}
    return max(run.map.peak(Rows(start, start + rows)) for start in starts)


def _disk(runs: list[Pass], about: Header, keep_alpha: bool) -> int:
    """The most bytes that the files take at once: while they are read, in one of the passes, or while they are encoded.

    The last pass also writes the translation.
    """
    translation = (4 if keep_alpha else 3) * about.pixels
    there, alpha, most = {}, about.pixels if keep_alpha else 0, 2 * translation
    for run in runs:
        files = [*run.map.files(), *([run.file] if run.file else [])]
        there |= {file.path: file.size for file in files}
        most = max(most, alpha + sum(there.values()) + (translation if run is runs[-1] else 0))
        for path in run.done:
            there.pop(path)
    return max(most, alpha + translation + most_encoded(about.height, about.width, 4 if keep_alpha else 3))
