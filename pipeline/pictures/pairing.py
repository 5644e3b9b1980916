"""Pairs the images of two folders by name, whatever their formats and whichever program named them."""

from collections import Counter
from collections.abc import Collection, Mapping
from pathlib import Path, PurePosixPath

from gcl.errors import UserError
from gcl.images.decoding import SUFFIXES
from gcl.images.file_lists import readable
from gcl.images.finding import find_images, passed_over
from gcl.measures.check_translations import OTHERS_SUFFIXES


def images_by_name(folder: Path) -> dict[str, Path]:
    """The images in ``folder``, nested or not, by their name: the path inside it without the suffix, as in ``a/b``.

    UserError if there is no such folder, if it holds no images, or if two of them have the same name.
    """
    return _by_distinct_name([(_name(path, folder), path) for path in _images(folder)])


def translations_by_name(folder: Path, names: Collection[str]) -> dict[str, Path]:
    """The images in ``folder``, nested or not, by the one of ``names`` that each belongs to; others are left out.

    A translation of ``a/b`` is called so too, or simply ``b`` if no other name ends in that, and another program may
    have appended one of OTHERS_SUFFIXES. UserError as in :func:`images_by_name`.
    """
    ends = Counter(PurePosixPath(name).name for name in names)
    by_end = {PurePosixPath(name).name: name for name in names if ends[PurePosixPath(name).name] == 1}
    by_itself = {name: name for name in names}
    belonging = [(_belongs_to(_name(path, folder), by_itself, by_end), path) for path in _images(folder)]
    return _by_distinct_name([(name, path) for name, path in belonging if name is not None])


def _belongs_to(name: str, by_itself: Mapping[str, str], by_end: Mapping[str, str]) -> str | None:
    for own, known in ((name, by_itself), (PurePosixPath(name).name, by_end)):
        for suffix in ("", *OTHERS_SUFFIXES):
            if own.endswith(suffix) and own.removesuffix(suffix) in known:
                return known[own.removesuffix(suffix)]
    return None


def _images(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise UserError(f"{folder}: there is no such folder")
    images, others = find_images(folder)
    if not images:
        hints = [f"files ending in {' '.join(SUFFIXES)} are read", *passed_over(others)]
        raise UserError(f"{folder}: no images in it; {'; '.join(hints)}")
    return images


def _name(path: Path, folder: Path) -> str:
    return path.relative_to(folder).with_suffix("").as_posix()


def _by_distinct_name(named: Collection[tuple[str, Path]]) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for name, path in named:
        other = found.setdefault(name, path)
        if other is not path:
            raise UserError(
                f"{readable(other)} and {readable(path)} both belong to the name {name}; remove one of them, or name "
                "the folder that holds only one"
            )
    return found
