"""Which outputs belong to which inputs and true translations: those of the same name, by one rule for all commands."""

from collections import defaultdict
from collections.abc import Container, Iterable, Mapping
from itertools import chain
from pathlib import Path

from gcl.errors import UserError
from gcl.images.file_lists import readable, some
from gcl.measures.check_translations import OTHERS_SUFFIXES
from gcl.scoring.named_images import Images


def outputs_by_partner(outputs: Images, partners: Iterable[Images]) -> Images:
    """The outputs by the names of the partners that they belong to; the others keep their own names.

    An output belongs to the partner of its name or else, wherever either lies, to the only one whose file has its
    file's name. Formats do not matter, nor does the suffix that another tool appends, unless a partner is called so
    too. UserError if two outputs belong to one name.
    """
    names, by_file = set(), defaultdict(set)
    for name, path in chain.from_iterable(images.items() for images in partners):
        names.add(name)
        by_file[_file_name(path)].add(name)
    renamed: Images = {}
    for name, path in outputs.items():
        own, file = _without_suffix(name, names), _without_suffix(_file_name(path), by_file)
        owners = {own} & names or by_file.get(file, set())
        shared = min(owners) if len(owners) == 1 else name
        other = renamed.setdefault(shared, path)
        if other is not path:
            raise UserError(
                f"{readable(other)} and {readable(path)} are both outputs for {shared}; leave one of them out, or name "
                "the folder that holds only one"
            )
    return renamed


def pair(outputs: Images, partners: Mapping[str, Images]) -> tuple[list[str], Images, list[str]]:
    """The names that the outputs share with all ``partners``, the outputs by these names, and notes on the others.

    ``partners`` holds the images of each other folder, by what messages call the folder. Without any, all outputs
    remain. UserError as in :func:`outputs_by_partner`, or if no name is in all folders.
    """
    renamed = outputs_by_partner(outputs, partners.values())
    common = [name for name in sorted(renamed) if all(name in images for images in partners.values())]
    if not common:
        held = "; ".join(f"in {folder}: {some(list(images))}" for folder, images in partners.items())
        raise UserError(
            f"no output has a partner of its name; the outputs are called {some(list(outputs))}; {held}. Name the "
            f"folders so that paths inside them agree; .png or .jpg and an output's {OTHERS_SUFFIXES[0]} do not matter"
        )
    return common, renamed, [*_mixed(outputs, partners), *_left_out(renamed, partners)]


def _file_name(path: Path) -> str:
    """What the file is called in its folder, without the format's suffix."""
    return readable(Path(path.stem))


def _without_suffix(name: str, known: Container[str]) -> str:
    """``name``, without another tool's suffix if it is one of ``known`` only so."""
    candidates = [name, *(name.removesuffix(suffix) for suffix in OTHERS_SUFFIXES)]
    return next((candidate for candidate in candidates if candidate in known), name)


def _left_out(outputs: Images, partners: Mapping[str, Images]) -> list[str]:
    """Notes on outputs without a partner and on partners without an output."""
    notes = []
    for folder, images in partners.items():
        extra, missing = sorted(outputs.keys() - images.keys()), sorted(images.keys() - outputs.keys())
        if extra:
            notes.append(
                f"outputs: {len(extra)} of {len(outputs)} are not in {folder} and are left out ({some(extra)})"
            )
        if missing:
            notes.append(f"{folder}: {len(missing)} of {len(images)} have no output and are left out ({some(missing)})")
    return notes


def _mixed(outputs: Images, partners: Mapping[str, Images]) -> list[str]:
    """A note if only some outputs have another tool's suffix and no partner says whether the others are outputs."""
    fakes = sum(name.endswith(OTHERS_SUFFIXES) for name in outputs)
    if partners or fakes in (0, len(outputs)):
        return []
    return [f"outputs: {fakes} of {len(outputs)} end in {' or '.join(OTHERS_SUFFIXES)}; the others are measured too"]
