"""Notes about many files, which count them and name the first few."""

import unicodedata
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

NAMED = 5
"""The number of files that a note names; it only counts the others."""


def some(names: list[str]) -> str:
    """The first few of ``names``, and how many more there are."""
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more


def readable(path: Path) -> str:
    """``path`` with accents normalised (NFC); control characters and undecodable bytes become U+FFFD."""
    text = unicodedata.normalize("NFC", path.as_posix())
    return "".join("\ufffd" if unicodedata.category(letter) in ("Cc", "Cs") else letter for letter in text)


def by_remark(files: Iterable[tuple[str, list[str]]]) -> list[str]:
    """One note per remark, from ``files``: names and the remarks on each."""
    names = defaultdict(list)
    for name, remarks in files:
        for remark in remarks:
            names[remark].append(name)
    return [f"{len(alike)} with {remark} ({some(alike)})" for remark, alike in names.items()]
