"""dvc.yaml: every stage depends on the code that it runs and on the weights and templates that lie beside it."""

import pytest

from pipeline.running.code_that_counts import PACKAGES, code_of, stages
from tests.imports import imported_by
from tests.project import ROOT

WITHOUT_EFFECT = {
    "gcl/__init__.py": "public names",
    "gcl/config.py": "what it reads is in the stage's params",
    "gcl/errors.py": "messages",
    "gcl/files.py": "how files are written, not what",
    "gcl/locks.py": "who may write, not what",
    "gcl/measures/__init__.py": "a docstring",
    "gcl/value_ranges.py": "what it reads is in the stage's params",
    "pipeline/__init__.py": "a docstring",
    "pipeline/console.py": "what is printed",
    "pipeline/params.py": "what it reads is in the stage's params",
    "pipeline/running/__init__.py": "a docstring",
    "pipeline/running/code_that_counts.py": "what it reads is what this test compares",
    "pipeline/running/devices.py": "what it reads is in the stage's params, and messages",
    "pipeline/running/progress.py": "what is printed",
    "pipeline/running/resuming.py": "what a killed training goes on from, bit for bit",
    "pipeline/running/stopping.py": "what a stopped command leaves behind",
    "pipeline/stages/__init__.py": "a docstring",
    "pipeline/tracking/": "what is logged",
}
"""Files and rooms that the stages run and that change none of their outputs."""


def counts(path: str) -> bool:
    return not any(path == name or (name.endswith("/") and path.startswith(name)) for name in WITHOUT_EFFECT)


def run_by(stage: str) -> set[str]:
    """All code that a stage runs, found by following imports, and the weights and templates beside that code."""
    found, waiting = set(), {ROOT / "pipeline" / "stages" / f"{stage}.py"}
    while waiting:
        file = waiting.pop()
        found.add(file)
        # What is imported only by code without effect has no effect either.
        if counts(file.relative_to(ROOT).as_posix()):
            waiting |= imported_by(file) - found
    rooms = {file.parent for file in found} - {ROOT / package for package in PACKAGES}
    # Weights and templates lie beside the code that reads them.
    found |= {file for room in rooms for file in room.rglob("*") if file.suffix not in (".py", ".pyc", ".md", "")}
    names = {file.relative_to(ROOT).as_posix() for file in found}
    return {name for name in names if counts(name)}


@pytest.mark.parametrize("stage", stages())
def test_a_stage_depends_on_all_code_that_it_runs(stage):
    named = {file.relative_to(ROOT).as_posix() for file in code_of(stage)}
    assert run_by(stage) - named == set()


@pytest.mark.parametrize("stage", stages())
def test_a_stage_names_no_room_or_file_that_it_does_not_run(stage):
    named = [path for path in stages()[stage] if path.split("/")[0] in PACKAGES]
    ran = run_by(stage)
    assert [path for path in named if not any(file == path or file.startswith(f"{path}/") for file in ran)] == []


def test_every_exemption_is_still_there():
    assert [name for name in WITHOUT_EFFECT if not (ROOT / name).exists()] == []


def test_the_list_stays_short():
    named = [path for deps in stages().values() for path in deps if path.split("/")[0] in PACKAGES]
    assert len(named) < 70
