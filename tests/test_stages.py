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
    "gcl/layer_names.py": "which layers can be asked for",
    "gcl/notes.py": "messages",
    "gcl/published_weights.py": "where weights come from, not what they are",
    "pipeline/console.py": "what is printed",
    "pipeline/devices.py": "what it reads is in the stage's params, and messages",
    "gcl/locks.py": "who may write, not what",
    "gcl/public_datasets.py": "what is chosen of it is in the stage's params",
    "gcl/states.py": "what a killed training goes on from, bit for bit",
    "gcl/value_ranges.py": "what it reads is in the stage's params",
    "gcl/tiff_layout.py": "messages",
    "gcl/weight_checks.py": "messages",
    "pipeline/journal.py": "what is logged",
    "pipeline/params.py": "what it reads is in the stage's params",
    "pipeline/resuming.py": "what a killed training goes on from, bit for bit",
    "pipeline/run_names.py": "what is logged",
    "pipeline/stopping.py": "what a stopped command leaves behind",
    "pipeline/store.py": "what is logged",
    "pipeline/sync.py": "what is logged",
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


DECIDES = {"variants": {"gcl/config.py"}}
"""What has an effect on one stage after all."""


def dependencies(stage: str) -> list[str]:
    """Those of the stage, or of any of the stages that a loop makes."""
    return STAGES[stage].get("do", STAGES[stage])["deps"]


def run_by(stage: str) -> set[str]:
    """All code that a stage runs, by following imports from its module."""
    found, waiting = set(), {ROOT / "pipeline" / f"{stage}.py"}
    while waiting:
        file = waiting.pop()
        found.add(file)
        waiting |= imported_by(file) - found
    return {str(file.relative_to(ROOT)) for file in found} - WITHOUT_EFFECT.keys() | DECIDES.get(stage, set())


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_depends_on_the_code_it_runs_and_on_no_other(stage):
    named = {path for path in dependencies(stage) if path.endswith(".py")}
    assert named == run_by(stage)


def test_every_exemption_is_still_a_file():
    assert [name for name in WITHOUT_EFFECT if not (ROOT / name).is_file()] == []
