"""Peak memory: of a CUDA device by torch's own count, else the resident memory of a process that does nothing else."""

import os
import warnings
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import TypeVar

import torch

STATUS, FORGET_PEAK = Path("/proc/self/status"), Path("/proc/self/clear_refs")

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
    before = _resident("VmRSS")
    call()
    return _resident("VmHWM") - before


def in_new_process(function: Callable[..., Result], *arguments: object) -> Result:
    """``function`` of picklable ``arguments`` in a process of its own; BrokenProcessPool if that is killed."""
    with ProcessPoolExecutor(1, get_context("spawn"), _silence) as pool:
        return pool.submit(function, *arguments).result()


def free_memory(device: torch.device) -> int:
    """Bytes that are free: on a CUDA device, else in the machine."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _resident(field: str) -> int:
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith(field))
    return int(line.split()[1]) * 1024


def _silence() -> None:
    """As the command line does, before the process imports torch-geometric."""
    warnings.filterwarnings("ignore", message="`torch.jit.script` is deprecated", category=FutureWarning)
