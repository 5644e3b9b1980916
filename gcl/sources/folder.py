"""Imports a folder of images: trainA, trainB, testA, testB of upright 8-bit RGB PNGs, and their manifest.

Images are found in trainA, trainB, testA and testB and in all folders inside them (:mod:`gcl.images.finding`); other
files and links to folders are ignored with a note. Paths become names: ``sub/a.jpg`` is stored as ``sub_a.png``. If an
earlier path has taken that name, ignoring case, it is stored as ``sub_a_2.png`` and so on, with a note. With
``data.test_pairs`` testA and testB must have the same paths, apart from suffixes, and none may need a number.
:mod:`gcl.images.decoding` describes how each kind of file is decoded.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from functools import partial
from itertools import chain, count
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from gcl.config import DataConfig
from gcl.errors import UserError
from gcl.images.decoding import SUFFIXES, BadImageError, decode, save_png
from gcl.images.file_lists import by_remark, readable, some
from gcl.images.finding import find_images, passed_over
from gcl.images.manifest import SPLITS, Entry, Manifest, Skipped, describe, uneven_sizes
from gcl.images.prepared import Prepared
from gcl.parallel import in_parallel
from gcl.sources.holding_back import FEWEST_TO_TEST, copy_to_tests, hold_back_to_test, hold_back_to_validate

EXPECTED_TREE = """expected:
  {path}/
    trainA/   images of the domain to translate from
    trainB/   images of the domain to translate to
    testA/    optional; without it a share of trainA is held back
    testB/    optional; without it a share of trainB is held back
or one picture in trainA, one in trainB and no tests"""

SMALLEST_SIDE = 32
"""In pixels; nothing would be left of a smaller image after the networks' downsampling."""

LONGEST_STEM = 200
"""The most bytes of a stored name before its suffix; file systems allow 255, and partial files have longer names."""

OFFER = (
    "the names of testA and testB agree: if images of one name show the same thing, set data.test_pairs: true to have "
    "the translations compared with the truth"
)
"""The note on test images that could be pairs."""

Track = Callable[[Iterable, str, int], Iterable]
"""Yields the items it is given and shows their progress; the other arguments are a description and a total."""


class Found(NamedTuple):
    """An image file: its path, its split, its path within the split in readable characters, and its stored name."""

    path: Path
    split: str
    label: str
    name: str

    @property
    def told(self) -> str:
        """What messages call it."""
        return f"{self.split}/{self.label}"

    @property
    def pair(self) -> str:
        """What a test image shares with its partner: its path within the split, without the suffix."""
        return self.label.rpartition(".")[0]


class Stored(NamedTuple):
    """A stored image: the file it came from, its entry in the manifest, and remarks on what was left out."""

    found: Found
    entry: Entry
    remarks: list[str]


def import_folder(config: DataConfig, source: Path, target: Prepared, track: Track) -> Manifest:
    """Stores the images of ``source`` in ``target``, with their shorter sides shrunk to ``config.image_size``.

    ``track`` may show the progress. If there is no testA or testB, a share of the training images is held back for it;
    if there is neither, and only one picture of each domain, each picture is also the test image.

    Raises UserError for a missing folder or too few images, and BadImageError for the first unusable file in the order
    of the paths, unless ``config.on_bad_image`` is skip.
    """
    needed, notes = _needed(config, source), []
    found = [file for split in needed for file in _find(source, split, notes)]
    single = [file.split for file in found] == list(needed) == ["trainA", "trainB"]
    if single:
        needed = dict.fromkeys(needed, 1)
    _check_counts(source, needed, found, "; ".join([f"files ending in {' '.join(SUFFIXES)} are read", *notes]))
    if config.test_pairs:
        _check_pairs(source, _unpaired(found))
    for split in SPLITS:
        target.split(split).mkdir()
    outcomes = list(track(in_parallel(partial(_store, config, target), found), "importing images", len(found)))
    stored = [outcome for outcome in outcomes if isinstance(outcome, Stored)]
    skipped = [outcome for outcome in outcomes if isinstance(outcome, Skipped)]
    _check_counts(source, needed, [file.found for file in stored], f"skipped: {_reasons(skipped)}")
    splits = {split: [file.entry for file in stored if file.found.split == split] for split in SPLITS}
    notes += _remarks(stored)
    if skipped:
        notes.append(f"{len(skipped)} of {len(found)} files were unusable and were skipped")
    notes += _settle_pairs(config, source, stored, skipped)
    if single:
        notes.append(copy_to_tests(target, splits))
        return Manifest(config.source, False, False, splits, notes, [], skipped)
    for domain in "AB":
        if f"test{domain}" not in needed:
            notes.append(hold_back_to_test(config, target, splits, domain))
    notes += hold_back_to_validate(config, target, splits)
    notes += _repetitions(splits)
    warnings = _leaks(splits) + uneven_sizes(splits)
    return Manifest(config.source, config.test_pairs, False, splits, notes, warnings, skipped)


# --- finding -------------------------------------------------------------------------------------------------------


def _needed(config: DataConfig, source: Path) -> dict[str, int]:
    """The splits in ``source`` and how many images each needs at least.

    UserError if trainA or trainB is missing, or a test folder whose images should be pairs.
    """
    missing = [split for split in ("trainA", "trainB") if not (source / split).is_dir()]
    if missing:
        if source.is_file():
            raise UserError(f"data.path = {source}: a file, not a folder; unpack it, or name a .zip archive")
        found = f"{' and '.join(missing)} missing" if source.is_dir() else "no such folder"
        raise UserError(f"data.path = {source}: {found}\n{EXPECTED_TREE.format(path=source)}")
    tests = {f"test{domain}": FEWEST_TO_TEST for domain in "AB" if (source / f"test{domain}").is_dir()}
    untested = [split for split in ("testA", "testB") if split not in tests]
    if config.test_pairs and untested:
        raise UserError(
            f"data.test_pairs = true: {source} has no {' and no '.join(untested)}, and training images that are held "
            "back are no pairs; add testA and testB with images of the same names, or set data.test_pairs: false"
        )
    return {f"train{domain}": 1 if f"test{domain}" in tests else 1 + FEWEST_TO_TEST for domain in "AB"} | tests


def _find(source: Path, split: str, notes: list[str]) -> list[Found]:
    """The images of one split in the order of their paths."""
    images, others = find_images(source / split)
    notes += [f"{split}: {note}" for note in passed_over(others)]
    labels = [readable(path.relative_to(source / split)) for path in images]
    names = _names(split, labels, notes)
    return [Found(path, split, label, name) for path, label, name in zip(images, labels, names, strict=True)]


def _names(split: str, labels: list[str], notes: list[str]) -> list[str]:
    """The unique names under which files are stored; adds a note on those that had to be numbered."""
    names, taken, moved = [], set(), []
    for label in labels:
        stem = _own_stem(label)
        candidates = chain([stem], (f"{stem}_{number}" for number in count(2)))
        free = next(candidate for candidate in candidates if candidate.casefold() not in taken)
        taken.add(free.casefold())
        names.append(f"{free}.png")
        if free != stem:
            moved.append(f"{label} as {free}.png")
    if moved:
        notes.append(f"{split}: {len(moved)} numbered, because their names were taken ({some(moved)})")
    return names


def _own_stem(label: str) -> str:
    """The stem under which the file ``label`` is stored, unless an earlier file has taken it."""
    return label.rpartition(".")[0].replace("/", "_").encode()[-LONGEST_STEM:].decode(errors="ignore")


def _check_counts(source: Path, needed: dict[str, int], files: list[Found], hint: str) -> None:
    """Raises UserError for the first split that has too few ``files``."""
    counts = Counter(file.split for file in files)
    for split, fewest in needed.items():
        if counts[split] < fewest:
            held_back = f", {FEWEST_TO_TEST} of them to hold back for tests" if fewest > FEWEST_TO_TEST else ""
            found = f"{counts[split] or 'no'} images here, at least {fewest} needed{held_back}"
            raise UserError(f"{source / split}: {found}; {hint}")


# --- pairs of test images ------------------------------------------------------------------------------------------


def _settle_pairs(config: DataConfig, source: Path, stored: list[Stored], skipped: list[Skipped]) -> list[str]:
    """A note if the test images could be pairs; UserError if they should be pairs and are not."""
    unpaired = _unpaired([file.found for file in stored])
    fault = unpaired or _uneven_pairs(stored)
    if config.test_pairs:
        of_tests = [file for file in skipped if file.split.startswith("test")]
        _check_pairs(source, fault, f"; skipped: {_reasons(of_tests)}" if unpaired and of_tests else "")
    return [] if fault or config.test_pairs else [OFFER]


def _check_pairs(source: Path, fault: str | None, hint: str = "") -> None:
    """UserError if there is a ``fault``, which ends with advice; ``hint`` is appended."""
    if fault:
        raise UserError(f"data.test_pairs = true, but in {source} {fault}, or set data.test_pairs: false{hint}")


def _unpaired(files: list[Found]) -> str | None:
    """Why the test images among ``files`` are not pairs of one name each, for _check_pairs; None if they are."""
    tests = [file for file in files if file.split.startswith("test")]
    alike = [file.told for file in tests if file.name != f"{_own_stem(file.label)}.png"]
    if alike:
        return f"{len(alike)} test images have the name of another in the same folder ({some(alike)}): rename them"
    counts = Counter(file.pair for file in tests)
    alone = [file.told for file in tests if counts[file.pair] == 1]
    if alone or not tests:
        return f"{len(alone)} of {len(tests)} test images have no partner of the same name ({some(alone)}): remove them"
    return None


def _uneven_pairs(stored: list[Stored]) -> str | None:
    """Why the pairs of stored test images have not one size each, for _check_pairs; None if they have."""
    first, second = ({f.entry.name: f for f in stored if f.found.split == split} for split in ("testA", "testB"))
    pairs = [(file, second[name]) for name, file in first.items()]
    uneven = [
        " and ".join(f"{file.found.told} {file.entry.width}x{file.entry.height}" for file in pair)
        for pair in pairs
        if (pair[0].entry.width, pair[0].entry.height) != (pair[1].entry.width, pair[1].entry.height)
    ]
    if uneven:
        return f"{len(uneven)} of {len(pairs)} pairs would be stored in two sizes ({some(uneven)}): crop or remove them"
    return None


# --- storing -------------------------------------------------------------------------------------------------------


def _store(config: DataConfig, target: Prepared, found: Found) -> Stored | Skipped:
    """Decodes, shrinks and saves one image; BadImageError if it is unusable and must not be skipped."""
    try:
        image, remarks = decode(found.path)
        image = _shrink(image, config.image_size, found.path)
    except BadImageError as error:
        if config.on_bad_image == "stop":
            raise
        return Skipped(found.split, found.label, error.reason)
    save_png(image, target.split(found.split) / found.name)
    return Stored(found, describe(found.name, image), remarks)


def _shrink(image: Image.Image, size: int | None, path: Path) -> Image.Image:
    """Scales the shorter side down to ``size``; never enlarges. BadImageError if the image is too small."""
    shorter = min(image.size)
    if shorter < SMALLEST_SIDE:
        raise BadImageError(path, f"{image.width}x{image.height} pixels; at least {SMALLEST_SIDE} per side are needed")
    if size is None or shorter == size:
        return image
    if shorter < size:
        reason = f"smaller than data.image_size {size}; use larger images or a smaller data.image_size"
        raise BadImageError(path, f"{image.width}x{image.height} pixels, {reason}")
    return image.resize([max(size, round(side * size / shorter)) for side in image.size], Image.Resampling.LANCZOS)


# --- notes and warnings --------------------------------------------------------------------------------------------


def _reasons(skipped: list[Skipped]) -> str:
    return some([f"{file.split}/{file.name}: {file.reason}" for file in skipped])


def _remarks(stored: list[Stored]) -> list[str]:
    by_split = {split: [(f.found.label, f.remarks) for f in stored if f.found.split == split] for split in SPLITS}
    return [f"{split}: {note}" for split, files in by_split.items() for note in by_remark(files)]


def _repetitions(splits: dict[str, list[Entry]]) -> list[str]:
    spare = {split: len(entries) - len({entry.sha256 for entry in entries}) for split, entries in splits.items()}
    return [f"{split}: {number} repeat another image in it" for split, number in spare.items() if number]


def _leaks(splits: dict[str, list[Entry]]) -> list[str]:
    """Warnings about test or validation images that are also training images, pixel by pixel."""
    warnings = []
    for test in [split for split in splits if not split.startswith("train")]:
        train = f"train{test[-1]}"
        trained = {entry.sha256: entry.name for entry in splits[train]}
        both = [f"{entry.name} = {trained[entry.sha256]}" for entry in splits[test] if entry.sha256 in trained]
        if both:
            warnings.append(
                f"{len(both)} of {len(splits[test])} images of {test} are in {train} too, which invalidates the "
                f"metrics; remove them from one of the two ({some(both)})"
            )
    return warnings
