"""Freed memory stays with the process: glibc would give large tensors back and fetch their pages anew in every step."""

import ctypes
import os
import sys

MOST_MAPPED, TRIM_THRESHOLD = -4, -1
"""glibc's numbers for M_MMAP_MAX and M_TRIM_THRESHOLD."""

SETTINGS = {"GLIBC_TUNABLES", "MALLOC_MMAP_MAX_", "MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_"}
"""Variables by which a user decides this."""


def keep_freed_memory() -> None:
    """The main thread's large allocations come from the heap, and its freed end is not returned.

    For processes that allocate the same sizes again and again, as every step of a training does. Nothing happens
    without glibc, or where the environment tells it what to do.
    """
    told = SETTINGS & os.environ.keys()
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" and not told else None
    if mallopt is not None:
        mallopt(MOST_MAPPED, 0)
        mallopt(TRIM_THRESHOLD, 2**31 - 1)
