"""Which outputs belong to which inputs and true translations: those of the same name."""

from collections.abc import Mapping

from gcl.errors import UserError
from gcl.images.file_lists import some
from gcl.measures.check_translations import OTHERS_SUFFIXES
from gcl.scoring.named_images import Images


def pair(outputs: Images, partners: Mapping[str, Images]) -> tuple[list[str], Images, list[str]]:
    """The names that the outputs share with all ``partners``, the outputs by these names, and notes on the others.

    ``partners`` holds the images of each other folder, by what messages call the folder. Without any, all outputs
    remain. The suffix that another tool appends to a name counts only where the name has no partner with it. UserError
    if two outputs belong to one name, or if no name is in all folders.
    """
    known = set().union(*partners.values())
    renamed: Images = {}
    for name, path in outputs.items():
        shared = _shared_name(name, known)
        other = renamed.setdefault(shared, path)
        if other is not path:
            raise UserError(f"{other} and {path} are both outputs for {shared}; leave one of them out")
    common = [name for name in sorted(renamed) if all(name in images for images in partners.values())]
    if not common:
        held = "; ".join(f"in {folder}: {some(list(images))}" for folder, images in partners.items())
        raise UserError(
            f"no output has a partner of its name; the outputs are called {some(list(outputs))}; {held}. Name the "
            f"folders so that paths inside them agree; .png or .jpg and an output's {OTHERS_SUFFIXES[0]} do not matter"
        )
    return common, renamed, [*_mixed(outputs, partners), *_left_out(renamed, partners)]


def _shared_name(name: str, known: set[str]) -> str:
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
