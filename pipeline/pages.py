"""What both reports are made with: their templates, and the files that other stages left."""

from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from gcl.errors import UserError
from pipeline.numbers import shown


def render(template: str, **values: Any) -> str:
    """The text of a template in pipeline/templates; UndefinedError for a value that it wants and does not get."""
    environment = Environment(
        loader=PackageLoader("pipeline"), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["number"] = shown
    return environment.get_template(template).render(**values)


def existing(path: Path, command: str) -> Path:
    """``path``; UserError with the ``command`` that makes it if it is not there."""
    if not path.is_file():
        raise UserError(f"{path}: not there yet; run: {command}")
    return path
