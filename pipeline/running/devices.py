"""The devices to run on: Lightning Fabric, with its errors in plain words."""

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import torch
from lightning_fabric import Fabric
from lightning_fabric.strategies import DDPStrategy
from lightning_fabric.utilities.exceptions import MisconfigurationException

from gcl.config import TrainConfig
from gcl.errors import UserError

PATIENCE = timedelta(days=1)
"""How long a process waits while the first one translates and evaluates; the loss of a process is noticed at once."""


def make_fabric(config: TrainConfig) -> Fabric:
    """A Fabric on all devices of the training, with no process started yet; UserError if this machine lacks them."""
    several = config.devices != 1 or config.num_nodes > 1 or config.strategy == "ddp"
    if not several:
        _silence_srun()
    with _telling(
        f"train.accelerator {config.accelerator}, train.devices {config.devices}, train.num_nodes {config.num_nodes}, "
        f"train.strategy {config.strategy} and train.precision {config.precision}"
    ):
        fabric = Fabric(
            accelerator=config.accelerator,
            devices=config.devices,
            num_nodes=config.num_nodes,
            strategy=DDPStrategy(timeout=PATIENCE) if several else "auto",
            precision=config.precision,
        )
    cores = os.cpu_count() or 1
    if fabric.device.type == "cpu" and config.devices != "auto" and config.devices > cores:
        raise UserError(f"train.devices {config.devices} is more than the {cores} cores of this machine; lower it")
    if config.num_nodes > 1 and not {"WORLD_SIZE", "NODE_RANK", "SLURM_JOB_ID"} & os.environ.keys():
        raise UserError(
            f"train.num_nodes is {config.num_nodes}, but neither torchrun nor srun started this process: it would wait "
            "forever"
        )
    started = int(os.environ.get("WORLD_SIZE", "1"))
    if not several and started > 1:
        raise UserError(
            f"{started} processes were started, but train.devices is 1; set it to the number of processes per machine"
        )
    return fabric


def launch(fabric: Fabric) -> None:
    """Starts the other processes, or joins those that torchrun or SLURM started; UserError if their number is wrong."""
    with _telling("train.devices and train.num_nodes"):
        fabric.launch()


def one_device(accelerator: str) -> torch.device:
    """The first device of the ``accelerator``, or with ``auto`` the best; UserError if this machine has none."""
    return fabric_on_one_device(accelerator, "32-true").device


def fabric_on_one_device(accelerator: str, precision: str) -> Fabric:
    """A Fabric on the first device of the ``accelerator``, with this ``precision``; UserError if there is no device."""
    _silence_srun()
    with _telling(f"train.accelerator {accelerator}, train.precision {precision}"):
        return Fabric(accelerator=accelerator, devices=1, precision=precision)


def _silence_srun() -> None:
    """Hides the warning that srun is not used, which does not concern a user who asked for one process."""
    warnings.filterwarnings("ignore", message="The `srun` command is available")


@contextmanager
def _telling(asked: str) -> Iterator[None]:
    try:
        yield
    except (RuntimeError, ValueError, MisconfigurationException) as error:
        # The first sentence says what is wrong; the rest is advice to users of Lightning.
        raise UserError(f"{asked}: {str(error).strip().split('. ')[0]}") from error
