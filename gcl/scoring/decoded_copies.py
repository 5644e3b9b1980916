"""Copies of images as the metrics read them: 8-bit RGB PNGs in one folder. The originals stay as they are."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from gcl.errors import UserError
from gcl.images.decoding import FORMATS, BadImageError, decode
from gcl.images.file_lists import by_remark, readable, some
from gcl.parallel import in_parallel
from gcl.scoring.named_images import Images
from gcl.sources.folder import SMALLEST_SIDE, Track

Size = tuple[int, int]
"""Width and height in pixels."""

JPEG_FORMATS = ("JPEG", "MPO")
"""What Pillow calls JPEG; MPO is one with further pictures, such as previews, in the same file."""


class Copy(NamedTuple):
    """What was copied: the image's name and path, the copy, the sizes of both, and remarks for people."""

    name: str
    path: Path
    copy: Path
    original: Size
    size: Size
    is_jpeg: bool
    remarks: list[str]


def copy_decoded(
    folder: str, images: Images, target: Path, track: Track, sizes: Sequence[Size] | None = None
) -> tuple[list[Copy], list[str]]:
    """Writes ``images`` to the new folder ``target``, resized to ``sizes``; returns the copies and notes.

    The copies are numbered in the order of the images, because names may be longer than a file's name can be.
    ``folder`` is what messages call the folder. UserError, which names them, if some images cannot be used.
    """
    target.mkdir()
    copies = [target / f"{number:06}.png" for number in range(len(images))]
    jobs = list(zip(images.items(), copies, sizes or [None] * len(copies), strict=True))
    outcomes = list(track(in_parallel(_copy, jobs), f"reading {folder}", len(jobs)))
    faults = [str(outcome) for outcome in outcomes if isinstance(outcome, BadImageError)]
    if faults:
        raise UserError(f"{len(faults)} of {len(jobs)} images cannot be used: {some(faults)}")
    return outcomes, _notes(folder, outcomes)


def at_size(image: Image.Image, size: Size) -> Image.Image:
    """``image`` as it is measured beside an output of ``size``: resized if it has another size."""
    return image if image.size == size else image.resize(size, Image.Resampling.LANCZOS)


def _copy(job: tuple[tuple[str, Path], Path, Size | None]) -> Copy | BadImageError:
    (name, path), target, size = job
    try:
        image, remarks = decode(path)
        if min(image.size) < SMALLEST_SIDE:
            reason = f"{image.width}x{image.height} pixels; at least {SMALLEST_SIDE} per side are needed"
            raise BadImageError(path, reason)
        with Image.open(path, formats=FORMATS) as undecoded:
            is_jpeg = undecoded.format in JPEG_FORMATS
    except BadImageError as error:
        return error
    copy = at_size(image, size or image.size)
    copy.save(target, compress_level=1)
    return Copy(name, path, target, image.size, copy.size, is_jpeg, remarks)


def _notes(folder: str, copies: list[Copy]) -> list[str]:
    resized = [copy.name for copy in copies if copy.size != copy.original]
    notes = [f"{folder}: {note}" for note in by_remark((readable(Path(copy.name)), copy.remarks) for copy in copies)]
    if resized:
        notes.append(f"{folder}: {len(resized)} of {len(copies)} were resized to their outputs' size ({some(resized)})")
    return notes
