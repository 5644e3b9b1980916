"""A training that can be interrupted.

Its states lie outside of DVC's outputs, which DVC deletes before it runs a stage.
"""

import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gcl.states import State, newest_state, save_state
from pipeline.console import announce
from pipeline.params import flatten

FORMAT = 4
"""Of the contents of a state, names of weights included; another one starts afresh."""


class Unfinished:
    """The folder of one training's states, and of the sample grids it has drawn.

    A state counts only for a training that is ``made_from`` the same parameters and data.
    """

    def __init__(self, folder: Path, made_from: dict[str, Any]):
        self.folder, self.samples = folder, folder / "samples"
        self._made_from = {"format": FORMAT, **flatten(made_from)}

    def find(self, restart: bool) -> State | None:
        """The newest state to go on from; what cannot be used, or shall not be if ``restart``, is removed."""
        found = None if restart else newest_state(self.folder)
        if found is not None:
            for path in found.damaged:
                announce(f"warning: {path} is damaged; an older state is used")
            changed = self._changes(found.contents["made_from"])
            if not changed:
                announce(f"going on after step {found.step}")
                return found
            announce(f"an unfinished training is there, but of other settings; starting afresh ({changed})")
        self.remove()
        return None

    def save(self, step: int, contents: dict[str, Any]) -> None:
        """Keeps what the training goes on from after ``step``."""
        save_state(self.folder, step, {"made_from": self._made_from, **contents})

    def remove(self) -> None:
        """Forgets the training, which is finished or starts afresh."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _changes(self, before: dict[str, Any]) -> str:
        """The first few settings that differ, in words."""
        now = self._made_from
        keys = sorted(key for key in now.keys() | before.keys() if now.get(key) != before.get(key))
        shown = [f"{key}: {before.get(key)} -> {now.get(key)}" for key in keys[:3]]
        return ", ".join(shown + (["..."] if len(keys) > 3 else []))


class Stop:
    """Whether the process was asked to stop, and by which signal."""

    def __init__(self):
        self.signal: int | None = None


@contextmanager
def stopping_between_steps() -> Iterator[Stop]:
    """Inside, the first SIGINT or SIGTERM is only noted, so that nothing stops halfway; a second one stops at once."""
    stop, before = Stop(), {}

    def note(number: int, _) -> None:
        stop.signal = number
        restore()

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    for number in (signal.SIGINT, signal.SIGTERM):
        before[number] = signal.signal(number, note)
    try:
        yield stop
    finally:
        restore()
