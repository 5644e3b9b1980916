"""The code that counts: the files that dvc.yaml names among a stage's dependencies.

DVC runs a stage again when one of them changes. Whatever else compares code asks here too, so that there is one
definition: neither a log message nor the tracking of runs makes finished work count as out of date.
"""

import hashlib
from pathlib import Path

from ruamel.yaml import YAML

from gcl.errors import UserError

ROOT = Path(__file__).parents[2]
"""The project: the folder of dvc.yaml, and of the packages that it names."""

PACKAGES = ("gcl", "pipeline")


def stages() -> dict[str, list[str]]:
    """What each stage in dvc.yaml depends on, in the order of the file; UserError where there is no such file."""
    file = ROOT / "dvc.yaml"
    try:
        contents = YAML(typ="safe").load(file)["stages"]
    except FileNotFoundError as error:
        raise UserError(f"{file}: no such file; install the project from a clone: pip install -e .") from error
    return {name: stage.get("do", stage)["deps"] for name, stage in contents.items()}


def code_of(stage: str) -> list[Path]:
    """All files of code, weights and templates that a ``stage`` depends on, sorted."""
    named = [ROOT / path for path in stages()[stage] if path.split("/")[0] in PACKAGES]
    files = {file for path in named for file in ([path] if path.is_file() else path.rglob("*")) if file.is_file()}
    return sorted(file for file in files if "__pycache__" not in file.parts)


def code_digest(stage: str) -> str:
    """The SHA-256 of the names and contents of :func:`code_of`."""
    total = hashlib.sha256()
    for file in code_of(stage):
        total.update(file.relative_to(ROOT).as_posix().encode() + file.read_bytes())
    return total.hexdigest()
