"""Resuming an interrupted training, and going on from a finished one with more steps.

Its states are kept outside DVC's outputs, which DVC deletes before it runs a stage.
"""

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

from gcl.files import write_json
from gcl.training.states import State, newest_state, save_state
from gcl.training.trainer import constant_steps
from pipeline.console import announce
from pipeline.params import flatten, repository_root
from pipeline.running.code_that_counts import code_digest

FORMAT = 6
"""The version of a state's contents, including the names of weights; a state of another version is not used."""

STEPS, SHARE = "train.steps", "train.constant_share"


class Unfinished:
    """The folder with the states of one training and the sample grids it has drawn.

    A state is used only by a training that is ``made_from`` the same parameters and data. The clone of a DVC experiment
    is lost when it is killed, so its ``folder`` is in the original repository. Its name then has a fingerprint of
    ``made_from`` and of the code, because clones may hold any version of it: several experiments can be trained at
    once, and one that is queued again resumes.
    """

    def __init__(self, folder: Path, made_from: dict[str, Any]):
        self._made_from = {"format": FORMAT, **flatten(made_from)}
        self.in_clone = repository_root() != Path.cwd()
        if self.in_clone:
            folder = repository_root() / folder.with_name(f"{folder.name}_{self._fingerprint()}")
        self.folder, self.samples = folder, folder / "samples"
        self.continues = False
        """Whether :meth:`find` found the state of a finished training rather than that of this one."""
        self._constant = folder.with_name(f"{folder.name}.constant")
        self._finished = folder.with_name(f"{folder.name}.finished.json")

    def find(self, restart: bool) -> State | None:
        """The newest state to go on from, or None. States that cannot be used are removed; with ``restart``, all.

        After a finished training with fewer steps, this is its state at the end of the full learning rate, if all steps
        until there would be the same with more.
        """
        found, changed = None if restart else newest_state(self.folder), {}
        if found is not None:
            for path in found.damaged:
                announce(f"warning: {path} is damaged; an older state is used instead")
            changed = self._changes(found.contents["made_from"])
            if not changed:
                announce(f"resuming after step {found.step}")
                return found
        self._remove()
        continued = None if restart else self._continued()
        if changed and continued is None:
            announce(
                f"there is an unfinished training, but with other settings; starting afresh ({self._in_words(changed)})"
            )
        return continued

    def _continued(self) -> State | None:
        """The state from which a finished training goes on with more steps; if there is none, says so."""
        before = self._before()
        if before is None:
            return None
        found, steps = newest_state(self._constant), self._made_from[STEPS]
        told = f"a training with these settings finished after {before} steps"
        if found is None or not self._differs_in_schedule(found.contents["made_from"]):
            reason = f"the learning rate of every step depends on {STEPS}"
        elif found.contents["code"] != code_digest("train"):
            reason = "the code of the training has changed"
        elif found.step > constant_steps(steps, self._made_from[SHARE]):
            reason = f"its learning rate was constant until step {found.step}, which {SHARE} leaves no room for"
        else:
            announce(f"{told}; going on from step {found.step}, until which the learning rate is the same")
            shutil.copytree(self._constant / "samples", self.samples, dirs_exist_ok=True)
            self.continues = True
            return found
        announce(f"{told}; {steps} steps start at step 0, since {reason}")
        return None

    def save(self, step: int, contents: dict[str, Any]) -> None:
        """Saves the state from which the training resumes after ``step``."""
        save_state(self.folder, step, {"made_from": self._made_from, **contents})

    def save_constant(self, step: int, contents: dict[str, Any]) -> None:
        """Saves the state at the end of the full learning rate, which is kept when the training is finished."""
        if not self.in_clone:
            shutil.rmtree(self._constant, ignore_errors=True)
            shutil.copytree(self.samples, self._constant / "samples")
            made_from = {"made_from": self._made_from, "code": code_digest("train")}
            save_state(self._constant, step, made_from | contents)

    def finish(self) -> None:
        """Removes the states, and keeps what the training was made from, unless in a clone, which runs only once."""
        if not self.in_clone:
            write_json(self._finished, self._made_from)
        self._remove()

    def _fingerprint(self) -> str:
        made_from = json.dumps([self._made_from, code_digest("train")], sort_keys=True, default=str)
        return hashlib.sha256(made_from.encode()).hexdigest()[:12]

    def _remove(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)

    def _before(self) -> int | None:
        """The steps of the last finished training, if it had fewer of them and differs in nothing but the schedule."""
        if not self._finished.is_file():
            return None
        before = json.loads(self._finished.read_text(encoding="utf-8"))
        more = self._made_from[STEPS] > before[STEPS]
        return before[STEPS] if more and self._differs_in_schedule(before) else None

    def _differs_in_schedule(self, before: dict[str, Any]) -> bool:
        """Whether nothing but the number of steps and the share of constant ones differs."""
        return self._changes(before).keys() <= {STEPS, SHARE}

    def _changes(self, before: dict[str, Any]) -> dict[str, str]:
        """The settings that differ, each with a text of its old and new value."""
        now = self._made_from
        keys = sorted(key for key in now.keys() | before.keys() if now.get(key) != before.get(key))
        return {key: f"{key}: {before.get(key)} -> {now.get(key)}" for key in keys}

    def _in_words(self, changes: dict[str, str]) -> str:
        """The first three ``changes``, as a list in a sentence."""
        shown = list(changes.values())
        return ", ".join(shown[:3] + (["..."] if len(shown) > 3 else []))
