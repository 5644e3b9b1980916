"""Maps of a picture that are read band by band: the picture itself, maps in files, and what is computed of them.

A file of a map holds its float32 numbers, (H, W, C). So any band of rows is one stretch of the file and, once it is
read, a channels-last tensor without a copy. The files are not mapped into memory: their pages would count as memory of
this process.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from gcl.images.pixels import to_signed
from gcl.tiles.layers import Chain, RowLayer, Rows, Shape


class Map(Protocol):
    """Something that is read band by band."""

    shape: Shape

    def read(self, rows: Rows) -> Tensor:
        """The ``rows``, (1, C, rows, W); the caller may overwrite them."""

    def peak(self, rows: Rows) -> int:
        """The most bytes that :meth:`read` holds at once, its result included."""

    def files(self) -> Iterator["File"]:
        """The files that :meth:`read` reads."""


class File:
    """A file of ``size`` bytes in the scratch folder."""

    def __init__(self, path: Path, size: int):
        self.path, self.size = path, size

    def files(self) -> Iterator["File"]:
        yield self


class Picture(File):
    """The picture to translate: a file of uint8 (H, W, 3), read as float in [-1, 1].

    Its last row and column are repeated up to the ``padded`` height and width.
    """

    def __init__(self, path: Path, height: int, width: int, padded: tuple[int, int], device: torch.device):
        super().__init__(path, 3 * height * width)
        self.height, self.width, self.device = height, width, device
        self.shape = Shape(3, *padded)

    def read(self, rows: Rows) -> Tensor:
        # A band in the padding below still needs the last row.
        start, stop = min(rows.start, self.height - 1), min(rows.stop, self.height)
        pixels = np.fromfile(self.path, np.uint8, 3 * (stop - start) * self.width, offset=3 * start * self.width)
        pixels = pixels.reshape(-1, self.width, 3)
        below, right = rows.count - len(pixels), self.shape.width - self.width
        pixels = np.pad(pixels, ((0, below), (0, right), (0, 0)), mode="edge")
        signed = to_signed(torch.from_numpy(pixels[None]).to(self.device))  # (1, rows, W, 3)
        return signed.permute(0, 3, 1, 2)

    def peak(self, rows: Rows) -> int:
        return 3 * self.shape.bytes(rows.count)


class Stored(File):
    """A map in a file."""

    def __init__(self, path: Path, shape: Shape, device: torch.device):
        super().__init__(path, shape.bytes(shape.height))
        self.shape, self.device = shape, device

    def read(self, rows: Rows) -> Tensor:
        channels, _, width = self.shape
        numbers = np.fromfile(self.path, np.float32, channels * rows.count * width, offset=self.shape.bytes(rows.start))
        images = torch.from_numpy(numbers.reshape(1, rows.count, width, channels)).to(self.device)
        return images.permute(0, 3, 1, 2)

    def write(self, rows: Rows, images: Tensor) -> None:
        """Writes the ``rows`` (1, C, rows, W) to their place."""
        # (1, C, rows, W) -> (rows, W, C)
        numbers = images[0].permute(1, 2, 0).float().contiguous().cpu().numpy()
        with self.path.open("r+b" if self.path.exists() else "wb") as stream:
            stream.seek(self.shape.bytes(rows.start))
            stream.write(numbers)

    def peak(self, rows: Rows) -> int:
        return self.shape.bytes(rows.count)


class Computed:
    """What ``layers`` make of another map; computed anew whenever it is read."""

    def __init__(self, given: Map, layers: list[RowLayer]):
        self.given, self.layers = given, layers
        self.chain = Chain(layers)
        self.shape = self.chain.shapes(given.shape)[-1]

    def read(self, rows: Rows) -> Tensor:
        needed = self.chain.spans(rows, self.given.shape)[0]
        return self.chain.apply(self.given.read(needed), rows, self.given.shape)

    def peak(self, rows: Rows) -> int:
        needed = self.chain.spans(rows, self.given.shape)[0]
        return max(self.given.peak(needed), self.chain.peak(rows, self.given.shape))

    def files(self) -> Iterator[File]:
        return self.given.files()


class Sum:
    """The sum of two maps."""

    def __init__(self, first: Map, second: Map):
        self.first, self.second = first, second
        self.shape = first.shape

    def read(self, rows: Rows) -> Tensor:
        first, second = self.first.read(rows), self.second.read(rows)
        # Under autocast one of the two may have 16 bits, in which the sum would be rounded.
        return first.add_(second) if first.dtype == second.dtype else first + second

    def peak(self, rows: Rows) -> int:
        return max(self.first.peak(rows), self.shape.bytes(rows.count) + self.second.peak(rows))

    def files(self) -> Iterator[File]:
        yield from self.first.files()
        yield from self.second.files()


class Kept:
    """A map that is also written to a file whenever it is read."""

    def __init__(self, given: Map, file: Stored):
        self.given, self.file = given, file
        self.shape = given.shape

    def read(self, rows: Rows) -> Tensor:
        images = self.given.read(rows)
        self.file.write(rows, images)
        return images

    def peak(self, rows: Rows) -> int:
        return self.given.peak(rows)

    def files(self) -> Iterator[File]:
        yield from self.given.files()
        yield self.file
