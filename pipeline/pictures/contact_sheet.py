"""A contact sheet: inputs and what several models made of them, side by side in one picture."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from gcl.errors import UserError
from gcl.images.decoding import read_rgb, save_png
from gcl.images.file_lists import readable, some
from gcl.images.spreading import spread_out
from gcl.scoring.named_images import Images, named_images
from gcl.scoring.pairing import outputs_by_partner
from pipeline.console import announce, progress_bar
from pipeline.pictures.captions import distances_to_input
from pipeline.pictures.drawing import Cell, draw_sheet, empty_frame, thumbnail
from pipeline.pictures.measuring import Measuring


class Column(NamedTuple):
    """What one model made: the label of its column, its images by the names of their inputs, and notes on the folder.

    Images that belong to no input are among them under their own names.
    """

    label: str
    images: Images
    notes: list[str]


def contact_sheet(
    source: Path,
    folders: Sequence[Path],
    target: Path,
    labels: Sequence[str] | None,
    count: int,
    metrics: Measuring | None,
) -> None:
    """Writes the PNG ``target``: a row for each of ``count`` images in ``source``, a column for each of ``folders``.

    The rows are spread evenly over those images that have any translation. ``labels`` belong to the columns; None
    takes the folders' names. With ``metrics``, each translation's distances to its input, measured so, stand
    below it. UserError, and nothing is written, if a folder holds no translation of an image in ``source``, if an
    image cannot be read, or if ``target`` is no .png file or lies in one of the folders.
    """
    _check_target(target, [source, *folders])
    labels = folder_labels(folders) if labels is None else _checked_labels(labels, folders)
    inputs, passed_over = named_images(source)
    columns = [_column(label, folder, source, inputs) for label, folder in zip(labels, folders, strict=True)]
    names = spread_out([name for name in inputs if any(name in column.images for column in columns)], count)
    captions = [{} if metrics is None else _captions(inputs, column, names, metrics) for column in columns]
    rows = []
    for name in progress_bar(names, "drawing", len(names)):
        picture = thumbnail(read_rgb(inputs[name]))
        rows.append([Cell(picture, [readable(inputs[name].relative_to(source))])])
        for column, lines in zip(columns, captions, strict=True):
            if name in column.images:
                rows[-1].append(Cell(thumbnail(read_rgb(column.images[name])), lines.get(name, [])))
            else:
                rows[-1].append(Cell(empty_frame(picture.size), ["missing"]))
    target.parent.mkdir(parents=True, exist_ok=True)
    save_png(draw_sheet(["input", *labels], rows), target)
    announce(f"drew {len(names)} of {len(inputs)} inputs: {target}")
    for note in [*(f"input: {note}" for note in passed_over), *(note for column in columns for note in column.notes)]:
        announce(f"note: {note}")


def _check_target(target: Path, folders: Iterable[Path]) -> None:
    if target.suffix.lower() != ".png" or target.is_dir():
        raise UserError(f"--output {target}: the sheet is a PNG; name a file ending in .png")
    for folder in folders:
        if target.resolve().is_relative_to(folder.resolve()):
            raise UserError(f"--output {target} is inside {folder}, among the images to show; write somewhere else")


def folder_labels(folders: Sequence[Path]) -> list[str]:
    """The name of each folder, after as much of its path as tells it apart; UserError if one is named twice."""
    paths = [folder.resolve() for folder in folders]
    if len(set(paths)) < len(paths):
        raise UserError(f"a folder is named twice: {', '.join(map(str, folders))}")

    def label(path: Path) -> str:
        depth = 1
        while sum(other.parts[-depth:] == path.parts[-depth:] for other in paths) > 1:
            depth += 1
        return readable(Path(*path.parts[-depth:]))

    return [label(path) for path in paths]


def _checked_labels(labels: Sequence[str], folders: Sequence[Path]) -> Sequence[str]:
    if len(labels) != len(folders) or len(set(labels)) < len(labels) or "" in labels:
        raise UserError(
            f"--labels {','.join(labels)}: one label is needed for each of the {len(folders)} folders, in their order, "
            "all different, separated by commas"
        )
    return labels


def _column(label: str, folder: Path, source: Path, inputs: Images) -> Column:
    found, passed_over = named_images(folder)
    images = outputs_by_partner(found, [inputs])
    missing = [readable(path.relative_to(source)) for name, path in inputs.items() if name not in images]
    extra = [readable(path.relative_to(folder)) for name, path in images.items() if name not in inputs]
    if len(missing) == len(inputs):
        raise UserError(
            f"{folder} and {source} have no names in common; a translation is named like its input, such as "
            f"{next(iter(inputs))}.png"
        )
    notes = [f"{label}: {note}" for note in passed_over]
    if missing:
        notes.append(f"{label} lacks {len(missing)} of {len(inputs)} inputs: {some(missing)}")
    if extra:
        notes.append(f"{label}: {len(extra)} of {len(images)} belong to no input and are left out: {some(extra)}")
    return Column(label, images, notes)


def _captions(inputs: Images, column: Column, names: Sequence[str], metrics: Measuring) -> dict[str, list[str]]:
    pairs = {name: (column.images[name], inputs[name]) for name in names if name in column.images}
    return distances_to_input(pairs, *metrics)
