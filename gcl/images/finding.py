"""Finds the images in a folder and in all folders inside it, and counts what else is there.

Images are the files with the suffix of an image. Hidden names and __MACOSX are ignored silently; other files and links
to folders are counted.
"""

from collections import Counter
from pathlib import Path

from gcl.images.decoding import SUFFIXES
from gcl.images.file_lists import some

HEIC_SUFFIXES = {".heic", ".heif"}
"""The suffixes of photographs taken with many phones."""


def find_images(folder: Path) -> tuple[list[Path], Counter[str]]:
    """Returns the image files in the order of their paths, and the number of other files by suffix.

    A link to an image counts as an image, even if it is broken. Links to folders are counted but not followed.
    """
    images, others, folders = [], Counter(), [folder]
    for inside in folders:
        for path in inside.iterdir():
            if path.name.startswith(".") or path.name == "__MACOSX":
                continue
            if path.is_dir() and not path.is_symlink():
                folders.append(path)
            elif path.is_dir():
                # The link may form a cycle.
                others["link to a folder"] += 1
            elif path.suffix.lower() in SUFFIXES:
                images.append(path)
            else:
                others[path.suffix.lower() or "no suffix"] += 1
    return sorted(images), others


def passed_over(others: Counter[str]) -> list[str]:
    """A note on the other files that :func:`find_images` counted; empty if there are none."""
    if not others:
        return []
    kinds = some([f"{kind}: {number}" for kind, number in sorted(others.items())])
    advice = "; convert HEIC to JPEG or PNG" if others.keys() & HEIC_SUFFIXES else ""
    return [f"{others.total()} other {'entry' if others.total() == 1 else 'entries'} ignored ({kinds}){advice}"]
