"""Peak memory: of a CUDA device by torch's own count, else the resident memory of a process that does nothing else."""

import os
import warnings
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import TypeVar

import torch

PROCESS, MACHINE = Path("/proc/self/status"), Path("/proc/meminfo")
FORGET_PEAK = Path("/proc/self/clear_refs")
"""A 5 written here makes the resident memory of now its own peak."""

Result = TypeVar("Result")


def memory_rise(call: Callable[[], object], device: torch.device) -> int | None:
    """Bytes by which the memory in use rises at most during ``call``; None where the system does not tell.

    Without CUDA it is that of the process, and too small if earlier work left memory to it: see :func:`in_new_process`.
    """
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        call()
        return torch.cuda.max_memory_allocated(device) - before
    if not FORGET_PEAK.exists():
        return None
    FORGET_PEAK.write_text("5")
    before = _bytes(PROCESS, "VmRSS")
    call()
    return _bytes(PROCESS, "VmHWM") - before


def in_new_process(function: Callable[..., Result], *arguments: object) -> Result:
    """``function`` of picklable ``arguments`` in a process of its own; BrokenProcessPool if that is killed.

    Unlike those of the command line, that process gives freed memory back.
    """
    with ProcessPoolExecutor(1, get_context("spawn"), _silence) as pool:
        return pool.submit(function, *arguments).result()


def free_memory(device: torch.device) -> int:
    """Bytes that are free: on a CUDA device, else in the machine; all of its bytes where the system does not tell.

    What this process holds counts as free: nearly all of it was freed, and waits to be used again.
    """
    if device.type == "cuda":
        torch.cuda.empty_cache()
        return torch.cuda.mem_get_info(device)[0]
    if MACHINE.exists():
        return _bytes(MACHINE, "MemAvailable") + _bytes(PROCESS, "VmRSS")
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _bytes(file: Path, field: str) -> int:
    line = next(line for line in file.read_text().splitlines() if line.startswith(field))
    return int(line.split()[1]) * 1024


def _silence() -> None:
    """As the command line does, before the process imports torch-geometric."""
    warnings.filterwarnings("ignore", message="`torch.jit.script` is deprecated", category=FutureWarning)
