"""Encodes a picture from files of its rows as PNG or TIFF, without holding it in memory and without metadata."""

import os
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pyvips

from gcl.images.transparency import with_alpha

TILE = 256
"""The side of a TIFF's tiles."""

MOST_IN_TIFF = 2**32
"""The bytes that a TIFF can hold; a larger one is a BigTIFF."""

SUFFIXES = (".png", ".tif", ".tiff")
"""The endings of the files that can be written."""


class RowFiles:
    """A translation that is written from top to bottom to files in ``folder``, and then encoded.

    The files have the formats PPM and PGM, which libvips reads from a stream; others it would map into memory. Where
    the file ``alpha`` is there, uint8 (H, W), the translation has this alpha.
    """

    def __init__(self, folder: Path, height: int, width: int, alpha: Path | None):
        self._width = width
        self._files = [folder / "colours.ppm"]
        self._given = None
        with ExitStack() as opened:
            self._streams = [opened.enter_context(self._files[0].open("wb"))]
            if alpha is not None and alpha.exists():
                self._given = opened.enter_context(alpha.open("rb"))
                self._files.append(folder / "alpha.pgm")
                self._streams.append(opened.enter_context(self._files[1].open("wb")))
            self._opened = opened.pop_all()
        for stream, kind in zip(self._streams, ("P6", "P5"), strict=False):
            stream.write(f"{kind}\n{width} {height}\n255\n".encode())

    def __enter__(self) -> "RowFiles":
        return self

    def __exit__(self, *failure: object) -> None:
        self._opened.close()

    def write(self, rows: np.ndarray) -> None:
        """Adds ``rows`` (rows, W, 3) uint8."""
        if self._given is None:
            self._streams[0].write(np.ascontiguousarray(rows))
            return
        alpha = np.frombuffer(self._given.read(len(rows) * self._width), np.uint8).reshape(-1, self._width)
        self._streams[0].write(np.ascontiguousarray(with_alpha(rows, alpha)[..., :3]))
        self._streams[1].write(alpha)

    def encode(self, target: Path) -> None:
        """Writes the translation to ``target``, PNG or TIFF; OSError if it cannot be written."""
        with ExitStack() as opened:
            bands = [_streamed(opened.enter_context(file.open("rb"))) for file in self._files]
            _save(bands[0].bandjoin(bands[1:]) if bands[1:] else bands[0], target)


def most_encoded(height: int, width: int, channels: int) -> int:
    """An upper bound of the bytes of a PNG or TIFF of this size: deflate stores what it cannot compress."""
    rows, columns = (-(-side // TILE) * TILE for side in (height, width))
    return int(1.01 * rows * columns * channels) + 2**20


def as_tiff(png: Path, target: Path) -> None:
    """Writes the picture in ``png`` to the TIFF ``target``; OSError as in :func:`encode`."""
    _save(pyvips.Image.new_from_file(str(png), access="sequential"), target)


def _streamed(stream: BinaryIO) -> pyvips.Image:
    source = pyvips.SourceCustom()
    source.on_read(stream.read)
    return pyvips.Image.new_from_source(source, "", access="sequential")


def _save(image: pyvips.Image, target: Path) -> None:
    try:
        if target.suffix.lower() == ".png":
            image.pngsave(str(target), keep="none", filter="all", compression=6)
        else:
            large = image.width * image.height * image.bands > MOST_IN_TIFF // 2
            tiles = {"tile": True, "tile_width": TILE, "tile_height": TILE}
            image.tiffsave(
                str(target), keep="none", compression="deflate", predictor="horizontal", bigtiff=large, **tiles
            )
    except pyvips.Error as error:
        raise OSError(f"{target}: cannot be written: {str(error).strip().splitlines()[-1]}") from error


def move(file: Path, target: Path) -> None:
    """Renames ``file``, once all of it is on the disk, to ``target``."""
    with file.open("rb") as stream:
        os.fsync(stream.fileno())
    file.replace(target)
