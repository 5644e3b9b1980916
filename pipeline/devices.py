"""Where the tensors live: Lightning Fabric with its mistakes told plainly."""

from typing import Any

import torch
from lightning_fabric import Fabric

from gcl.config import TrainConfig
from gcl.errors import UserError


def make_fabric(config: TrainConfig) -> Fabric:
    """All devices of the training, with no process started yet; UserError if this machine does not have them."""
    return _fabric(
        f"train.accelerator {config.accelerator}, train.devices {config.devices}, train.num_nodes {config.num_nodes}, "
        f"train.strategy {config.strategy} and train.precision {config.precision}",
        accelerator=config.accelerator,
        devices=config.devices,
        num_nodes=config.num_nodes,
        strategy=config.strategy,
        precision=config.precision,
    )


def one_device(accelerator: str) -> torch.device:
    """The first device of the ``accelerator``, auto for the best there is; UserError if this machine has none."""
    return _fabric(f"train.accelerator {accelerator}", accelerator=accelerator, devices=1).device


def _fabric(asked: str, **arguments: Any) -> Fabric:
    try:
        return Fabric(**arguments)
    except (RuntimeError, ValueError) as error:
        # The first sentence says what is wrong; the rest is advice to users of Lightning.
        raise UserError(f"{asked}: {str(error).split('. ')[0]}") from error
