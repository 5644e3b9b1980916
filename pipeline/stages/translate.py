"""Stage 3: model and testA -> translated images of the same names. It also translates any other image or folder."""

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import get_args

from lightning_fabric import Fabric

from gcl.config import OTHER, Checkpoint, Precision
from gcl.errors import UserError
from gcl.files import MARKER, replaced_folder
from gcl.images.decoding import SUFFIXES
from gcl.images.file_lists import by_remark, readable
from gcl.images.finding import find_images, passed_over
from gcl.networks.generator import Generator
from gcl.networks.inference import NotFiniteError, Translation, translate_folder, translated_names
from gcl.networks.model_folder import load_generator, read_description
from gcl.tiles.plan import Plan, gigabytes
from gcl.tiles.translation import LargePictures, unfollowed
from gcl.tiles.writing import SUFFIXES as WRITTEN
from pipeline.console import announce, progress_bar
from pipeline.running.devices import fabric_on_one_device


def translate(
    accelerator: str,
    model: Path,
    source: Path,
    target: Path,
    checkpoint: Checkpoint = "last",
    memory: float | None = None,
    keep_alpha: bool = False,
) -> None:
    """Translates the image ``source``, or every image in the folder ``source`` and below it, into ``target``.

    The precision is that of the model's training, or float32 if the model does not say. An image that would take more
    than ``memory`` GB, or most of what is free, goes in tiles. With ``keep_alpha``, images that are not opaque keep
    their alpha.

    A failure leaves nothing half-done. UserError, and nothing is changed, if ``target`` would replace an input or
    anything that this stage did not write.
    """
    if not source.exists():
        raise UserError(f"{source}: no such file or folder")
    generator, precision = load_generator(model, checkpoint), _trained_precision(model)
    fabric = fabric_on_one_device(accelerator, precision)
    allowed, follow = None if memory is None else int(memory * 1e9), unfollowed if source.is_dir() else _with_progress
    large = LargePictures(generator, fabric.device, fabric.autocast, allowed, keep_alpha, _announce_plan, follow)
    try:
        if source.is_dir():
            _translate_all(generator, source, target, fabric, large, keep_alpha)
        else:
            _translate_one(large, source, target)
    except NotFiniteError as error:
        raise UserError(f"{error}, by {model} in precision {precision}; nothing is written") from error


def translate_other(
    accelerator: str, model: Path, source: Path, target: Path, checkpoint: Checkpoint, memory: float | None = None
) -> None:
    """Translates the folder ``source`` with the checkpoint that is not ``checkpoint`` into the folder ``target``.

    The folder stays empty if the model has no other checkpoint, or if both are of the same step.
    """
    steps = {name: of["step"] for name, of in read_description(model).get("checkpoints", {}).items()}
    other = OTHER[checkpoint]
    if other in steps and steps[other] != steps.get(checkpoint):
        translate(accelerator, model, source, target, other, memory)
        return
    _check_only_ours(target)
    with replaced_folder(target):
        pass


def _trained_precision(model: Path) -> str:
    """The precision in the model's model.json, or float32 if there is none; UserError if it is unknown."""
    known = get_args(Precision)
    match read_description(model):
        case {"train": {"precision": precision}}:
            if precision not in known:
                raise UserError(f"{model / 'model.json'}: train.precision {precision!r} is not in {', '.join(known)}")
            return precision
    return "32-true"


def _translate_one(large: LargePictures, source: Path, target: Path) -> None:
    """Translates one image; ``target`` is a new .png or .tif file, or a folder for a .png file of the same name."""
    is_file = target.suffix.lower() in SUFFIXES and not target.is_dir()
    if is_file and target.suffix.lower() not in WRITTEN:
        raise UserError(f"{target}: translations are written as PNG or TIFF; name a .png or .tif file or a folder")
    written = target if is_file else target / f"{source.stem}.png"
    # Unlike exists, lexists is also true for a broken link.
    if os.path.lexists(written):
        raise UserError(f"{written} exists already and is not overwritten; remove it or write somewhere else")
    remarks = large.translate(source, written)
    announce(f"translated 1 image: {readable(written)}")
    _announce_notes(_remarks([Translation(written, source, remarks)], source.parent))


def _translate_all(
    generator: Generator, source: Path, target: Path, fabric: Fabric, large: LargePictures, keep_alpha: bool
) -> None:
    images, others = find_images(source)
    _check_apart(source, images, target)
    _check_only_ours(target)
    with replaced_folder(target) as folder:
        _write_names(folder / MARKER, translated_names(images, source))
        written = translate_folder(generator, source, folder, fabric.device, fabric.autocast, large, keep_alpha)
        with closing(written):
            translations = list(progress_bar(written, "translating", len(images)))
    announce(f"translated {len(images)} {'image' if len(images) == 1 else 'images'}: {readable(target)}")
    _announce_notes([*passed_over(others), *_remarks(translations, source)])


def _with_progress(bands: Iterator[None], total: int) -> Iterable[None]:
    return progress_bar(bands, "translating", total)


def _announce_plan(source: Path, plan: Plan) -> None:
    size = f"{plan.picture.width} x {plan.picture.height} pixels"
    needs = f"at most {gigabytes(plan.memory, up=True)} GB of memory and {gigabytes(plan.disk, up=True)} GB of disk"
    announce(f"{readable(source)}: {size} go in {plan.tiles} tiles, with {needs}")


def _remarks(translations: Sequence[Translation], source: Path) -> list[str]:
    return by_remark((readable(image.relative_to(source)), remarks) for _, image, remarks in translations)


def _announce_notes(notes: Sequence[str]) -> None:
    for note in notes:
        announce(f"note: {note}")


def _check_apart(source: Path, images: Sequence[Path], target: Path) -> None:
    """UserError if an image, or the file that a link to one leads to, is in ``target``, or if ``target`` is inside
    ``source``."""
    if any(path.resolve().is_relative_to(target.resolve()) for path in images):
        raise UserError(f"{target} holds the images to translate; write somewhere else")
    if target.resolve().is_relative_to(source.resolve()):
        raise UserError(f"{target} is inside {source}, among the images to translate; write somewhere else")


def _check_only_ours(target: Path) -> None:
    """UserError if ``target`` holds a file that is not on the list that an earlier translation left in it."""
    if target.exists() and not target.is_dir():
        raise UserError(f"{target} is a file; name a folder")
    listed = {MARKER, *_read_names(target / MARKER)}
    for path in target.rglob("*"):
        if (path.is_symlink() or not path.is_dir()) and path.relative_to(target).as_posix() not in listed:
            raise UserError(f"{path}: gcl translate did not write this file; move it or name another folder")


# File names may contain bytes that are not valid UTF-8.
def _write_names(marker: Path, names: Sequence[Path]) -> None:
    text = "".join(f"{name.as_posix()}\n" for name in names)
    marker.write_text(text, encoding="utf-8", errors="surrogateescape")


def _read_names(marker: Path) -> list[str]:
    """The files listed in ``marker`` by the translation that wrote them; other stages leave an empty marker."""
    return marker.read_text(encoding="utf-8", errors="surrogateescape").split("\n") if marker.is_file() else []
