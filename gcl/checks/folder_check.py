"""Checks a folder of trainA, trainB and, optionally, testA and testB: reads every image once and compares them all."""

from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

import numpy as np

from gcl.checks.copies import Copies, find_copies
from gcl.checks.image_facts import ImageFacts, ImageFile, read_facts, shorter_side
from gcl.checks.probe import Probe, probe_groups
from gcl.errors import UserError
from gcl.images.file_lists import by_remark, readable
from gcl.images.finding import find_images, passed_over
from gcl.images.manifest import SPLITS, Skipped
from gcl.parallel import in_parallel
from gcl.sources.folder import EXPECTED_TREE, SMALLEST_SIDE, Track

LARGEST_COMPARED = 256
"""The shorter side, in pixels, to which images are shrunk before their pixels are compared; smaller ones stay."""

SMALLEST_SHARE = 0.05
"""The share of the images that may be smaller than the size at which pixels are compared."""


@dataclass(frozen=True)
class FolderCheck:
    """What was found in a folder.

    Attributes:
        splits: the splits for which there is a folder, in the order of SPLITS.
        images: the usable images in the order of the splits and their paths.
        unusable: the files that ``gcl prepare`` refuses, with its reasons.
        notes: other remarks on files.
        copies: see :func:`gcl.checks.copies.find_copies`.
    """

    splits: list[str]
    images: list[ImageFacts]
    unusable: list[Skipped]
    notes: list[str]
    copies: list[Copies]

    @cached_property
    def probes(self) -> list[Probe]:
        """What tells trainA from trainB (:mod:`gcl.checks.probe`); of several copies in a split, one is used."""
        return probe_groups(*([image.numbers for image in self.distinct(split)] for split in ("trainA", "trainB")))

    @property
    def single_image(self) -> bool:
        """Whether there is one picture of each domain only, usable or not, and no test folder."""
        files = [*(image.split for image in self.images), *(file.split for file in self.unusable)]
        return self.splits == sorted(files) == ["trainA", "trainB"]

    def of(self, split: str) -> list[ImageFacts]:
        """The usable images of ``split``."""
        return [image for image in self.images if image.split == split]

    def distinct(self, split: str) -> list[ImageFacts]:
        """The usable images of ``split`` without those that repeat another one there."""
        repeated = {copy.image for group in self.copies if group.where == group.of for copy in group.copies}
        return [image for image in self.of(split) if image.told not in repeated]


def check_folder(folder: Path, track: Track) -> FolderCheck:
    """Checks ``folder``; ``track`` may show the progress. UserError if trainA or trainB is missing."""
    splits, notes = _splits(folder), []
    files = [file for split in splits for file in _find(folder, split, notes)]
    facts = partial(read_facts, _compared_side(files))
    outcomes = list(track(in_parallel(facts, files), "reading images", len(files)))
    images = [outcome for outcome in outcomes if isinstance(outcome, ImageFacts)]
    unusable = [outcome for outcome in outcomes if isinstance(outcome, Skipped)]
    for split in splits:
        remarks = by_remark((image.label, image.remarks) for image in images if image.split == split)
        notes += [f"{split}: {remark}" for remark in remarks]
    return FolderCheck(splits, images, unusable, notes, find_copies(images))


def _splits(folder: Path) -> list[str]:
    """The splits in ``folder``; UserError if trainA or trainB is missing."""
    missing = [split for split in ("trainA", "trainB") if not (folder / split).is_dir()]
    if missing and folder.is_file():
        raise UserError(f"{folder}: a file, not a folder; unpack an archive before it is checked")
    if missing:
        found = f"{' and '.join(missing)} missing" if folder.is_dir() else "no such folder"
        raise UserError(f"{folder}: {found}\n{EXPECTED_TREE.format(path=folder)}")
    return [split for split in SPLITS if (folder / split).is_dir()]


def _find(folder: Path, split: str, notes: list[str]) -> list[ImageFile]:
    """The image files of one split in the order of their paths; adds a note on other files."""
    images, others = find_images(folder / split)
    notes += [f"{split}: {note}" for note in passed_over(others)]
    return [ImageFile(split, readable(path.relative_to(folder / split)), path) for path in images]


def _compared_side(files: list[ImageFile]) -> int:
    """The shorter side at which pixels are compared, so that the size of a file does not pass for its sharpness."""
    sides = [side for side in map(shorter_side, files) if side is not None and side >= SMALLEST_SIDE]
    return min(LARGEST_COMPARED, int(np.quantile(sides, SMALLEST_SHARE, method="lower"))) if sides else SMALLEST_SIDE
