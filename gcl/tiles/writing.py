"""Encodes a picture from files of its rows as PNG or TIFF, without holding it in memory and without metadata."""

import errno
import os
import struct
from pathlib import Path

import numpy as np
import pyvips

from gcl.images.transparency import with_alpha

TILE = 256
"""The side of a TIFF's tiles."""

MOST_IN_TIFF = 2**32
"""The bytes that a TIFF can hold; a larger one is a BigTIFF."""

ROWS = 64
"""The rows of a strip of the file that is encoded."""

UNSIGNED = 16
"""TIFF's code for numbers of 8 bytes."""

SUFFIXES = (".png", ".tif", ".tiff")
"""The endings of the files that can be written."""


class RowFile:
    """A translation that is written row by row, from top to bottom, and then encoded.

    The file is an uncompressed BigTIFF, which libvips reads row by row; raw numbers it would map into memory. Where the
    file ``alpha`` is there, uint8 (H, W), the translation has this alpha.
    """

    def __init__(self, path: Path, height: int, width: int, alpha: Path | None):
        self.path, self._width = path, width
        self._alpha = alpha.open("rb") if alpha is not None and alpha.exists() else None
        self._stream = path.open("wb")
        self._stream.write(_header(height, width, 3 if self._alpha is None else 4))

    def __enter__(self) -> "RowFile":
        return self

    def __exit__(self, *failure: object) -> None:
        self._stream.close()
        if self._alpha is not None:
            self._alpha.close()

    def write(self, rows: np.ndarray) -> None:
        """Adds ``rows`` (rows, W, 3) uint8."""
        if self._alpha is not None:
            alpha = np.frombuffer(self._alpha.read(len(rows) * self._width), np.uint8)
            rows = with_alpha(rows, alpha.reshape(-1, self._width))
        self._stream.write(np.ascontiguousarray(rows))


def _header(height: int, width: int, channels: int) -> bytes:
    """What stands before the pixels, (H, W, channels) uint8, of an uncompressed BigTIFF."""
    starts = range(0, height, ROWS)
    sizes = [min(ROWS, height - start) * width * channels for start in starts]
    tags = {256: [width], 257: [height], 258: [8] * channels, 259: [1], 262: [2], 273: starts, 277: [channels]}
    tags |= {278: [ROWS], 279: sizes} | ({338: [2]} if channels == 4 else {})  # 2: the alpha is not premultiplied
    place = 16 + 8 + 20 * len(tags) + 8  # behind the header and the tags
    pixels = place + sum(8 * len(values) for values in tags.values() if len(values) > 1)
    tags[273] = [pixels + start * width * channels for start in starts]
    entries, lists = b"", b""
    for tag, values in sorted(tags.items()):
        packed = struct.pack(f"<{len(values)}Q", *values)
        if len(values) > 1:
            packed, lists = struct.pack("<Q", place + len(lists)), lists + packed
        entries += struct.pack("<HHQ", tag, UNSIGNED, len(values)) + packed
    return struct.pack("<2sHHHQQ", b"II", 43, 8, 0, 16, len(tags)) + entries + bytes(8) + lists


def most_encoded(height: int, width: int, channels: int) -> int:
    """An upper bound of the bytes of a PNG or TIFF of this size: deflate stores what it cannot compress."""
    rows, columns = (-(-side // TILE) * TILE for side in (height, width))
    return int(1.01 * rows * columns * channels) + 2**20


def encode(file: Path, target: Path) -> None:
    """Writes the picture in ``file``, a PNG or TIFF, to ``target``, whose suffix decides how; OSError if that fails."""
    image = pyvips.Image.new_from_file(str(file), access="sequential")
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
        # libvips tells no number; nearly always the disk is full.
        raise OSError(errno.EIO, f"cannot be written: {str(error).strip().splitlines()[-1]}", str(target)) from error


def move(file: Path, target: Path) -> None:
    """Renames ``file``, once all of it is on the disk, to ``target``."""
    with file.open("rb") as stream:
        os.fsync(stream.fileno())
    file.replace(target)
