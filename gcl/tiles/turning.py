"""Makes a picture in a file of rows upright, without holding it in memory."""

import os
from pathlib import Path
from typing import BinaryIO

import numpy as np

STRIP = 2**22
"""The bytes of the upright picture that are turned at once."""

TURNS = {
    1: (False, False, False),
    2: (False, False, True),
    3: (False, True, True),
    4: (False, True, False),
    5: (True, False, False),
    6: (True, False, True),
    7: (True, True, True),
    8: (True, True, False),
}
"""What makes a picture of this orientation upright: rows become columns; then rows, then columns are reversed."""


def turn(file: Path, height: int, width: int, bands: int, orientation: int) -> None:
    """Makes the picture (height, width, bands) in ``file`` upright, a few rows of the result at a time."""
    sideways, rows_reversed, columns_reversed = TURNS[orientation]
    rows, columns = (width, height) if sideways else (height, width)
    turned, step = file.with_name(f"{file.name}_upright"), max(1, STRIP // (columns * bands))
    with file.open("rb") as given, turned.open("wb") as stream:
        for top in range(0, rows, step):
            start, stop = top, min(top + step, rows)
            if rows_reversed:
                start, stop = rows - stop, rows - start
            read = _columns if sideways else _rows
            block = read(given, start, stop, (height, width, bands))
            if rows_reversed:
                block = block[::-1]
            if columns_reversed:
                block = block[:, ::-1]
            stream.write(np.ascontiguousarray(block))
    turned.replace(file)


def _rows(stream: BinaryIO, start: int, stop: int, shape: tuple[int, int, int]) -> np.ndarray:
    """The rows from ``start`` to ``stop`` of a picture of this ``shape``, (rows, W, bands)."""
    _, width, bands = shape
    content = os.pread(stream.fileno(), (stop - start) * width * bands, start * width * bands)
    return np.frombuffer(content, np.uint8).reshape(-1, width, bands)


def _columns(stream: BinaryIO, start: int, stop: int, shape: tuple[int, int, int]) -> np.ndarray:
    """The columns from ``start`` to ``stop`` as rows, (columns, H, bands)."""
    height, width, bands = shape
    size = (stop - start) * bands
    content = b"".join(os.pread(stream.fileno(), size, (row * width + start) * bands) for row in range(height))
    return np.frombuffer(content, np.uint8).reshape(height, -1, bands).swapaxes(0, 1)
