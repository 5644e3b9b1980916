"""dvc.yaml: every stage depends on exactly the code it runs."""

import ast
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from tests.conftest import ROOT

STAGES = YAML(typ="safe").load(ROOT / "dvc.yaml")["stages"]

WITHOUT_EFFECT = {
    "gcl/config.py": "what it reads is in the stage's params",
    "gcl/errors.py": "messages",
    "gcl/published_weights.py": "where weights come from, not what they are",
    "pipeline/console.py": "what is printed",
    "pipeline/devices.py": "messages",
    "pipeline/params.py": "what it reads is in the stage's params",
    "pipeline/tracking.py": "what is logged",
}


def imported_by(file: Path) -> set[Path]:
    """The project's modules that ``file`` imports, wherever in it."""
    names = {
        node.module
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and node.module
    }
    modules = {ROOT / f"{name.replace('.', '/')}.py" for name in names if name.split(".")[0] in ("gcl", "pipeline")}
    return {module for module in modules if module.is_file()}


def run_by(stage: str) -> set[str]:
    """All code that a stage runs, by following imports from its module."""
    found, waiting = set(), {ROOT / "pipeline" / f"{stage}.py"}
    while waiting:
        file = waiting.pop()
        found.add(file)
        waiting |= imported_by(file) - found
    return {str(file.relative_to(ROOT)) for file in found} - WITHOUT_EFFECT.keys()


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_depends_on_the_code_it_runs_and_on_no_other(stage):
    named = {path for path in STAGES[stage]["deps"] if path.endswith(".py")}
    assert named == run_by(stage)


def test_every_exemption_is_still_a_file():
    assert [name for name in WITHOUT_EFFECT if not (ROOT / name).is_file()] == []
