"""The training loop: it runs the steps, yields a record of each, and stops when losses are no longer finite."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor

from gcl.config import TrainConfig
from gcl.errors import UserError
from gcl.images.batches import UnpairedImages, batches
from gcl.training.trainer import Trainer, constant_steps


@dataclass
class Record:
    """The report of one step: ``losses`` are means since the last record that had any, or None between log lines."""

    step: int
    losses: dict[str, float] | None
    saturated: bool = False


def train(
    trainer: Trainer,
    pairs: UnpairedImages,
    config: TrainConfig,
    start: int = 0,
    state: Mapping[str, Any] | None = None,
) -> Iterator[Record]:
    """Runs the steps up to ``config.steps`` and yields a :class:`Record` of each.

    The caller may inspect the trainer in between. With ``start`` and the trainer's ``state`` after that many steps,
    training resumes from there. UserError if losses are no longer finite, before anything about that step or a later
    one is written. Nothing waits for the device except where something is written or validated (a log line, a grid, a
    state), and where ``16-mixed`` itself has to.
    """
    fabric = trainer.fabric
    place = fabric.global_rank, fabric.world_size
    loader = batches(pairs, config.batch_size, config.workers, start, *place, fabric.device.type == "cuda")
    loader = fabric.setup_dataloaders(loader, use_distributed_sampler=False)
    for step, (a, b) in enumerate(loader, start=start + 1):
        # The state is loaded only now, because drawing the first batch takes a number from torch's random generator.
        if step == start + 1 and state is not None:
            trainer.load_state(state)
        trainer.window.append(_averaged(trainer.step(a, b), fabric))
        yield _record(trainer, step, pairs, config)
    if start == config.steps:
        trainer.load_state(state)


def _record(trainer: Trainer, step: int, pairs: UnpairedImages, config: TrainConfig) -> Record:
    """The record of ``step``; UserError if the window holds losses that are not finite."""
    regular = config.log_every, config.sample_every, config.save_every, config.validate_every
    ends = constant_steps(config.steps, config.constant_share), config.steps
    if step not in ends and all(step % every for every in regular):
        return Record(step, losses=None)
    names, losses = list(trainer.window[0]), _table(trainer.window)
    if trainer.fabric.is_global_zero:
        _check_finite(step, names, losses, pairs, config)
    if step % config.log_every and step != config.steps:
        return Record(step, losses=None)
    # The window of a training that ends in its middle is kept, for one that goes on from there with more steps.
    if step % config.log_every == 0:
        trainer.window.clear()
    means = dict(zip(names, losses.mean(dim=0).tolist(), strict=True))
    return Record(step, means, saturated=means["discriminator"] < trainer.gan.saturated)


def _averaged(losses: Mapping[str, Tensor], fabric: Fabric) -> dict[str, Tensor]:
    """The losses averaged over all processes, without waiting for the device."""
    means = fabric.all_reduce(torch.stack([loss.float() for loss in losses.values()]))
    return dict(zip(losses, means, strict=True))


def _table(window: Sequence[Mapping[str, Tensor]]) -> Tensor:
    """The losses (steps, names) of the window, in one transfer from the device."""
    return torch.stack([torch.stack(list(losses.values())) for losses in window]).cpu()


def _check_finite(step: int, names: Sequence[str], losses: Tensor, pairs: UnpairedImages, config: TrainConfig) -> None:
    """UserError for the first row of ``losses`` (steps, names) that is not finite; ``step`` is the last row's."""
    diverged = (~losses.isfinite()).any(dim=1).nonzero().flatten().tolist()
    if not diverged:
        return
    first = step - len(losses) + 1 + diverged[0]
    shown = ", ".join(f"{name} {value:.4g}" for name, value in zip(names, losses[diverged[0]].tolist(), strict=True))
    batch = len(pairs) // config.steps
    indices = range((first - 1) * batch, first * batch)
    files = ", ".join(str(pairs.file(domain, index)) for index in indices for domain in (0, 1))
    raise UserError(
        f"step {first}: the training diverged ({shown}) on {files}; lower train.generator_lr, "
        "train.discriminator_lr or the weight of the contrast, or use train.precision 32-true"
    )
