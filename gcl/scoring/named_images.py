"""The images of a folder by the names under which they pair with those of another folder."""

from collections import Counter
from pathlib import Path

from gcl.errors import UserError
from gcl.images.decoding import SUFFIXES
from gcl.images.file_lists import readable, some
from gcl.images.finding import find_images, passed_over

Images = dict[str, Path]
"""Images by name, in the order of the names."""


def named_images(folder: Path) -> tuple[Images, list[str]]:
    """The images in ``folder`` and in all folders inside it, by name, and notes on what else was found.

    A name is the path in ``folder`` without the suffix: ``sub/a.jpg`` is called ``sub_a``, as ``gcl prepare`` calls it.
    UserError if there is no such folder, if it holds no images, or if two images have one name.
    """
    found, notes = _found(folder)
    images: Images = {}
    for path in found:
        name = readable(path.relative_to(folder)).removesuffix(path.suffix).replace("/", "_")
        other = images.setdefault(name, path)
        if other is not path:
            first, second = (readable(file.relative_to(folder)) for file in (other, path))
            raise UserError(f"{folder}: {first} and {second} are both called {name}; leave one of them out")
    return dict(sorted(images.items())), notes


def unpaired_images(folder: Path) -> tuple[Images, list[str]]:
    """The same images by their whole paths, for sets in which names do not matter and may occur twice.

    UserError if there is no such folder or if it holds no images.
    """
    found, notes = _found(folder)
    return {path.relative_to(folder).as_posix(): path for path in found}, notes


def _found(folder: Path) -> tuple[list[Path], list[str]]:
    """The images in ``folder`` and in all folders inside it; UserError if there are none."""
    if not folder.is_dir():
        raise UserError(f"{folder}: {'a file, not a folder' if folder.exists() else 'there is no such folder'}")
    found, others = find_images(folder)
    if not found:
        hints = [f"files ending in {' '.join(SUFFIXES)} are read", *passed_over(others)]
        raise UserError(f"{folder}: no images here; {'; '.join(hints)}")
    return found, [*_several_folders(folder, found), *passed_over(others)]


def _several_folders(folder: Path, found: list[Path]) -> list[str]:
    """A note if the images come from several folders: a tool's results may hold its inputs beside its outputs."""
    counts = Counter(readable(path.parent.relative_to(folder)) for path in found)
    if len(counts) == 1:
        return []
    return [f"images of {len(counts)} folders were found ({some([f'{name}: {n}' for name, n in counts.items()])})"]
