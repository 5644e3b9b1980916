"""One process at a time writes a file or folder."""

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
    """Inside, no other process that asks gets to write any of ``paths``, files or folders that need not exist.

    UserError, naming the other process, if one is at it, unless this one shall ``wait`` for it. The locks are the
    system's, which ends them with this process, however that dies; processes that it starts or forks do not hold them.
    Their files, .NAME.lock beside each path, are there only meanwhile or, after a SIGKILL, until the next call.
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
            with suppress(OSError):  # it holds something by now
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
        # While it is locked: whoever has opened it meanwhile sees that it is gone, and makes another one.
        with suppress(OSError):
            file.unlink()
        lock.release()


def _holder(file: Path) -> str:
    """The process that wrote itself into the lock ``file``, if it has done so already."""
    with suppress(OSError):
        if holder := file.read_text(encoding="utf-8", errors="replace"):
            return f"another process ({holder})"
    return "another process"
