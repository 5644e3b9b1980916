"""Signals to the command line in real processes: what is saved, what is said and what is left."""

import ast
import os
import pty
import re
import signal
import subprocess
import sys
import time
from itertools import chain

import pytest

from pipeline.running.stopping import SIGNALS, stopping_between_steps
from tests.kills import Training, prepare_tiny
from tests.project import ROOT

PATIENCE = 60


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stopping") / "prepared"
    prepare_tiny(folder)
    return folder


@pytest.fixture
def training(prepared, tmp_path):
    """A training that would take hours; it is killed at the end of the test."""
    training = Training(tmp_path / "training", prepared, steps=10**6)
    yield training
    for process in training.started:
        process.kill()
        process.wait()


def log(training):
    return (training.folder / "log").read_text()


def wait_for(condition, process):
    while not condition():
        assert process.poll() is None
        time.sleep(0.02)


def wait_for_state(training, process):
    wait_for(lambda: any(training.states.glob("step_*")), process)


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_saves_ends_the_run_and_leaves_nothing(training, number):
    process = training.start()
    wait_for_state(training, process)
    process.send_signal(number)
    if number == signal.SIGHUP:  # from the kernel, from the shell, from the session's manager
        for _ in range(20):
            time.sleep(0.02)
            process.send_signal(number)
    assert process.wait(PATIENCE) == 128 + number
    (step,) = re.findall(r"stopped after step (\d+); the same command goes on from there", log(training))
    assert "Traceback" not in log(training)
    assert max(training.states.glob("step_*")).name.startswith(f"step_{int(step):08d}_")
    statuses, _ = training.logged()
    assert statuses == ["FAILED"]
    left = {path.name for path in training.folder.rglob("*") if path.name.startswith((".", "model"))}
    assert left == set() and not (training.folder / "run.json").exists()


def test_what_nohup_has_ignored_stays_ignored(training):
    process = training.start(ignored=signal.SIGHUP)
    wait_for_state(training, process)
    process.send_signal(signal.SIGHUP)
    before = max(training.states.glob("step_*"))
    wait_for(lambda: max(training.states.glob("step_*")) > before, process)
    process.terminate()
    assert process.wait(PATIENCE) == 128 + signal.SIGTERM


def test_a_closed_terminal_saves_and_ends_the_run(training):
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(training.folder)
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
        os.execve(sys.executable, training.command, training.environment)
    os.set_blocking(terminal, False)
    while not any(training.states.glob("step_*")):
        try:
            os.read(terminal, 10**6)
        except BlockingIOError:
            time.sleep(0.02)
    os.close(terminal)
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 128 + signal.SIGHUP
    assert any(training.states.glob("step_*"))
    statuses, _ = training.logged()
    assert statuses == ["FAILED"]


def test_a_pipe_that_nobody_reads_any_more_stops_nothing(prepared, tmp_path):
    training = Training(tmp_path / "training", prepared, steps=20)
    pipe = subprocess.PIPE
    process = subprocess.Popen(training.command, cwd=training.folder, env=training.environment, stdout=pipe)
    process.stdout.close()
    assert process.wait(PATIENCE) == 0
    assert (training.folder / "model/generator.safetensors").is_file()


def test_a_second_training_of_the_same_folders_is_refused_and_the_first_goes_on(training):
    first = training.start()
    wait_for_state(training, first)
    second = training.start()
    assert second.wait(PATIENCE) == 1
    assert f"is being written by another process (process {first.pid}: " in log(training)
    assert "Traceback" not in log(training)
    before = max(training.states.glob("step_*"))
    wait_for(lambda: max(training.states.glob("step_*")) > before, first)


@pytest.mark.parametrize("number", SIGNALS)
def test_while_modules_are_imported_a_signal_ends_all_without_a_word(training, number):
    for wait in (0.1, 0.5, 1.0):
        process = training.start()
        time.sleep(wait)
        process.send_signal(number)
        # The system's handlers answer or, on a fast machine, already ours.
        assert process.wait(PATIENCE) in (-number, 128 + number)
        assert "Traceback" not in log(training) and "Error" not in log(training)


def test_every_command_stops_cleanly_once_its_imports_are_done():
    """The only exception is export, which leaves nothing half-done."""
    nodes = chain(*(ast.parse(file.read_text()).body for file in (ROOT / "pipeline/commands").glob("*.py")))
    commands = [node for node in nodes if isinstance(node, ast.FunctionDef) and node.decorator_list]
    assert len(commands) > 10
    for command in commands:
        imports = [node.lineno for node in ast.walk(command) if isinstance(node, ast.Import | ast.ImportFrom)]
        calls = [node.lineno for node in ast.walk(command) if ast.unparse(node) == "stop_cleanly()"]
        assert command.name == "export" or max(imports) < min(calls, default=0), command.name


@pytest.fixture
def pythons_handlers():
    """Python's own handlers, whatever the commands that other tests called in this process have set."""
    own = {signal.SIGINT: signal.default_int_handler, signal.SIGHUP: signal.SIG_DFL}
    before = {number: signal.signal(number, handler) for number, handler in own.items()}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("pythons_handlers")
def test_a_second_signal_of_a_kind_stops_at_once_but_no_hangup():
    with stopping_between_steps() as stop:
        for _ in range(3):
            signal.raise_signal(signal.SIGHUP)
        signal.raise_signal(signal.SIGINT)
        assert stop.signal == signal.SIGHUP
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    signal.raise_signal(signal.SIGHUP)
