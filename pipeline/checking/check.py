"""The command `gcl check`: reads the folder with a progress bar, prints the page and writes the JSON file."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from gcl.checks.findings import findings
from gcl.checks.folder_check import FolderCheck, check_folder
from gcl.checks.image_facts import ImageFacts
from gcl.files import write_json
from pipeline.checking.page import print_page
from pipeline.console import progress_bar

DIGITS = 6
"""The significant digits of numbers in the JSON file."""


def check(folder: Path, json: Path | None) -> None:
    """Checks ``folder`` and prints what was found; UserError if trainA or trainB is missing."""
    found = check_folder(folder, progress_bar)
    if json:
        write_json(json, _contents(found))
    print_page(str(folder), found, findings(found))


def _contents(found: FolderCheck) -> dict[str, Any]:
    return {
        "findings": [asdict(finding) for finding in findings(found)],
        "largest_image_size": min((image.shorter_side for image in found.images), default=None),
        "probes": [_rounded(asdict(probe)) for probe in found.probes],
        "copies": [asdict(copies) for copies in found.copies],
        "unusable": [asdict(file) for file in found.unusable],
        "notes": found.notes,
        "images": [_image(image) for image in found.images],
    }


def _image(image: ImageFacts) -> dict[str, Any]:
    names = ("split", "label", "width", "height", "format", "kinds", "remarks", "numbers")
    return _rounded({name: getattr(image, name) for name in names})


def _rounded(value: Any) -> Any:
    """``value`` with every number in it to ``DIGITS`` significant digits."""
    if isinstance(value, dict):
        return {key: _rounded(inner) for key, inner in value.items()}
    return float(f"{value:.{DIGITS}g}") if isinstance(value, float) else value
