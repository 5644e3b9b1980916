"""The signals that stop a command: Ctrl-C, SIGTERM and, when the terminal is closed, SIGHUP.

A signal that is ignored from the start, as SIGHUP is under nohup, stays ignored. This module is imported before all
others, so its own imports have to be fast.
"""

import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

HANGUP = getattr(signal, "SIGHUP", None)
"""SIGHUP; None on systems without it."""

SIGNALS = [number for number in (signal.SIGINT, signal.SIGTERM, HANGUP) if number is not None]

Handler = Callable[[int, Any], None] | signal.Handlers


def stop_at_once() -> None:
    """Lets the system end the process: an exception in the middle of an import would end in a long traceback."""
    _answer(signal.SIG_DFL)


def stop_cleanly() -> None:
    """From now on a signal ends the command like a failure: no partial folder is left, and its MLflow run ends."""
    _answer(_exit)


def ignore_signals() -> None:
    """Ignores the signals, for a process that another process stops."""
    _answer(signal.SIG_IGN)


class Stop:
    """Whether the process was asked to stop, and by which signal."""

    def __init__(self):
        self.signal: int | None = None


@contextmanager
def stopping_between_steps() -> Iterator[Stop]:
    """Inside the block, signals are only noted, so that no step stops halfway. A second Ctrl-C or SIGTERM stops at
    once."""
    stop, before = Stop(), {}

    def note(number: int, _: Any) -> None:
        stop.signal = stop.signal or number
        _ignore_hangups()
        if number != HANGUP:
            for other in before.keys() - {HANGUP}:
                signal.signal(other, before[other])

    for number in _heard():
        before[number] = signal.signal(number, note)
    try:
        yield stop
    finally:
        for number, handler in before.items():
            if number != HANGUP or stop.signal is None:
                signal.signal(number, handler)


def _exit(number: int, _: Any) -> None:
    _ignore_hangups()
    sys.exit(128 + number)


def _ignore_hangups() -> None:
    """A closed terminal sends several SIGHUPs, and later ones must not interrupt the reaction to the first."""
    if HANGUP is not None:
        signal.signal(HANGUP, signal.SIG_IGN)


def _answer(handler: Handler) -> None:
    for number in _heard():
        signal.signal(number, handler)


def _heard() -> list[int]:
    return [number for number in SIGNALS if signal.getsignal(number) != signal.SIG_IGN]
