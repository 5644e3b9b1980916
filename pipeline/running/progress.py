"""The messages of a training in progress."""

import time
from collections.abc import Iterable, Iterator

from rich.progress import TextColumn

from gcl.training.loop import Record
from pipeline.console import announce, bar, console

SATURATION_WARNING = (
    "warning: by step {step} the discriminator's loss had fallen to {loss:.2g}: it tells every translation from a "
    "real image, and the generator no longer learns anything from it. Lower train.discriminator_lr or, if "
    "discriminator.name is patch, set discriminator.spectral_norm: true."
)


def with_progress(records: Iterable[Record], start: int, steps: int, images: int) -> Iterator[Record]:
    """Yields ``records`` and draws the step, the speed with ``images`` per step, the time left and the losses.

    Without a terminal, it prints a line after every tenth of the steps. It warns once, at the first record with a
    saturated discriminator.
    """
    losses, started, warned = "", time.monotonic(), False
    with bar(TextColumn("{task.fields[speed]:.3g} images/s{task.fields[losses]}")) as progress:
        task = progress.add_task("training", total=steps, completed=start, losses="", speed=0.0)
        for record in records:
            speed = (record.step - start) * images / (time.monotonic() - started)
            if record.losses is not None:
                shown = "  ".join(f"{name} {value:.3f}" for name, value in record.losses.items())
                # These are the means up to this step; they are shown until the next ones.
                losses = f"  losses at step {record.step}: {shown}"
            progress.update(task, completed=record.step, losses=losses, speed=speed)
            if not console.is_terminal and record.step % max(steps // 10, 1) == 0:
                announce(f"step {record.step}/{steps}  {speed:.3g} images/s{losses}")
            if record.saturated and not warned:
                warned = True
                announce(SATURATION_WARNING.format(step=record.step, loss=record.losses["discriminator"]))
            yield record
