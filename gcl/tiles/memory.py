"""How much memory is free, and giving freed memory back."""

import ctypes
import sys
from pathlib import Path

import psutil
import torch

MOST = 0.8
"""The share of the free memory that translating may take unless the user says how much."""

CGROUPS, OWN = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")
"""Where Linux tells the limits of groups of processes, such as containers, and the groups of this process."""

LIMITS = {
    "v2": ("memory.max", "memory.current", "inactive_file"),
    "v1": ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
}
"""By version: the files of a group's limit and use, and the line of memory.stat for what the use can do without."""


def free_memory(device: torch.device) -> int:
    """The free bytes of a CUDA device, or those of the machine that the groups of this process may still use."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    return min([psutil.virtual_memory().available, *free_in_groups(CGROUPS, OWN)])


def free_in_groups(mounted: Path, own: Path) -> list[int]:
    """What each group that is listed in the file ``own``, and each one around it, may still use, in bytes."""
    free = []
    for line in own.read_text().splitlines() if own.exists() else []:
        _, controllers, path = line.split(":", 2)
        if controllers not in ("", "memory"):
            continue
        root, version = (mounted / "memory", "v1") if controllers else (mounted, "v2")
        group = root / path.lstrip("/")
        # Inside a container the path may be that of the host, which is not there, but the root is.
        around = [folder for folder in (group, *group.parents) if folder.is_relative_to(root)]
        free += [left for folder in around if (left := _left(folder, *LIMITS[version])) is not None]
    return free


def _left(group: Path, limit: str, use: str, spare: str) -> int | None:
    """What ``group`` may still use; None if it has no limit."""
    if not (group / limit).exists() or (most := (group / limit).read_text().strip()) == "max":
        return None
    statistics = group / "memory.stat"
    numbers = dict(line.split() for line in statistics.read_text().splitlines()) if statistics.exists() else {}
    return int(most) - int((group / use).read_text()) + int(numbers.get(spare, 0))


def return_freed_memory() -> None:
    """Returns the memory that glibc holds free to the system, so that the next maps find it in one piece."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim is not None:
        trim(0)
