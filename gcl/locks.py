"""Locks, so that one process at a time writes a file or folder."""

import os
import shlex
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from gcl.errors import UserError


@contextmanager
def only_writer(*paths: Path, wait: bool = False) -> Iterator[None]:
    """Locks ``paths``, files or folders that need not exist yet, against other processes that call this function.

    If another process holds a lock, this one waits if ``wait`` is true, and otherwise raises UserError, which names the
    other process. The operating system releases the locks when this process ends, however it ends; processes that it
    starts or forks do not hold them. The lock files, .NAME.lock beside each path, are removed at the end of the block;
    those left by a SIGKILL, by the next call.
    """
    with ExitStack() as locks:
        for path in paths:
            locks.enter_context(_locked(path, wait))
        yield


@contextmanager
def _locked(path: Path, wait: bool) -> Iterator[None]:
    place = path.resolve()
    missing = [folder for folder in place.parents if not folder.exists()]
    place.parent.mkdir(parents=True, exist_ok=True)
    try:
        with _locked_file(place.with_name(f".{place.name}.lock"), path, wait):
            yield
    finally:
        for folder in missing:
            with suppress(OSError):  # the folder is no longer empty
                folder.rmdir()


@contextmanager
def _locked_file(file: Path, path: Path, wait: bool) -> Iterator[None]:
    lock = FileLock(file, timeout=-1 if wait else 0)
    try:
        lock.acquire()
    except Timeout as error:
        raise UserError(
            f"{path} is being written by {_holder(file)}; wait until it has ended, stop it, or write somewhere else"
        ) from error
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error
    try:
        file.write_text(f"process {os.getpid()}: {shlex.join(sys.orig_argv)}", encoding="utf-8", errors="replace")
        yield
    finally:
        # The file is removed while it is still locked: a process that has opened it meanwhile sees that it is gone and
        # makes a new one.
        with suppress(OSError):
            file.unlink()
        lock.release()


def _holder(file: Path) -> str:
    """The process named in the lock ``file``, or just "another process" if none is named there yet."""
    with suppress(OSError):
        if holder := file.read_text(encoding="utf-8", errors="replace"):
            return f"another process ({holder})"
    return "another process"
