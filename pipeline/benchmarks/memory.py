"""Peak memory: on a CUDA device by torch's own count, otherwise the resident memory of a process of its own."""

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
"""Writing 5 to this file resets the peak of the resident memory to its present value."""

Result = TypeVar("Result")


def memory_rise(call: Callable[[], object], device: torch.device) -> int | None:
    """The most bytes by which the memory in use rises during ``call``; None if the system does not report it.

    Without CUDA it is the memory of the process. The result is too small if earlier work left free memory in the
    process, so use :func:`in_new_process`.
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
    """Calls ``function`` with picklable ``arguments`` in a new process; BrokenProcessPool if that process is killed.

    Unlike the command line's own process, it returns freed memory to the system.
    """
    with ProcessPoolExecutor(1, get_context("spawn"), _silence) as pool:
        return pool.submit(function, *arguments).result()


def free_memory(device: torch.device) -> int:
    """The free bytes of a CUDA device or of the machine; all of the machine's bytes if the system does not report it.

    What this process holds counts as free, because nearly all of it has been freed and can be reused.
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
    """Hides the warning that the command line also hides, before the process imports torch-geometric."""
    warnings.filterwarnings("ignore", message="`torch.jit.script` is deprecated", category=FutureWarning)
