"""Which files of the project a file imports."""

import ast
from pathlib import Path

from pipeline.running.code_that_counts import PACKAGES
from tests.project import ROOT


def files_of(module: str) -> set[Path]:
    """The file of ``gcl.X.Y`` and the ``__init__.py`` of its packages, which run before it."""
    place = ROOT / module.replace(".", "/")
    own = place.with_suffix(".py") if place.with_suffix(".py").is_file() else place / "__init__.py"
    return {file for file in (own, *(folder / "__init__.py" for folder in own.parents)) if file.is_relative_to(ROOT)}


def imported_by(file: Path) -> set[Path]:
    """The project's modules that ``file`` imports anywhere."""
    nodes = list(ast.walk(ast.parse(file.read_text(encoding="utf-8"))))
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    for node in nodes:
        if isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    found = {path for name in names if name.split(".")[0] in PACKAGES for path in files_of(name)}
    return {path for path in found if path.is_file()}
