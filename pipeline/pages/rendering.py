"""What both reports are made with: their templates, and words from outside made harmless.

Whatever a person, a file or its name said reaches a page through the filters ``text`` and ``code``.
"""

import html
import re
from collections.abc import Iterable
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from gcl.measures.rounding import shown


def render(template: str, **values: Any) -> str:
    """The text of a template in pipeline/templates; UndefinedError for a value that it wants and does not get."""
    environment = Environment(
        loader=PackageLoader("pipeline.pages"), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"number": shown, "text": text, "code": code, "names": names}
    return environment.get_template(template).render(**values)


def text(words: str) -> str:
    """``words`` as Markdown that shows just these, in one line and without any markup, also in a table's cell."""
    return re.sub(r"([\\`*_\[\]|~$!])", r"\\\1", html.escape(_one_line(words), quote=False))


def code(value: object) -> str:
    """``value`` as a code span for a table's cell, whatever backticks and pipes it holds."""
    content = _one_line(str(value)) or " "
    fence = "`" * (1 + max(map(len, re.findall("`+", content)), default=0))
    # A space beside a fence is no part of the content, and without it the content's own backtick would be.
    padding = " " if content[0] in "` " or content[-1] in "` " else ""
    return f"{fence}{padding}{content}{padding}{fence}".replace("|", r"\|")


def names(listed: Iterable[str]) -> str:
    """Names of ours, such as those of metrics, one after the other as code."""
    return ", ".join(f"`{name}`" for name in listed)


def _one_line(words: str) -> str:
    return " ".join(words.split())
