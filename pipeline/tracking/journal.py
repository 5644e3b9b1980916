"""The journals of runs: local folders that keep what is logged until the tracking store has it."""

import json
import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from uuid import uuid4

from filelock import FileLock

from gcl.errors import UserError
from pipeline.params import repository_root

EVENTS = "events.jsonl"

Event = dict[str, Any]
"""One thing that a run logs: its ``kind``, its ``time`` in milliseconds, and the contents that its kind requires."""


class Journal:
    """The folder ``mlflow-pending/KEY``: the events of one run, one per line, and copies of the files they refer to.

    The process that writes to it or replays it holds its lock, which the system releases when that process dies.
    """

    def __init__(self, key: str):
        self.folder = pending_folder() / key
        self._events = self.folder / EVENTS
        # The lock file is beside the folder, because removing the folder must not let a second process in.
        self._lock = FileLock(f"{self.folder}.lock")

    def lock(self, patience: float) -> None:
        """Keeps other processes out; filelock's Timeout if one still holds the lock after ``patience`` seconds."""
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        self._lock.acquire(timeout=patience)

    def open(self, patience: float) -> list[Event]:
        """Locks the journal for appending and returns its earlier events. A damaged journal is left as it is."""
        self.lock(patience)
        try:
            self.folder.mkdir(exist_ok=True)
            self._events.touch()
            # A kill may have cut off the last line, and the next one must not be appended to its remains.
            whole = self._events.read_bytes().rfind(b"\n") + 1
            os.truncate(self._events, whole)
            return self.events()
        except (OSError, UserError):
            self._lock.release()
            raise

    def append(self, event: Event, files: Iterable[Path] = ()) -> None:
        """Appends an event and copies its ``files``, whose names are recorded in the event."""
        copies = [self._copied(path) for path in files]
        with self._events.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps({**event, "files": copies} if copies else event) + "\n")

    def events(self) -> list[Event]:
        """All events; UserError, before any is returned, if a line or a file is damaged."""
        content = self._events.read_bytes() if self._events.exists() else b""
        # Anything after the last line break was cut off by a kill.
        events = [self._read(line, number) for number, line in enumerate(content.split(b"\n")[:-1], start=1)]
        if events and events[0]["kind"] != "run":
            raise UserError(f"{EVENTS}, line 1: not the beginning of a run")
        return events

    def files(self, event: Event) -> list[Path]:
        """The copies of the event's files."""
        return [self.folder / name for name in event.get("files", ())]

    def close(self, done: bool) -> None:
        """Unlocks the journal and, if ``done``, removes it, because the store has all of it."""
        if done and self._lock.is_locked:
            # The events go first: a folder without them counts as empty, so a kill in between leaves nothing damaged.
            self._events.unlink(missing_ok=True)
            shutil.rmtree(self.folder, ignore_errors=True)
            Path(self._lock.lock_file).unlink()
        self._lock.release()

    def _copied(self, path: Path) -> str:
        # The artifact is named after the file, so a separate folder keeps it apart from others of the same name.
        folder = self.folder / uuid4().hex
        folder.mkdir()
        shutil.copyfile(path, folder / path.name)
        return f"{folder.name}/{path.name}"

    def _read(self, line: bytes, number: int) -> Event:
        try:
            event = json.loads(line)
            missing = [path.name for path in self.files(event) if not path.is_file()]
            event["kind"], event["time"]
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise UserError(f"{EVENTS}, line {number}: damaged") from error
        if missing:
            raise UserError(f"{EVENTS}, line {number}: {', '.join(missing)} is missing")
        return event


def pending_folder() -> Path:
    """The folder of all journals, at the root of the repository like the default store."""
    return repository_root() / "mlflow-pending"


def pending_journals() -> list[Journal]:
    """All journals: those that wait to be replayed, and those of runs that are still going on."""
    return [Journal(path.name) for path in sorted(pending_folder().glob("*")) if path.is_dir()]
