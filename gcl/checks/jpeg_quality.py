"""Estimates the quality setting that a JPEG was saved with, from its quantisation table."""

from collections.abc import Sequence

STANDARD_SUM = 3688
"""The sum of the 64 numbers in the example luminance table of the JPEG standard (ITU-T T.81, table K.1)."""


def jpeg_quality(table: Sequence[int]) -> float:
    """The libjpeg quality, 1 to 100, whose luminance table has the same sum as ``table`` (64 numbers, any order).

    libjpeg multiplies the standard table by scale = 50 / q below quality 50, and by 2 - q / 50 from there on. Programs
    with tables of their own, such as Photoshop, get the quality of the libjpeg table that is as coarse. Below 25 the
    estimate is a little too high, because numbers of the table end at 255.
    """
    scale = sum(table) / STANDARD_SUM
    quality = 100 - 50 * scale if scale <= 1 else 50 / scale
    return min(max(quality, 1.0), 100.0)
