"""The command `gcl check`: reads the folder with a progress bar, prints the page and writes the JSON file."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from gcl.checks.findings import Finding, findings
from gcl.checks.folder_check import FolderCheck, check_folder
from gcl.checks.image_facts import ImageFacts
from gcl.checks.probe import Probe
from gcl.files import write_json
from gcl.images.file_lists import readable
from pipeline.console import progress_bar
from pipeline.pictures.check_page import print_page
from pipeline.pictures.json_file import check_json_target

DIGITS = 6
"""The significant digits of numbers in the JSON file."""


def check(folder: Path, json: Path | None) -> None:
    """Checks ``folder`` and prints what was found; UserError if trainA, trainB or the folder of ``json`` is missing."""
    check_json_target(json)
    checked = check_folder(folder, progress_bar)
    found = findings(checked)
    print_page(readable(folder), checked, found)
    if json:
        write_json(json, _contents(checked, found))


def _contents(check: FolderCheck, found: list[Finding]) -> dict[str, Any]:
    return {
        "findings": [asdict(finding) for finding in found],
        "largest_image_size": min((image.shorter_side for image in check.images), default=None),
        "probes": [_probe(probe) for probe in check.probes],
        "copies": [asdict(copies) for copies in check.copies],
        "unusable": [asdict(file) for file in check.unusable],
        "notes": check.notes,
        "images": [_image(image) for image in check.images],
    }


def _probe(probe: Probe) -> dict[str, Any]:
    most = probe.most and asdict(probe.most) | {"number": probe.most.number._asdict()}
    return _rounded(asdict(probe) | {"most": most})


def _image(image: ImageFacts) -> dict[str, Any]:
    names = ("split", "label", "width", "height", "format", "kinds", "remarks", "numbers")
    return _rounded({name: getattr(image, name) for name in names})


def _rounded(value: Any) -> Any:
    """``value`` with every number in it to ``DIGITS`` significant digits."""
    if isinstance(value, dict):
        return {key: _rounded(inner) for key, inner in value.items()}
    return float(f"{value:.{DIGITS}g}") if isinstance(value, float) else value
