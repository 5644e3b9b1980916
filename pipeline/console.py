"""The output of the stages: plain lines, and progress bars if there is a terminal."""

import errno
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TextIO, TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

Item = TypeVar("Item")

GONE = (errno.EIO, errno.EPIPE)
"""The errors of writing to a closed terminal, or to a pipe that nobody reads any more."""


class Output:
    """Standard output. Once nobody reads it any more, the command goes on silently: only signals end a command."""

    def write(self, text: str) -> None:
        """Writes ``text`` if that is possible."""
        with _unheard():
            _standard_output().write(text)

    def flush(self) -> None:
        """Flushes what was written if that is possible."""
        with _unheard():
            _standard_output().flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(_standard_output(), name)


@contextmanager
def _unheard() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in GONE:
            raise
        # Text that is still buffered is written when Python exits, at the latest, and must not fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), _standard_output().fileno())


def _standard_output() -> TextIO:
    """The stream itself, even while rich has put its own in front of it."""
    return getattr(sys.stdout, "rich_proxied_file", sys.stdout)


console = Console(file=Output(), highlight=False, soft_wrap=True)


def announce(text: str) -> None:
    """Prints ``text`` as it is."""
    console.print(text, markup=False)


def bar(*columns: TextColumn | str) -> Progress:
    """A progress display with a bar, counts, time left and the given ``columns``."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        *columns,
        console=console,
        disable=not console.is_terminal,
    )


def progress_bar(items: Iterable[Item], description: str, total: int) -> Iterator[Item]:
    """Yields ``items`` and draws a progress bar."""
    with bar() as progress:
        yield from progress.track(items, total=total, description=description)


def level_bar(levels: Iterable[int], description: str, total: int) -> Iterator[int]:
    """Yields ``levels``, each saying how much of ``total`` has been reached, and draws a progress bar."""
    with bar() as progress:
        task = progress.add_task(description, total=total)
        for level in levels:
            progress.update(task, completed=level)
            yield level
