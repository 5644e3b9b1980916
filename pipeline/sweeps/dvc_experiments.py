"""Finds the DVC experiments, and the results of the commits that they start from, through `dvc exp show`."""

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from gcl.errors import UserError
from pipeline.params import flatten
from pipeline.sweeps.dvc_lock import Lock
from pipeline.sweeps.runs import SEED, Found, LeftOut, Run, read_by_run

PARAMS, METRICS, YARDSTICKS = "params.yaml", "reports/metrics.json", "reports/yardsticks.json"

Entry = Mapping[str, Any]
"""One commit or experiment, as `dvc exp show --json` describes it."""

UNFINISHED = {
    "failed": "failed: `dvc queue logs {name}` says why",
    "queued": "still queued: `dvc queue start` runs it",
    "running": "still running",
}
"""What to say of an experiment that is not finished, by its state."""


def find_experiments(all_commits: bool) -> Found:
    """The results of the working tree, if no run has the same, then the finished experiments that start from HEAD, the
    newest first, and HEAD's own results; or the experiments from ``all_commits`` and the commits' own results.

    UserError if DVC cannot tell.
    """
    shown = _show(all_commits)
    if not shown:
        raise UserError("there is no commit yet, so there are no experiments; run: git add -A && git commit")
    workspace, *commits = shown
    found = [_run(entry, commit) for commit in commits for entry in _experiments(commit)]
    own = [_measured(commit, commit["name"] or _short(commit), commit) for commit in commits]
    # Hundreds of commits may have no results of their own.
    found += [entry for entry in own if isinstance(entry, Run) or not all_commits]
    runs = [entry for entry in found if isinstance(entry, Run)]
    if not all_commits:
        here = _measured(workspace, "workspace", commits[0])
        runs = [here, *runs] if isinstance(here, Run) and not any(map(here.repeats, runs)) else runs
    place = "all commits" if all_commits else f"commit `{_short(commits[0])}`"
    left_out = sorted(entry for entry in found if isinstance(entry, LeftOut))
    return Found(runs, left_out, f"DVC experiments that start from {place}")


def _show(all_commits: bool) -> list[Entry]:
    # The module, because the command need not be on the PATH of a virtual environment that is not activated.
    command = [sys.executable, "-m", "dvc", "exp", "show", "--json", *(["--all-commits"] if all_commits else [])]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    if answer.returncode != 0:
        said = [line for line in answer.stderr.splitlines() if line.startswith("ERROR")]
        reason = said[0].removeprefix("ERROR: ") if said else f"exit status {answer.returncode}"
        raise UserError(
            f"`dvc exp show` failed: {reason}; run this in the project's folder, after `git` and `dvc init`"
        )
    return json.loads(answer.stdout)


def _experiments(commit: Entry) -> Iterator[Entry]:
    """The experiments that start from ``commit``, the newest first."""
    described = [
        {**found["revs"][0], "name": found["name"], "state": (found["executor"] or {}).get("state")}
        for found in commit["experiments"] or ()
    ]
    yield from sorted(described, key=lambda entry: (_time(entry), entry["name"] or ""), reverse=True)


def _run(experiment: Entry, commit: Entry) -> Run | LeftOut:
    name = experiment["name"] or _short(experiment)
    state = "failed" if experiment["error"] and experiment["state"] is None else experiment["state"]
    # DVC shows the metrics of the commit for an experiment that has none yet.
    if state in UNFINISHED:
        return LeftOut(name, UNFINISHED[state].format(name=name))
    return _measured(experiment, name, commit)


def _measured(entry: Entry, name: str, commit: Entry) -> Run | LeftOut:
    metrics, flat = _file(entry, "metrics", METRICS), flatten(_file(entry, "params", PARAMS))
    if not metrics:
        return LeftOut(name, f"no `{METRICS}`")
    if SEED not in flat:
        return LeftOut(name, f"no `{SEED}`")
    lock = Lock(None if entry["rev"] == "workspace" else entry["rev"])
    if reason := lock.why_not_made_with(flat):
        return LeftOut(name, reason)
    seed = flat.pop(SEED)
    untranslated = _file(entry, "metrics", YARDSTICKS).get("untranslated", {})
    origin = {"commit": _short(commit)} | ({"data": lock.data[:7]} if lock.data else {})
    return Run(name, seed, read_by_run(flat), metrics, untranslated, origin, lock.code)


def _file(entry: Entry, kind: str, path: str) -> dict[str, Any]:
    """The contents of a file of parameters or metrics; empty if it is missing or damaged."""
    return ((entry["data"] or {}).get(kind) or {}).get(path, {}).get("data") or {}


def _short(entry: Entry) -> str:
    return entry["rev"][:7]


def _time(entry: Entry) -> str:
    return (entry["data"] or {}).get("timestamp") or ""
