"""MLflow runs, to which stages log: one experiment per data set, one run per training with its evaluation.

What the store misses waits in a journal until :mod:`pipeline.tracking.sync` replays it.
"""

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import uuid4

import numpy as np

from gcl.config import Params
from gcl.images.manifest import Manifest
from pipeline.console import announce
from pipeline.params import flatten
from pipeline.running.run_folder import SavedRun
from pipeline.tracking.journal import Event, Journal
from pipeline.tracking.run_names import run_name
from pipeline.tracking.store import FAILED, FINISHED, IMAGE_TAGS, Store, first_line, image_files, tracking_uri, twice
from pipeline.tracking.sync import replay

SLOW_SECONDS, SLOW_SHARE = 30.0, 0.1
"""A store is too slow once a run has waited for it longer than this many seconds plus this share of the run's age."""

LOCK_PATIENCE = 60.0
"""Seconds to wait for another process that is replaying what an earlier stage left."""


class TrackedRun:
    """One MLflow run to which a stage logs.

    Tracking never stops an experiment. Every event is written to a journal before it is sent to the store. After the
    first failure of the store, the run prints one warning and sends nothing more, but keeps the journal. After the
    first failure of the journal, it prints one warning and no longer writes to it.
    """

    def __init__(self, identity: Mapping[str, Any], saved: SavedRun | None = None):
        """Continues ``saved`` if the store has it, or else starts a run; ``identity`` is from :func:`run_identity`."""
        self.key, self.run_id = (uuid4().hex, None) if saved is None else (saved.key, saved.run_id)
        self._journal, self._keeping = Journal(self.key), True
        self._sending, self._started, self._waited = True, time.monotonic(), 0.0
        beginning = {**_event("run"), **identity, "key": self.key, "run_id": self.run_id}
        self._earlier: list[Event] = []
        with self._surviving():
            # These were left behind by a stage that could not reach its store, or that was killed.
            self._earlier = self._journal.open(LOCK_PATIENCE)
        self._keep(beginning)
        self._store = self._attempt(Store)
        self.run_id = self._attempt(lambda: self._begin(beginning)) or self.run_id
        self._waited = 0.0

    @property
    def saved(self) -> SavedRun:
        """What a later stage, or a later call of this one, needs to continue the run."""
        return SavedRun(self.key, self.run_id)

    def last_step(self, metric: str) -> int:
        """The last step of ``metric`` that the store or the journal has; 0 if there is none."""
        kept = [e["step"] for e in self._earlier if e["kind"] == "metrics" and metric in e["values"]]
        stored = self._attempt(lambda: self._store.last_step(self.run_id, metric))
        return max([stored or 0, *kept])

    def set_tags(self, tags: Mapping[str, str]) -> None:
        """Sets tags in addition to those of the run's identity."""
        self._record(_event("tags", values=dict(tags)))

    def log_params(self, params: Mapping[str, Any]) -> None:
        """Logs nested sections as flat parameters ``section.key``."""
        self._record(_event("params", values={key: str(value) for key, value in flatten(params).items()}))

    def log_metrics(self, metrics: Mapping[str, float], step: int) -> None:
        """Logs several metrics of one step at once."""
        self._record(_event("metrics", values=dict(metrics), step=step))

    def log_image(self, pixels: np.ndarray, key: str, step: int) -> None:
        """Logs the image ``pixels`` (H, W, 3) uint8, which MLflow shows by step under ``key``."""
        event = _event("files", into="images")
        name = f"{key}+step+{step}+timestamp+{step}+{self.key}"
        with self._surviving(), TemporaryDirectory() as folder:
            self._record(event, image_files(pixels, name, Path(folder)))
        self.set_tags(IMAGE_TAGS)

    def log_file(self, path: Path, into: str) -> None:
        """Logs a file to the artifact folder ``into``."""
        self._record(_event("files", into=into), [path])

    def end(self, status: str) -> None:
        """Ends the run with ``status``, one of MLflow's."""
        self._record(_event("end", status=status))
        with self._surviving():
            self._journal.close(done=self._sending)

    def _begin(self, beginning: Event) -> str:
        run_id = replay(self._store, self._journal, self._earlier) if self._earlier else self.run_id
        return self._store.begin({**beginning, "run_id": run_id})

    def _record(self, event: Event, files: Sequence[Path] = ()) -> None:
        self._keep(event, files)
        self._attempt(lambda: self._store.add(self.run_id, event, files))

    def _keep(self, event: Event, files: Sequence[Path] = ()) -> None:
        if self._keeping:
            with self._surviving():
                self._journal.append(event, files)

    @contextmanager
    def _surviving(self) -> Iterator[None]:
        """No failure of the journal may stop the experiment, be it a full disk or a damaged file."""
        try:
            yield
        except Exception as error:
            if self._keeping:
                announce(f"warning: the run can no longer be kept in {self._journal.folder}: {first_line(error)}")
            self._keeping = False

    def _attempt(self, action: Callable[[], Any]) -> Any:
        if not self._sending:
            return None
        begun = time.monotonic()
        age = begun - self._started
        if self._waited > SLOW_SECONDS + SLOW_SHARE * age:
            return self._go_offline(f"too slow: waited {self._waited:.0f} of {age:.0f} s")
        try:
            return twice(action)
        # The errors of MLflow, SQLAlchemy and requests have no base class in common.
        except Exception as error:
            return self._go_offline(first_line(error))
        finally:
            self._waited += time.monotonic() - begun

    def _go_offline(self, reason: str) -> None:
        self._sending = False
        kept = f"all of it is kept in {self._journal.folder}, and `gcl sync-tracking` sends it later"
        announce(
            f"warning: no MLflow tracking from here on, the run itself goes on: {tracking_uri()}: {reason}"
            + (f"; {kept}" if self._keeping else "")
        )


@contextmanager
def tracked(identity: Mapping[str, Any], saved: SavedRun | None = None) -> Iterator[TrackedRun]:
    """A run for the block, which ends as finished, or as failed if the block raises."""
    run, status = TrackedRun(identity, saved), FAILED
    try:
        yield run
        status = FINISHED
    finally:
        run.end(status)


def run_identity(params: Params, manifest: Manifest, variant: str) -> dict[str, Any]:
    """The name, experiment and tags of a run, the same for every stage; there is one experiment per data set."""
    dataset = params.data.path.resolve().name if params.data.source == "folder" else params.data.source
    seed = str(params.train.seed)
    tags = {"variant": variant, "seed": seed, "data.hash": manifest.sha256, **_revision_tags()}
    return {"name": run_name(params, variant), "dataset": dataset, "tags": tags}


def _event(kind: str, **contents: Any) -> Event:
    return {"kind": kind, "time": time.time_ns() // 1_000_000, **contents}


def _revision_tags() -> dict[str, str]:
    """Tags with the git revision and the DVC experiment, if there are any."""
    tags = {"git.commit": _git_revision(), "dvc.exp": os.environ.get("DVC_EXP_NAME", "")}
    return {key: value for key, value in tags.items() if value}


def _git_revision() -> str:
    if shutil.which("git") is None:
        return ""
    answer = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
    return answer.stdout.strip()
