"""Keeps freed memory in the process; otherwise glibc returns that of large tensors and requests it again every step."""

import ctypes
import os
import sys

MOST_MAPPED, TRIM_THRESHOLD = -4, -1
"""glibc's values of M_MMAP_MAX and M_TRIM_THRESHOLD."""

SETTINGS = {"GLIBC_TUNABLES", "MALLOC_MMAP_MAX_", "MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_"}
"""The environment variables with which a user sets this instead."""


def keep_freed_memory() -> None:
    """Serves the main thread's large allocations from the heap, whose freed end is not returned to the system.

    This is for processes that allocate the same sizes again and again, as each training step does. It does nothing
    without glibc, or if one of ``SETTINGS`` is in the environment.
    """
    told = SETTINGS & os.environ.keys()
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" and not told else None
    if mallopt is not None:
        mallopt(MOST_MAPPED, 0)
        mallopt(TRIM_THRESHOLD, 2**31 - 1)
