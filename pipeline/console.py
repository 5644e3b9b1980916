"""What the stages say: plain lines, and progress bars where there is a terminal to draw them on."""

from collections.abc import Iterable, Iterator
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

Item = TypeVar("Item")

console = Console(highlight=False, soft_wrap=True)


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
    """Passes ``items`` on and draws how far they have come."""
    with bar() as progress:
        yield from progress.track(items, total=total, description=description)
