"""Resuming an interrupted training, and going on from a finished one with more steps.

Its states are kept outside DVC's outputs, which DVC deletes before it runs a stage.
"""

import hashlib
import json
import shutil
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

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

    An ``extensible`` training keeps, when it is finished, its state at the end of the full learning rate, from which
    one with more steps goes on. In clones none does, because they run only once.
    """

    def __init__(self, folder: Path, made_from: dict[str, Any], extensible: bool = True):
        self._made_from = {"format": FORMAT, **flatten(made_from)}
        self.in_clone = repository_root() != Path.cwd()
        if self.in_clone:
            folder = repository_root() / folder.with_name(f"{folder.name}_{self._fingerprint()}")
        self.folder, self.samples = folder, folder / "samples"
        self.continues = False
        """Whether :meth:`find` found the state of a finished training rather than that of this one."""
        self._extensible = extensible and not self.in_clone
        self._code = code_digest("train") if self._extensible else None
        self._constant, self._kept = self.folder / "constant", folder.with_name(f"{folder.name}.constant")
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
        finished = self._with_fewer_steps()
        if finished is None:
            return None
        found, steps = newest_state(self._kept), self._made_from[STEPS]
        told = f"a training with these settings finished after {finished['step']} steps"
        if found is None or not self._differs_in_schedule(found.contents["made_from"]):
            reason = f"the learning rate of every step depends on {STEPS}, and no state before it fell is kept"
        elif found.contents["conditions"] != self._conditions():
            reason = "it had other code, libraries or devices"
        elif found.step > constant_steps(steps, self._made_from[SHARE]):
            reason = f"its learning rate was constant until step {found.step}, which {SHARE} leaves no room for"
        else:
            announce(f"{told}; going on from step {found.step}, until which the learning rate is the same")
            shutil.copytree(self._kept / "samples", self.samples, dirs_exist_ok=True)
            self.continues = True
            return found
        announce(f"{told}; {steps} steps start at step 0, since {reason}")
        return None

    def save(self, step: int, contents: dict[str, Any]) -> None:
        """Saves the state from which the training resumes after ``step``."""
        save_state(self.folder, step, {"made_from": self._made_from, **contents})

    def save_constant(self, step: int, contents: dict[str, Any]) -> None:
        """Saves the state at the end of the full learning rate."""
        if self._extensible:
            shutil.rmtree(self._constant, ignore_errors=True)
            shutil.copytree(self.samples, self._constant / "samples")
            own = {"made_from": self._made_from, "conditions": self._conditions()}
            save_state(self._constant, step, own | contents)

    def finish(self, step: int) -> None:
        """Removes the states after the last ``step``; of an extensible training, one is kept."""
        if self._extensible:
            if self._constant.exists():
                shutil.rmtree(self._kept, ignore_errors=True)
                self._constant.rename(self._kept)
            write_json(self._finished, {"step": step, "made_from": self._made_from})
        self._remove()

    def _conditions(self) -> dict[str, Any]:
        """What the bits of a training depend on beside its settings."""
        return {
            "code": self._code,
            "torch": version("torch"),
            "threads": torch.get_num_threads(),
            "cuda": torch.cuda.is_available(),
        }

    def _fingerprint(self) -> str:
        made_from = json.dumps([self._made_from, code_digest("train")], sort_keys=True, default=str)
        return hashlib.sha256(made_from.encode()).hexdigest()[:12]

    def _remove(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)

    def _with_fewer_steps(self) -> dict[str, Any] | None:
        """The last finished training, if it was to have fewer steps and differs in nothing but the schedule."""
        if not self._extensible or not self._finished.is_file():
            return None
        finished = json.loads(self._finished.read_text(encoding="utf-8"))
        before = finished.get("made_from", {})
        more = before.get(STEPS, self._made_from[STEPS]) < self._made_from[STEPS]
        return finished if more and self._differs_in_schedule(before) else None

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
