"""Training in two processes on the CPU: what they learn, who writes, and what happens when one is lost."""

import os
import signal
import subprocess
import sys
import time
import warnings

import psutil
import pytest
import torch
from ruamel.yaml import YAML
from safetensors.torch import load_file

from gcl.errors import UserError
from pipeline.params import read_mapping
from pipeline.running.devices import make_fabric
from tests.kills import Training, prepare_tiny
from tests.project import ROOT
from tests.two_processes import DISCRIMINATORS, in_processes, learn

PATIENCE = 120
"""The seconds that two processes may take to end."""


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("processes") / "prepared"
    prepare_tiny(folder)
    return folder


@pytest.fixture(scope="module")
def of_two_processes(prepared, tmp_path_factory):
    """The folder of what two processes learned with each discriminator."""
    folder = tmp_path_factory.mktemp("two")
    command = [sys.executable, "-m", "tests.two_processes", prepared, folder]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    return folder


@pytest.mark.parametrize("discriminator", DISCRIMINATORS)
def test_two_processes_learn_what_one_learns_from_all_their_images(prepared, of_two_processes, discriminator):
    two = load_file(of_two_processes / f"{discriminator}.safetensors")
    one = learn(prepared, discriminator, in_processes(1), batch_size=2)
    assert two.keys() == one.keys()
    for name, weight in one.items():
        torch.testing.assert_close(two[name], weight, atol=1e-8, rtol=0)


def wait_for_new_state(training, process):
    """Waits until the training has saved a new state to resume from."""
    before = set(training.states.glob("step_*"))
    while not set(training.states.glob("step_*")) - before:
        assert process.poll() is None, (training.folder / "log").read_text()
        time.sleep(0.05)


def test_a_lost_or_stopped_process_stops_all_and_the_same_command_goes_on(prepared, tmp_path):
    undisturbed, disturbed = (
        Training(tmp_path / name, prepared, steps=60, devices=2) for name in ("undisturbed", "disturbed")
    )
    undisturbed.finish()

    process = disturbed.start()
    wait_for_new_state(disturbed, process)
    (other,) = psutil.Process(process.pid).children()
    other.kill()
    assert process.wait(PATIENCE) != 0
    # The message is ours, or Lightning's if its own watch was quicker.
    log = (disturbed.folder / "log").read_text()
    assert "process 1 (status -9) of the training ended" in log or "terminated with code -9" in log
    assert "Traceback" not in log

    process = disturbed.start()
    wait_for_new_state(disturbed, process)
    (other,) = psutil.Process(process.pid).children()
    process.terminate()
    assert process.wait(PATIENCE) == 128 + signal.SIGTERM
    assert not other.is_running()
    assert "stopped after step" in (disturbed.folder / "log").read_text()

    disturbed.finish()
    assert disturbed.results() == undisturbed.results()
    # A run that Lightning's watch ended by SIGKILL is resumed as well, so there is one run with every step once.
    assert disturbed.logged() == undisturbed.logged() == (["FINISHED"], list(range(4, 61, 4)))


def test_all_processes_stop_early_together(prepared, tmp_path):
    training = Training(tmp_path / "training", prepared, steps=100, devices=2)
    file = tmp_path / "training/params.yaml"
    params = read_mapping(file)
    params["train"].update(generator_lr=1e-30, average_decay=0.0, stop_after=1, validate_every=2)
    YAML(typ="safe").dump(params, file)
    assert training.start().wait(PATIENCE) == 0
    assert "stopped after step 4: no validation since step 2 was better" in (training.folder / "log").read_text()


def test_devices_that_are_not_there_are_told_with_all_that_was_asked(config):
    with pytest.raises(UserError, match=r"train.accelerator cuda, train.devices 1000, .*: .*"):
        make_fabric(config(accelerator="cuda", devices=1000))


def test_more_processes_than_cores_are_refused(config):
    with pytest.raises(UserError, match=r"train.devices 999 is more than the \d+ cores"):
        make_fabric(config(accelerator="cpu", devices=999))


def test_other_machines_that_nobody_started_are_not_waited_for(config):
    with pytest.raises(UserError, match=r"train.num_nodes is 2, but neither torchrun nor srun"):
        make_fabric(config(num_nodes=2))


def test_processes_that_nobody_asked_for_are_told(config, monkeypatch):
    """Otherwise each of them would take itself for the first one, and write."""
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UserError, match="2 processes were started"):
        make_fabric(config())


@pytest.mark.parametrize("devices, told", [(1, 0), (2, 1)])
def test_srun_is_spoken_of_only_where_several_processes_were_asked_for(config, tmp_path, monkeypatch, devices, told):
    (tmp_path / "srun").touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        make_fabric(config(devices=devices, accelerator="cpu"))
    assert sum("srun" in str(warning.message) for warning in caught) == told
