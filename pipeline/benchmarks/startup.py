"""What a command takes before and after its work: help, a `dvc repro` with nothing to do, every stage's imports."""

import subprocess
import sys
from collections.abc import Callable

import torch

from pipeline.benchmarks.timing import interleaved, seconds_of
from pipeline.running.code_that_counts import stages

BUDGET = 10.0
"""Seconds of rounds."""

UP_TO_DATE = "{}"
"""What `dvc status --json` says of a project in which no stage has to run."""


def measure_startup() -> dict[str, object]:
    """Seconds of child processes: `gcl --help`, `dvc repro` where nothing is to be done, and each stage's imports."""
    commands = {"gcl --help": ("-m", "pipeline", "--help")}
    obstacle = _why_dvc_would_run()
    if obstacle is None:
        commands["dvc repro"] = ("-m", "dvc", "repro")
    commands |= {f"gcl {stage}": _imports(stage) for stage in stages()}
    calls = {name: _in_child(arguments) for name, arguments in commands.items()}
    result = {name: timing.read() for name, timing in interleaved(calls, torch.device("cpu"), BUDGET).items()}
    return result if obstacle is None else {**result, "dvc repro": {"skipped": obstacle}}


def import_seconds(stage: str) -> float:
    """What one process of a stage takes outside its work, measured once."""
    return seconds_of(_in_child(_imports(stage)), torch.device("cpu"))


def _imports(stage: str) -> tuple[str, str]:
    return "-c", f"import pipeline.stages.{stage}"


def _in_child(arguments: tuple[str, ...]) -> Callable[[], object]:
    return lambda: subprocess.run([sys.executable, *arguments], capture_output=True, check=True)


def _why_dvc_would_run() -> str | None:
    """Why `dvc repro` is not a call that does nothing here."""
    status = subprocess.run(
        [sys.executable, "-m", "dvc", "status", "--json"], capture_output=True, text=True, check=False
    )
    if status.returncode:
        return (status.stderr.strip().splitlines() or ["dvc status failed"])[0]
    return None if status.stdout.strip() == UP_TO_DATE else "some stages are out of date, and it would run them"
