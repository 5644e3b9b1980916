"""One training by several processes: the first one leads and does all other work, the others only train."""

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from subprocess import Popen
from typing import Any

from lightning_fabric import Fabric

from gcl.config import Params, TrainConfig
from gcl.errors import UserError
from gcl.images.prepared import Prepared
from gcl.training.from_params import build_trainer, training_pairs
from gcl.training.loop import Record, train
from gcl.training.start_from import Start
from gcl.training.trainer import Trainer
from pipeline.running.devices import launch, make_fabric
from pipeline.running.stopping import ignore_signals

BROKEN_CONNECTION = ("Connection closed", "Connection reset", "Broken pipe", "Socket closed", "Timed out")
"""Parts of torch's messages when a process is lost that Fabric did not start; there is no exception class for it."""


def on_all_devices(config: TrainConfig, prepared: Prepared, work: Callable[[Fabric], None]) -> None:
    """Starts a process for every device and calls ``work`` in the first; the others join the trainings it begins.

    UserError if a process is lost; no process is then left behind.
    """
    fabric = make_fabric(config)
    if fabric.local_rank:
        # The first process decides when to stop, and saves a state before that.
        ignore_signals()
        threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    with _ending_the_others(fabric):
        launch(fabric)
        if fabric.is_global_zero:
            work(fabric)
            fabric.broadcast(None)
        else:
            _follow(fabric, prepared)


def begin_training(
    fabric: Fabric,
    params: Params,
    prepared: Prepared,
    step: int,
    state: dict[str, Any] | None,
    start: Start | None = None,
) -> tuple[Trainer, Iterator[Record]]:
    """Builds the trainer, with the weights of ``start``, and the iterator over its steps after ``step``.

    The steps go on from ``state``. The other processes begin this training as well.
    """
    begun = params, step, state, start
    fabric.broadcast(begun)
    return _training(fabric, prepared, *begun)


def stopped(fabric: Fabric, config: TrainConfig, step: int, stop: bool = False) -> bool:
    """Whether the first process wants to ``stop`` after this ``step``. All processes must ask after every step."""
    return config.stop_after is not None and step % config.validate_every == 0 and fabric.broadcast(stop)


def _training(
    fabric: Fabric, prepared: Prepared, params: Params, step: int, state: dict[str, Any] | None, start: Start | None
) -> tuple[Trainer, Iterator[Record]]:
    trainer = build_trainer(params, fabric, start)
    pairs = training_pairs(params.train, prepared, fabric.world_size)
    return trainer, train(trainer, pairs, params.train, step, state)


def _follow(fabric: Fabric, prepared: Prepared) -> None:
    while (begun := fabric.broadcast(None)) is not None:
        _, records = _training(fabric, prepared, *begun)
        for record in records:
            if stopped(fabric, begun[0].train, record.step):
                break


def _end_with(parent: int) -> None:
    """Ends this process soon after its parent, even while it waits on a device for others."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


@contextmanager
def _ending_the_others(fabric: Fabric) -> Iterator[None]:
    """However the block ends, no process that Fabric started outlives it; UserError if one was lost."""
    others: list[Popen] = getattr(fabric.strategy.launcher, "procs", [])
    try:
        yield
    except RuntimeError as error:
        ended = _ended(others)
        broken = fabric.world_size > 1 and any(words in str(error) for words in BROKEN_CONNECTION)
        if not ended and not broken:
            raise
        which = f"process {ended}" if ended else "another process"
        raise UserError(
            f"{which} of the training ended, so the others end too; the same command resumes from the last state"
        ) from error
    finally:
        if sys.exception() is not None:
            for process in others:
                process.kill()
        for process in others:
            process.wait()


def _ended(others: Sequence[Popen]) -> str:
    """The ranks of those ``others`` that failed, with their exit status."""
    # The connection breaks before the process is reported as ended.
    deadline = time.monotonic() + 2
    while others and all(process.poll() is None for process in others) and time.monotonic() < deadline:
        time.sleep(0.1)
    return ", ".join(f"{rank} (status {other.returncode})" for rank, other in enumerate(others, 1) if other.returncode)
