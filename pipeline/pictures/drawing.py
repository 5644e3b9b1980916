"""Draws a table of pictures of any size, with a heading above each column and lines below each picture."""

from collections.abc import Sequence
from pathlib import Path
from textwrap import wrap
from typing import NamedTuple

import matplotlib
from PIL import Image, ImageDraw, ImageFont

SIDE, GAP = 256, 10
"""The longer side of a picture, which is also the width of a column, and the space between cells, in pixels."""

HEADING, CAPTION = 15, 12
"""The sizes of letters, in pixels."""

HEADING_LINES = 3
"""The most lines of a heading."""

FONT = Path(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSansMono.ttf")
"""A font with many scripts, whose letters are all equally wide."""


class Cell(NamedTuple):
    """A picture, no side longer than SIDE, and the lines below it."""

    picture: Image.Image
    lines: Sequence[str]


def thumbnail(image: Image.Image) -> Image.Image:
    """``image`` with its longer side at SIDE pixels and its sides in the same proportion."""
    scale = SIDE / max(image.size)
    size = [max(1, round(side * scale)) for side in image.size]
    # Much enlarged, an image shows its pixels rather than a blur.
    return image.resize(size, Image.Resampling.NEAREST if scale >= 2 else Image.Resampling.LANCZOS)


def empty_frame(size: tuple[int, int]) -> Image.Image:
    """What is drawn where a picture of ``size`` (width, height) is missing."""
    frame = Image.new("RGB", size, "white")
    ImageDraw.Draw(frame).rectangle((0, 0, size[0] - 1, size[1] - 1), outline="gray")
    return frame


def draw_sheet(headings: Sequence[str], rows: Sequence[Sequence[Cell]]) -> Image.Image:
    """Draws one column for each heading; every row has one cell for each column."""
    wrapped = [_wrapped(heading) for heading in headings]
    top = GAP + max(_height(lines, HEADING) for lines in wrapped) + GAP
    heights = [max(cell.picture.height + _height(cell.lines, CAPTION) for cell in row) + GAP for row in rows]
    sheet = Image.new("RGB", (GAP + (SIDE + GAP) * len(headings), top + sum(heights)), "white")
    lefts = range(GAP, sheet.width, SIDE + GAP)
    for left, lines in zip(lefts, wrapped, strict=True):
        _write(sheet, left, GAP, lines, HEADING)
    for row, height in zip(rows, heights, strict=True):
        for left, cell in zip(lefts, row, strict=True):
            sheet.paste(cell.picture, (left + (SIDE - cell.picture.width) // 2, top))
            lines = [_shortened(line, _letters(CAPTION)) for line in cell.lines]
            _write(sheet, left, top + cell.picture.height, lines, CAPTION)
        top += height
    return sheet


def _write(sheet: Image.Image, left: int, top: int, lines: Sequence[str], letter: int) -> None:
    """Writes ``lines`` in the middle of the column that begins at ``left``."""
    draw, font = ImageDraw.Draw(sheet), ImageFont.truetype(FONT, letter)
    for number, line in enumerate(lines):
        # "m" and "a" are the middle of the line and the top of its highest letter.
        draw.text((left + SIDE / 2, top + _height(lines[:number], letter)), line, "black", font, anchor="ma")


def _height(lines: Sequence[str], letter: int) -> int:
    return len(lines) * round(1.3 * letter)


def _letters(letter: int) -> int:
    """How many letters of this size a column has room for."""
    return int(SIDE / ImageFont.truetype(FONT, letter).getlength("m"))


def _wrapped(heading: str) -> list[str]:
    letters = _letters(HEADING)
    whole = _shortened(heading, HEADING_LINES * letters)
    return wrap(whole, letters, max_lines=HEADING_LINES, placeholder="…")


def _shortened(text: str, letters: int) -> str:
    """``text``, without its middle if it has more than so many ``letters``: names often differ at one of the ends."""
    if len(text) <= letters:
        return text
    end = (letters - 1) // 2
    return f"{text[: letters - 1 - end]}…{text[-end:]}"
