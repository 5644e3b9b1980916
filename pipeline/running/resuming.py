"""A training that can be interrupted.

Its states lie outside of DVC's outputs, which DVC deletes before it runs a stage.
"""

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

from gcl.files import write_json
from gcl.training.states import State, newest_state, save_state
from pipeline.console import announce
from pipeline.params import flatten, repository_root
from pipeline.running.code_that_counts import code_digest

FORMAT = 4
"""Of the contents of a state, names of weights included; another one starts afresh."""

STEPS = "train.steps"


class Unfinished:
    """The folder of one training's states, and of the sample grids it has drawn.

    A state counts only for a training that is ``made_from`` the same parameters and data. In the clone of a DVC
    experiment, which is lost when it is killed, ``folder`` is one in the original repository and has a fingerprint of
    ``made_from`` and of the code in its name, since clones may hold any version of it: several experiments may be
    trained at once, and one that is queued again goes on.
    """

    def __init__(self, folder: Path, made_from: dict[str, Any]):
        self._made_from = {"format": FORMAT, **flatten(made_from)}
        self.in_clone = repository_root() != Path.cwd()
        if self.in_clone:
            folder = repository_root() / folder.with_name(f"{folder.name}_{self._fingerprint()}")
        self.folder, self.samples = folder, folder / "samples"
        self._finished = folder.with_name(f"{folder.name}.finished.json")

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
            announce(
                f"an unfinished training is there, but of other settings; starting afresh ({self._in_words(changed)})"
            )
        elif not restart:
            self._tell_of_finished()
        self._remove()
        return None

    def save(self, step: int, contents: dict[str, Any]) -> None:
        """Keeps what the training goes on from after ``step``."""
        save_state(self.folder, step, {"made_from": self._made_from, **contents})

    def finish(self) -> None:
        """Forgets the training but for what it was made from: the clone of an experiment runs only once."""
        if not self.in_clone:
            write_json(self._finished, self._made_from)
        self._remove()

    def _fingerprint(self) -> str:
        made_from = json.dumps([self._made_from, code_digest("train")], sort_keys=True, default=str)
        return hashlib.sha256(made_from.encode()).hexdigest()[:12]

    def _remove(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)

    def _tell_of_finished(self) -> None:
        """Says that steps cannot be added to a training, where that is all that the last finished one lacks."""
        if not self._finished.is_file():
            return
        before = json.loads(self._finished.read_text(encoding="utf-8"))
        if list(self._changes(before)) == [STEPS] and self._made_from[STEPS] > before[STEPS]:
            announce(
                f"a training of these settings finished after {before[STEPS]} steps; {self._made_from[STEPS]} steps "
                "start at step 0, since the learning rate of every step depends on train.steps"
            )

    def _changes(self, before: dict[str, Any]) -> dict[str, str]:
        """The settings that differ, with both values in words."""
        now = self._made_from
        keys = sorted(key for key in now.keys() | before.keys() if now.get(key) != before.get(key))
        return {key: f"{key}: {before.get(key)} -> {now.get(key)}" for key in keys}

    def _in_words(self, changes: dict[str, str]) -> str:
        """The first few."""
        shown = list(changes.values())
        return ", ".join(shown[:3] + (["..."] if len(shown) > 3 else []))
