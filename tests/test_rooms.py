"""Imports point down: a room imports only rooms below it, wherever in its files an import stands."""

from pathlib import Path

import pytest

from pipeline.running.code_that_counts import PACKAGES
from tests.imports import imported_by
from tests.project import ROOT

FLOORS = (
    {"gcl.errors", "gcl.value_ranges"},
    {"gcl.config", "gcl.locks", "gcl.parallel"},
    {"gcl.files"},
    {"gcl.images"},
    {"gcl.networks", "gcl.sources"},
    {"gcl.checks", "gcl.contrast", "gcl.diagnosis", "gcl.measures", "gcl.tiles"},
    {"gcl.scoring", "gcl.training"},
    {"gcl.exchange", "gcl.pretraining"},
    {"pipeline.console", "pipeline.variant_params"},
    {"pipeline.params"},
    {"pipeline.presets", "pipeline.running"},
    {"pipeline.pages", "pipeline.pictures", "pipeline.tracking"},
    {"pipeline.stages", "pipeline.sweeps"},
    {"pipeline.benchmarks"},
    {"pipeline.commands"},
    {"pipeline.cli"},
    {"pipeline.__main__"},
)
"""Rooms, and modules outside any room, from the bottom up. Those on one floor do not import each other."""


def room_of(file: Path) -> str:
    """The folder of a package that holds ``file``, or the file's own name if it lies in the package itself."""
    package, *inner = file.relative_to(ROOT).with_suffix("").parts
    return f"{package}.{inner[0]}"


FILES = [
    file
    for package in PACKAGES
    for file in sorted((ROOT / package).rglob("*.py"))
    if file != ROOT / package / "__init__.py"
]
ROOMS = sorted({room_of(file) for file in FILES})


def test_every_room_has_its_floor():
    assert sorted(room for floor in FLOORS for room in floor) == ROOMS


@pytest.mark.parametrize("room", ROOMS)
def test_no_import_runs_upward(room):
    floor = next(index for index, rooms in enumerate(FLOORS) if room in rooms)
    below = {room}.union(*FLOORS[:floor])
    upward = [
        f"{file.relative_to(ROOT)} imports {other.relative_to(ROOT)}"
        for file in FILES
        for other in sorted(imported_by(file))
        if room_of(file) == room and other in FILES and room_of(other) not in below
    ]
    assert upward == []


def test_the_packages_themselves_import_nothing():
    """Every import of a module runs these files, so whatever they offer is loaded only when it is first used."""
    assert [package for package in PACKAGES if imported_by(ROOT / package / "__init__.py")] == []
