"""The code that determines a stage's results: the files that dvc.yaml names among its dependencies.

DVC reruns a stage when one of them changes. Everything else that compares code uses this definition too, so that a
change to a log message or to the tracking of runs does not make finished work out of date.
"""

import hashlib
from pathlib import Path

from ruamel.yaml import YAML

from gcl.errors import UserError

ROOT = Path(__file__).parents[2]
"""The project's folder, which holds dvc.yaml and the packages that it names."""

PACKAGES = ("gcl", "pipeline")


def stages() -> dict[str, list[str]]:
    """The dependencies of each stage in dvc.yaml, in the order of the file; UserError if there is no such file."""
    file = ROOT / "dvc.yaml"
    try:
        contents = YAML(typ="safe").load(file)["stages"]
    except FileNotFoundError as error:
        raise UserError(f"{file}: no such file; install the project from a clone: pip install -e .") from error
    return {name: stage.get("do", stage)["deps"] for name, stage in contents.items()}


def code_of(stage: str) -> list[Path]:
    """All files of code, weights and templates that ``stage`` depends on, sorted."""
    named = [ROOT / path for path in stages()[stage] if path.split("/")[0] in PACKAGES]
    files = {file for path in named for file in ([path] if path.is_file() else path.rglob("*")) if file.is_file()}
    return sorted(file for file in files if "__pycache__" not in file.parts)


def code_digest(stage: str) -> str:
    """The SHA-256 of the names and contents of :func:`code_of`."""
    total = hashlib.sha256()
    for file in code_of(stage):
        total.update(file.relative_to(ROOT).as_posix().encode() + file.read_bytes())
    return total.hexdigest()
