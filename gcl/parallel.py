"""Runs many small jobs on all cores and yields their results in order."""

import os
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context, parent_process
from threading import Thread
from typing import TypeVar

from gcl.errors import UserError

Job = TypeVar("Job")
Result = TypeVar("Result")

FEW = 50
"""Fewer jobs than this finish before worker processes would have started."""


def in_parallel(function: Callable[[Job], Result], jobs: Sequence[Job]) -> Iterator[Result]:
    """Yields ``function(job)`` for every job, in the order of ``jobs``; the first exception stops it.

    ``function`` and ``jobs`` are sent to other processes and must be picklable. UserError if such a process is killed.
    """
    if len(jobs) < FEW:
        yield from map(function, jobs)
        return
    try:
        # Processes are spawned, not forked: a fork of a process whose threads hold locks may hang.
        with ProcessPoolExecutor(os.cpu_count(), get_context("spawn"), _end_with_parent) as pool:
            yield from pool.map(function, jobs, chunksize=5)
    except BrokenProcessPool as error:
        raise UserError("a worker process was killed, most likely because memory ran out") from error


def _end_with_parent() -> None:
    """Leaves SIGINT to the parent, and ends this worker with the parent, after which nobody wants its results."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    Thread(target=_exit_after_parent, daemon=True).start()


def _exit_after_parent() -> None:
    parent_process().join()
    os._exit(1)
