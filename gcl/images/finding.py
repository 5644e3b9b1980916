"""The images in a folder and in all folders inside it, and what else lies there.

Images are the files with an image's suffix. Hidden names and __MACOSX are passed over in silence, other files and links
to folders are counted.
"""

from collections import Counter
from pathlib import Path

from gcl.images.decoding import SUFFIXES
from gcl.images.notes import some

HEIC_SUFFIXES = {".heic", ".heif"}
"""What telephones save photographs as."""


def find_images(folder: Path) -> tuple[list[Path], Counter[str]]:
    """The image files in the order of their paths, and how many others there are of every suffix.

    A link to an image is one, even if it is broken; a link to a folder is not followed.
    """
    images, others, folders = [], Counter(), [folder]
    for inside in folders:
        for path in inside.iterdir():
            if path.name.startswith(".") or path.name == "__MACOSX":
                continue
            if path.is_dir() and not path.is_symlink():
                folders.append(path)
            elif path.is_dir():
                # It may lead in circles.
                others["link to a folder"] += 1
            elif path.suffix.lower() in SUFFIXES:
                images.append(path)
            else:
                others[path.suffix.lower() or "no suffix"] += 1
    return sorted(images), others


def passed_over(others: Counter[str]) -> list[str]:
    """A note on what :func:`find_images` found beside images; none if that is nothing."""
    if not others:
        return []
    kinds = some([f"{kind}: {number}" for kind, number in sorted(others.items())])
    advice = "; convert HEIC to JPEG or PNG" if others.keys() & HEIC_SUFFIXES else ""
    return [f"{others.total()} other {'entry' if others.total() == 1 else 'entries'} passed over ({kinds}){advice}"]
