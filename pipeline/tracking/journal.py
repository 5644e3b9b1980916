"""What runs have to tell their tracking store, kept in local folders until the store has it."""

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
"""One thing that a run tells: its ``kind``, its ``time`` in milliseconds, and what belongs to that kind."""


class Journal:
    """The folder ``mlflow-pending/KEY``: the events of one run, a line each, and the files that they speak of.

    Whoever writes to it or brings it in locks it. The system unlocks it when that process dies.
    """

    def __init__(self, key: str):
        self.folder = pending_folder() / key
        self._events = self.folder / EVENTS
        # Beside the folder: removing the folder must not let a second process in.
        self._lock = FileLock(f"{self.folder}.lock")

    def lock(self, patience: float) -> None:
        """Keeps other processes out; filelock's Timeout if one is still in after ``patience`` seconds."""
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        self._lock.acquire(timeout=patience)

    def open(self, patience: float) -> list[Event]:
        """Locks, for events to be appended, and returns the earlier ones. A damaged journal is left as it is."""
        self.lock(patience)
        try:
            self.folder.mkdir(exist_ok=True)
            self._events.touch()
            # A kill may have cut the last line off, and the next one must not be glued to it.
            whole = self._events.read_bytes().rfind(b"\n") + 1
            os.truncate(self._events, whole)
            return self.events()
        except (OSError, UserError):
            self._lock.release()
            raise

    def append(self, event: Event, files: Iterable[Path] = ()) -> None:
        """Adds an event and copies of its files, which it names under ``files``."""
        copies = [self._copied(path) for path in files]
        with self._events.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps({**event, "files": copies} if copies else event) + "\n")

    def events(self) -> list[Event]:
        """All events; UserError, before any is returned, if a line or a file is damaged."""
        content = self._events.read_bytes() if self._events.exists() else b""
        # What follows the last line break was cut off by a kill.
        events = [self._read(line, number) for number, line in enumerate(content.split(b"\n")[:-1], start=1)]
        if events and events[0]["kind"] != "run":
            raise UserError(f"{EVENTS}, line 1: not the beginning of a run")
        return events

    def files(self, event: Event) -> list[Path]:
        """The copies of the event's files."""
        return [self.folder / name for name in event.get("files", ())]

    def close(self, done: bool) -> None:
        """Unlocks; removes the folder if the store is ``done`` with it."""
        if done and self._lock.is_locked:
            # Events first: a folder without them holds nothing, so that a kill halfway leaves no damaged journal.
            self._events.unlink(missing_ok=True)
            shutil.rmtree(self.folder, ignore_errors=True)
            Path(self._lock.lock_file).unlink()
        self._lock.release()

    def _copied(self, path: Path) -> str:
        # The name is the artifact's: a folder of its own keeps it from others of the same name.
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
    """Where journals lie: at the root of the repository, as the default store does."""
    return repository_root() / "mlflow-pending"


def pending_journals() -> list[Journal]:
    """What waits to be brought in, and the runs that are still going on."""
    return [Journal(path.name) for path in sorted(pending_folder().glob("*")) if path.is_dir()]
