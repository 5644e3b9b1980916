"""The page of `gcl check`: first what to look at, then tables of what there is."""

from collections import Counter
from statistics import median
from textwrap import wrap

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from gcl.checks.findings import Finding, telling
from gcl.checks.folder_check import FolderCheck
from gcl.checks.groups import GROUPS
from gcl.images.file_lists import some
from pipeline.console import console

WORDS = {group.name: group.words for group in GROUPS} | {"all": "all of these together"}

PROBES = (
    "Right of 100: so many images were put into the right domain by a linear classifier that saw only these numbers, "
    'and learned from other images. Guessing gets 50, and may get as many as the column "chance" says. Of the training '
    "images, one of several copies was used. A difference that belongs to the task is fine, as brightness is from day "
    "to night; borders, compression and size hardly ever belong to it."
)

COPIES = (
    "Copies (~) are found if they were re-saved, resized, mirrored, or cropped by a percent or two; = marks those with "
    "the same pixels."
)

FID = "FID is biased with fewer test images than features have dimensions (Inception's have 2048): compare by KID."

WHOLE_WORDS = {"break_long_words": False, "break_on_hyphens": False}
"""Names of files are never broken."""

MANY_SMALL = 1.25
"""How much larger data.image_size must get without the smallest images to be worth a sentence."""

SMALL_SHARE = 0.05
"""The share of images that this sentence leaves out."""


def print_page(name: str, check: FolderCheck, found: list[Finding]) -> None:
    """Prints the page about the folder called ``name``."""
    things = f"look at {'this' if len(found) == 1 else f'these {len(found)} things'}" if found else "fine"
    console.print(Text(f"{name}: {things}", style="bold"))
    for number, finding in enumerate(found, 1):
        console.print()
        _say(finding.headline, f"{number}. ")
        for text in filter(None, (some(finding.files), finding.advice)):
            _say(text, "   ")
    _title("Images")
    console.print(_images(check), soft_wrap=False)
    for sentence in _sizes(check):
        _say(sentence)
    _title("Copies")
    if check.copies:
        console.print(_copies(check), soft_wrap=False)
    _say(COPIES if check.copies else f"None found. {COPIES}")
    _title("What tells A from B apart from the content")
    if check.probes[0].accuracy is None:
        counts = " and ".join(f"{len(check.distinct(f'train{domain}'))} of {domain}" for domain in "AB")
        _say(f"Nothing can be said: {counts}, copies left out, are too few to tell a difference from chance.")
    else:
        console.print(_probes(check), soft_wrap=False)
        _say(PROBES)
    _title("Notes")
    for note in [*check.notes, *_test_notes(check)]:
        _say(note, "- ")


def _title(title: str) -> None:
    console.print(Text(f"\n{title}", style="bold"))


def _say(text: str, start: str = "") -> None:
    """Prints ``text`` in lines as wide as the terminal, the first one after ``start``, the others indented as far."""
    indent = " " * len(start)
    lines = wrap(text, console.width, initial_indent=start, subsequent_indent=indent, **WHOLE_WORDS)
    console.print(Text("\n".join(lines)))


def _table(*columns: str, numbers: tuple[str, ...] = ()) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        table.add_column(column, justify="right" if column in numbers else "left")
    return table


def _images(check: FolderCheck) -> Table:
    sides = ("least", "median", "most")
    table = _table("", "images", *sides, "files", "pixels", numbers=("images", *sides))
    for split in check.splits:
        images = check.of(split)
        ordered = sorted(image.shorter_side for image in images)
        shown = [str(side) for side in (ordered[0], round(median(ordered)), ordered[-1])] if images else ["", "", ""]
        formats = Counter(image.format for image in images)
        kinds = Counter(kind for image in images for kind in image.kinds)
        table.add_row(split, str(len(images)), *shown, _counted(formats, len(images)), _counted(kinds, len(images)))
    return table


def _counted(kinds: Counter[str], images: int) -> str:
    """The kinds, each with its number unless all images are of it: "gray, 3 CMYK"."""
    return ", ".join(kind if number == images else f"{number} {kind}" for kind, number in sorted(kinds.items()))


def _sizes(check: FolderCheck) -> list[str]:
    if not check.images:
        return []
    ordered = sorted(check.images, key=lambda image: image.shorter_side)
    smallest = ordered[0]
    sentences = [
        f"Least, median and most are shorter sides in pixels. data.image_size may be {smallest.shorter_side} at most, "
        f"because {smallest.told} has {smallest.width}x{smallest.height}."
    ]
    left_out = int(len(ordered) * SMALL_SHARE)
    if ordered[left_out].shorter_side >= MANY_SMALL * smallest.shorter_side:
        limit = ordered[left_out].shorter_side
        small = [image.told for image in ordered if image.shorter_side < limit]
        sentences.append(f"Without the {len(small)} smallest ({some(small)}) it may be {limit}.")
    return sentences


def _copies(check: FolderCheck) -> Table:
    table = _table("images of", "that look like one in", "number", "of", "same pixels", numbers=("number", "of"))
    for found in check.copies:
        other = "the same" if found.where == found.of else found.of
        table.add_row(found.where, other, str(len(found.copies)), str(found.images), str(found.exact))
    return table


def _probes(check: FolderCheck) -> Table:
    numbers = ("right of 100", "chance")
    table = _table("", *numbers, "what differs most", numbers=numbers)
    for probe in check.probes:
        right = f"{100 * probe.accuracy:.0f} ± {100 * probe.spread:.0f}"
        most = telling(probe.most) if probe.tells else "nothing beyond chance"
        table.add_row(WORDS[probe.name], right, f"{100 * probe.bound:.0f}", most if probe.name != "all" else "")
    return table


def _test_notes(check: FolderCheck) -> list[str]:
    if check.single_image:
        return ["each picture is also its own test image"]
    held_back = [
        f"no test{domain}: gcl prepare will hold back a share of train{domain} (data.test_share)"
        for domain in "AB"
        if f"test{domain}" not in check.splits
    ]
    return [*held_back, FID]
