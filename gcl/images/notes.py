"""What there is to tell of many files: counted, and the first few named."""

import unicodedata
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

NAMED = 5
"""Files that a note names before it only counts."""


def some(names: list[str]) -> str:
    """The first few of ``names``."""
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more


def readable(path: Path) -> str:
    """``path`` in one way of writing accents, without control characters and bytes that are no text."""
    text = unicodedata.normalize("NFC", path.as_posix())
    return "".join("\ufffd" if unicodedata.category(letter) in ("Cc", "Cs") else letter for letter in text)


def by_remark(files: Iterable[tuple[str, list[str]]]) -> list[str]:
    """A note for every remark, from the names of files and the remarks on each."""
    names = defaultdict(list)
    for name, remarks in files:
        for remark in remarks:
            names[remark].append(name)
    return [f"{len(alike)} with {remark} ({some(alike)})" for remark, alike in names.items()]
