"""The time of commands without their work: help, a `dvc repro` with nothing to do, and the imports of each stage."""

import subprocess
import sys
from collections.abc import Callable

import torch

from pipeline.benchmarks.timing import interleaved, seconds_of
from pipeline.running.code_that_counts import stages

BUDGET = 10.0
"""The seconds of rounds to measure."""

UP_TO_DATE = "{}"
"""The output of `dvc status --json` if no stage has to run."""


def measure_startup() -> dict[str, object]:
    """Times child processes in seconds: `gcl --help`, `dvc repro` with nothing to do, and each stage's imports."""
    commands = {"gcl --help": ("-m", "pipeline", "--help")}
    obstacle = _why_dvc_would_run()
    if obstacle is None:
        commands["dvc repro"] = ("-m", "dvc", "repro")
    commands |= {f"gcl {stage}": _imports(stage) for stage in stages()}
    calls = {name: _in_child(arguments) for name, arguments in commands.items()}
    result = {name: timing.read() for name, timing in interleaved(calls, torch.device("cpu"), BUDGET).items()}
    return result if obstacle is None else {**result, "dvc repro": {"skipped": obstacle}}


def import_seconds(stage: str) -> float:
    """The seconds that a process of ``stage`` takes apart from its work, measured once."""
    return seconds_of(_in_child(_imports(stage)), torch.device("cpu"))


def _imports(stage: str) -> tuple[str, str]:
    return "-c", f"import pipeline.stages.{stage}"


def _in_child(arguments: tuple[str, ...]) -> Callable[[], object]:
    return lambda: subprocess.run([sys.executable, *arguments], capture_output=True, check=True)


def _why_dvc_would_run() -> str | None:
    """Why `dvc repro` would not be a call that does nothing here; None if it would."""
    status = subprocess.run(
        [sys.executable, "-m", "dvc", "status", "--json"], capture_output=True, text=True, check=False
    )
    if status.returncode:
        return (status.stderr.strip().splitlines() or ["dvc status failed"])[0]
    return None if status.stdout.strip() == UP_TO_DATE else "some stages are out of date, and it would run them"
