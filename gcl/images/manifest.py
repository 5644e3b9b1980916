"""The inventory of a prepared data set: the name, size and hash of every image, and one hash of all of them."""

import hashlib
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image

from gcl.errors import UserError
from gcl.files import write_whole

SPLITS = ("trainA", "trainB", "testA", "testB")

VALIDATION = ("validationA", "validationB")
"""The splits of a data set that holds images back to validate on; others do not have them."""

FILE = "manifest.json"


@dataclass(frozen=True)
class Entry:
    """One stored image: file name, width and height in pixels, SHA-256 of its size and RGB bytes."""

    name: str
    width: int
    height: int
    sha256: str


@dataclass(frozen=True)
class Skipped:
    """A file that could not be used: the split it was found in, its path there, and the reason."""

    split: str
    name: str
    reason: str


@dataclass(frozen=True)
class Manifest:
    """What ``prepare`` stored.

    Attributes:
        source: ``data.source`` of params.yaml.
        paired: whether testB holds the true translations of testA under the same names.
        masks: whether masks/ holds the class ids of testA.
        splits: the entries of trainA, trainB, testA and testB and, if there are any, of validationA and validationB.
        notes: remarks for people.
        warnings: remarks without which the metrics would mislead.
        skipped: the files that could not be used.
        direction: ``data.direction``; with BtoA, A here is what the source calls B.
    """

    source: str
    paired: bool
    masks: bool
    splits: dict[str, list[Entry]]
    notes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    direction: str = "AtoB"

    @property
    def validates(self) -> bool:
        """Whether images were held back to validate on."""
        return VALIDATION[0] in self.splits

    @property
    def single_image(self) -> bool:
        """Whether there is one picture of each domain only, which is also the test image."""
        domains = [(self.splits[f"train{domain}"], self.splits[f"test{domain}"]) for domain in "AB"]
        return all(len(train) == 1 and train == test for train, test in domains)

    @property
    def validation_paired(self) -> bool:
        """Whether validationB holds the true translations of validationA under the same names."""
        return self.validates and self.source == "scenes"

    @property
    def sha256(self) -> str:
        """One hash of all stored images and their splits, but of nothing else."""
        contents = json.dumps({split: [asdict(entry) for entry in entries] for split, entries in self._ordered()})
        return hashlib.sha256(contents.encode()).hexdigest()

    def counts(self) -> dict[str, int]:
        """The number of images per split."""
        return {split: len(entries) for split, entries in self._ordered()}

    def _ordered(self) -> list[tuple[str, list[Entry]]]:
        return [(split, self.splits[split]) for split in (*SPLITS, *VALIDATION) if split in self.splits]

    def save(self, folder: Path) -> None:
        """Writes manifest.json into ``folder``."""
        contents: dict[str, Any] = {**asdict(self), "sha256": self.sha256}
        write_whole(folder / FILE, (json.dumps(contents, indent=1) + "\n").encode())


def describe(name: str, image: Image.Image) -> Entry:
    """The entry of an RGB ``image`` stored as ``name``."""
    content = f"{image.width}x{image.height}".encode() + image.tobytes()
    return Entry(name, image.width, image.height, hashlib.sha256(content).hexdigest())


def uneven_sizes(splits: dict[str, list[Entry]]) -> list[str]:
    """A warning if the images that FID and KID compare differ in their shorter sides; otherwise empty.

    Also empty if there is a single test image of a domain, because then there is neither FID nor KID.
    """
    if min(len(splits["testA"]), len(splits["testB"])) < 2:
        return []
    sides = {f"{split}/{entry.name}": entry for split in SPLITS if split != "trainA" for entry in splits[split]}
    least, most = (choose(sides, key=lambda name: _shorter(sides[name])) for choose in (min, max))
    small, large = (_shorter(sides[name]) for name in (least, most))
    if small == large:
        return []
    return [
        f"FID and KID see every image shrunk to {small} pixels, the shorter side of the smallest ({least}, "
        f"{sides[least].width}x{sides[least].height}), while others have up to {large} ({most}); leave out "
        f"small images or set data.image_size"
    ]


def _shorter(entry: Entry) -> int:
    return min(entry.width, entry.height)


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a prepared ``folder``; UserError if it was never prepared or its manifest is unreadable."""
    path = folder / FILE
    try:
        contents = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UserError(f"{folder}: no prepared data here ({FILE} is missing); run: gcl prepare") from error
    except ValueError as error:
        raise UserError(f"{path}: not JSON ({error}); prepare the data again: gcl prepare") from error
    try:
        del contents["sha256"]
        present = [*SPLITS, *(split for split in VALIDATION if split in contents["splits"])]
        splits = {split: [Entry(**entry) for entry in contents["splits"][split]] for split in present}
        skipped = [Skipped(**file) for file in contents.get("skipped", ())]
        return Manifest(**{**contents, "splits": splits, "skipped": skipped})
    except (TypeError, KeyError) as error:
        raise UserError(f"{path}: not a manifest of this version; prepare the data again: gcl prepare") from error
