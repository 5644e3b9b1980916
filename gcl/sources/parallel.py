"""Many small jobs on all cores, in order."""

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
"""Jobs that are done before worker processes would have started."""


def in_parallel(function: Callable[[Job], Result], jobs: Sequence[Job]) -> Iterator[Result]:
    """``function`` of every job, in the order of ``jobs``; the first of them that raises ends it all.

    Both are sent to other processes and must pickle. UserError if one of these is killed.
    """
    if len(jobs) < FEW:
        yield from map(function, jobs)
        return
    try:
        # Spawned rather than forked: a fork of a process whose threads hold locks may hang.
        with ProcessPoolExecutor(os.cpu_count(), get_context("spawn"), _end_with_parent) as pool:
            yield from pool.map(function, jobs, chunksize=5)
    except BrokenProcessPool as error:
        raise UserError("a worker process was killed; the likeliest reason is that the memory is full") from error


def _end_with_parent() -> None:
    """An interruption is the parent's to answer, and without it nobody wants what a worker would still write."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    Thread(target=_exit_after_parent, daemon=True).start()


def _exit_after_parent() -> None:
    parent_process().join()
    os._exit(1)
