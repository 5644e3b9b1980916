"""Kills a training again and again and compares its final results with those of an uninterrupted one.

``python -m tests.kills 20`` does it twenty times and prints what it saw; the tests do it a few times.
"""

import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from mlflow import MlflowClient
from ruamel.yaml import YAML

from gcl.config import DataConfig
from pipeline.params import read_mapping
from pipeline.running.stopping import SIGNALS
from pipeline.stages.prepare import prepare
from tests.project import ROOT, TINY

TURNED = {"log_every": 4, "sample_every": 20, "save_every": 1, "validate_every": 10}
"""A state is saved after every step, so that many kills fall into the writing of one."""

STEPS = 20
"""The steps per kill, and those of the last, undisturbed stretch."""


def prepare_tiny(folder: Path) -> None:
    """Fills ``folder`` with the data set of the tiny configuration."""
    prepare(DataConfig(**read_mapping(ROOT / "params.yaml")["data"] | TINY["data"]), folder)


class Training:
    """One training of the tiny configuration, in its own folder and on this number of ``devices``."""

    def __init__(self, folder: Path, prepared: Path, steps: int, devices: int = 1):
        self.folder, self.prepared = folder, prepared
        self.started: list[subprocess.Popen] = []
        folder.mkdir()
        params = read_mapping(ROOT / "params.yaml")
        for section, values in TINY.items():
            params[section].update(values)
        params["train"].update(TURNED, steps=steps, devices=devices)
        YAML(typ="safe").dump(params, folder / "params.yaml")

    @property
    def states(self) -> Path:
        """The folder of its states."""
        return self.folder / "unfinished/train"

    @property
    def command(self) -> list[str]:
        """The command that starts or resumes it in its folder."""
        options = {"params": "params.yaml", "prepared": self.prepared, "model": "model", "reports": "reports"}
        options |= {"run-file": "run.json", "unfinished": "unfinished"}
        arguments = [part for name, value in options.items() for part in (f"--{name}", str(value))]
        return [sys.executable, "-m", "pipeline", "train", *arguments]

    @property
    def environment(self) -> dict[str, str]:
        """The environment of its processes."""
        own = {"MLFLOW_TRACKING_URI": "sqlite:///mlflow.db", "DVC_ROOT": str(self.folder)}
        return {**os.environ, **own, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}

    def start(self, ignored: signal.Signals | None = None) -> subprocess.Popen:
        """Starts or resumes it, with signals handled as in a terminal except for the one that is ``ignored``."""

        def answer() -> None:
            for number in SIGNALS:
                signal.signal(number, signal.SIG_IGN if number == ignored else signal.SIG_DFL)

        start = {"cwd": self.folder, "env": self.environment, "preexec_fn": answer}
        with (self.folder / "log").open("a") as log:
            self.started.append(subprocess.Popen(self.command, stdout=log, stderr=log, **start))
        return self.started[-1]

    def finish(self) -> None:
        """Runs it to the end."""
        assert self.start().wait() == 0, (self.folder / "log").read_text()

    def results(self) -> dict[str, bytes]:
        """The bytes of everything that it writes, except for times and the id of its run."""
        files = [*self.folder.glob("model/*.safetensors"), *self.folder.glob("reports/**/*.*")]
        return {str(file.relative_to(self.folder)): file.read_bytes() for file in files}

    def logged(self) -> tuple[list[str], list[int]]:
        """The status of each of its MLflow runs, and the steps at which the first one has losses."""
        client = MlflowClient(f"sqlite:///{self.folder}/mlflow.db")
        runs = client.search_runs([client.get_experiment_by_name("scenes").experiment_id])
        history = client.get_metric_history(runs[0].info.run_id, "discriminator")
        return [run.info.status for run in runs], [point.step for point in history]


def kill(training: Training, chance: random.Random) -> str | None:
    """Starts the training and kills it: at a random moment of its steps, or while it writes a state.

    Returns which of the two it was, or None if the training ended first.
    """
    process = training.start()
    before = {path.name for path in training.states.glob("step_*")}
    inside, patience = chance.random() < 0.5, chance.uniform(0.0, 1.0)
    while process.poll() is None:
        partial = any(training.states.glob(".step_*.partial"))
        moved = {path.name for path in training.states.glob("step_*")} != before
        if moved and patience <= 0 and (partial or not inside):
            process.send_signal(signal.SIGKILL)
            process.wait()
            return "inside a save" if any(training.states.glob(".step_*.partial")) else "between saves"
        if moved:
            patience -= 0.001
        time.sleep(0.001)
    return None


def compare(folder: Path, kills: int, seed: int) -> list[str]:
    """Returns where the kills fell; AssertionError unless the results are the same as without them."""
    prepared = folder / "prepared"
    prepare_tiny(prepared)
    steps = STEPS * (kills + 1)
    undisturbed, disturbed = (Training(folder / name, prepared, steps) for name in ("undisturbed", "disturbed"))
    undisturbed.finish()
    chance, fell = random.Random(seed), []
    while len(fell) < kills and (place := kill(disturbed, chance)) is not None:
        fell.append(place)
    if len(fell) == kills:
        disturbed.finish()
    expected, found = undisturbed.results(), disturbed.results()
    assert expected.keys() == found.keys()
    assert [name for name in expected if expected[name] != found[name]] == []
    assert disturbed.logged() == undisturbed.logged() == (["FINISHED"], list(range(4, steps + 1, 4)))
    assert not disturbed.states.exists()
    return fell


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        places = compare(Path(folder), int(sys.argv[1]), seed=0)
        counts = {place: places.count(place) for place in sorted(set(places))}
        print(f"{len(places)} kills ({counts}): weights, curves and grids bit for bit the same, one MLflow run")
