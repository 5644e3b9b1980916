"""Describes in words how the pixels of a TIFF are laid out, for messages about files that cannot be read."""

from collections.abc import Mapping
from typing import BinaryIO

from PIL.ExifTags import Base
from PIL.TiffImagePlugin import ImageFileDirectory_v2

KINDS = {2: "signed ", 3: "floating-point ", 5: "complex ", 6: "complex "}
"""The kinds of pixel values by the tag SampleFormat; all others are unsigned."""

BIG_TIFF = 43
"""The version number of BigTIFF, where TIFF has 42; its header is twice as long."""


def describe_layout(stream: BinaryIO) -> str | None:
    """The layout of the first page in ``stream``; None if it is not a TIFF, or its tags cannot be read."""
    try:
        stream.seek(0)
        header = stream.read(8)
        if header[2] == BIG_TIFF:
            header += stream.read(8)
        tags = ImageFileDirectory_v2(header)
        stream.seek(tags.next)
        tags.load(stream)
        return layout_of(tags) if Base.BitsPerSample in tags else None
    # The tags of a damaged file may hold anything.
    except Exception:
        return None


def layout_of(tags: Mapping) -> str:
    """The layout from the tags of a page, such as "5 bands of 32-bit floating-point pixels in separate planes"."""
    bands = tags.get(Base.SamplesPerPixel, 1)
    bits = " and ".join(map(str, sorted(set(tags.get(Base.BitsPerSample, (1,))))))
    kind = KINDS.get(tags.get(Base.SampleFormat, (1,))[0], "")
    planes = " in separate planes" if tags.get(Base.PlanarConfiguration) == 2 else ""
    return f"{bands} {'band' if bands == 1 else 'bands'} of {bits}-bit {kind}pixels{planes}"
