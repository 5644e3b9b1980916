"""Renders the templates of both reports, and escapes text from outside.

Everything that comes from a person, a file or a file's name reaches a page through the filters ``text`` and ``code``.
"""

import html
import re
from collections.abc import Iterable
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from gcl.measures.rounding import shown


def render(template: str, **values: Any) -> str:
    """Renders a template in pipeline/pages/templates; UndefinedError if a value that it uses is missing."""
    environment = Environment(
        loader=PackageLoader("pipeline.pages"), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"number": shown, "text": text, "code": code, "names": names}
    return environment.get_template(template).render(**values)


def text(words: str) -> str:
    """``words`` as Markdown that shows them literally in one line, without any markup, even in a table's cell."""
    return re.sub(r"([\\`*_\[\]|~$!])", r"\\\1", html.escape(_one_line(words), quote=False))


def code(value: object) -> str:
    """``value`` as a code span that is valid in a table's cell, whatever backticks and pipes it contains."""
    content = _one_line(str(value)) or " "
    fence = "`" * (1 + max(map(len, re.findall("`+", content)), default=0))
    # Markdown strips one space beside each fence. Without it, a backtick of the content would become part of the fence.
    padding = " " if content[0] in "` " or content[-1] in "` " else ""
    return f"{fence}{padding}{content}{padding}{fence}".replace("|", r"\|")


def names(listed: Iterable[str]) -> str:
    """The project's own names, such as those of metrics, as a list of code spans."""
    return ", ".join(f"`{name}`" for name in listed)


def _one_line(words: str) -> str:
    return " ".join(words.split())
