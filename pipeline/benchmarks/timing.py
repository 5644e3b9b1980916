"""Medians of interleaved repeats: the calls to compare take turns, so that other work on the machine affects them all.

``torch.utils.benchmark.Timer`` is not used because it finishes all repeats of one call before those of the next, and
warms up again for every measurement.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median

import torch

MOST_ROUNDS = 100


@dataclass(frozen=True)
class Timing:
    """The seconds of every repeat of one call, one per round."""

    samples: tuple[float, ...]

    @property
    def seconds(self) -> float:
        """The median."""
        return median(self.samples)

    def ratio(self, other: "Timing") -> float:
        """How many times as long as ``other`` this took: the median over the rounds, which both must share."""
        return median(mine / its for mine, its in zip(self.samples, other.samples, strict=True))

    def read(self) -> dict[str, float]:
        """Median, fastest and slowest repeat in seconds, and the number of repeats."""
        spread = {"fastest": min(self.samples), "slowest": max(self.samples)}
        return {"seconds": self.seconds, **spread, "repeats": len(self.samples)}


def interleaved(
    calls: Mapping[str, Callable[[], object]], device: torch.device, budget: float, least: int = 3
) -> dict[str, Timing]:
    """Times all calls: one warm-up each, then rounds in which they take turns.

    Rounds go on for ``budget`` seconds, but there are at least ``least`` and at most 100 of them. On CUDA, a call's
    time includes waiting for the device to finish.
    """
    for call in calls.values():
        seconds_of(call, device)
    samples: dict[str, list[float]] = {name: [] for name in calls}
    rounds, end = 0, time.monotonic() + budget
    while rounds < least or (rounds < MOST_ROUNDS and time.monotonic() < end):
        for name, call in calls.items():
            samples[name].append(seconds_of(call, device))
        rounds += 1
    return {name: Timing(tuple(seconds)) for name, seconds in samples.items()}


def seconds_of(call: Callable[[], object], device: torch.device) -> float:
    """How many seconds one ``call`` takes, until the device has finished."""
    wait_for(device)
    start = time.perf_counter()
    call()
    wait_for(device)
    return time.perf_counter() - start


def wait_for(device: torch.device) -> None:
    """Waits until ``device`` has finished everything."""
    torch.get_device_module(device).synchronize()
