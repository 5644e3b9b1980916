"""Freed memory stays with the process: glibc would give large tensors back and fetch their pages anew in every step."""

import ctypes

MOST_MAPPED, TRIM_THRESHOLD = -4, -1
"""glibc's numbers for M_MMAP_MAX and M_TRIM_THRESHOLD."""


def keep_freed_memory() -> None:
    """Large allocations come from the heap, and its freed end is not returned; without glibc nothing happens.

    For processes that allocate the same sizes again and again, as every step of a training does.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(MOST_MAPPED, 0)
        mallopt(TRIM_THRESHOLD, 2**31 - 1)
