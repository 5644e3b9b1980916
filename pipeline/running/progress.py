"""What a training says on its way."""

import time
from collections.abc import Iterable, Iterator

from rich.progress import TextColumn

from gcl.training.gan_losses import SATURATED
from gcl.training.loop import Record
from pipeline.console import announce, bar, console

SATURATION_WARNING = (
    "warning: by step {step} the discriminator's loss fell below {saturated}: it tells every translation from a real "
    "image, and the generator learns nothing from it any more. Set discriminator.spectral_norm: true, or lower "
    "train.discriminator_lr."
)


def with_progress(records: Iterable[Record], start: int, steps: int, images: int) -> Iterator[Record]:
    """Passes ``records`` on and draws step, speed by ``images`` a step, time left and losses.

    Without a terminal, a line is printed every tenth of the way. The first record of a saturated discriminator is
    followed by a warning.
    """
    losses, started, warned = "", time.monotonic(), False
    with bar(TextColumn("{task.fields[speed]:.3g} images/s{task.fields[losses]}")) as progress:
        task = progress.add_task("training", total=steps, completed=start, losses="", speed=0.0)
        for record in records:
            speed = (record.step - start) * images / (time.monotonic() - started)
            if record.losses is not None:
                shown = "  ".join(f"{name} {value:.3f}" for name, value in record.losses.items())
                # They are the means up to this step, and stand there until the next ones.
                losses = f"  losses at step {record.step}: {shown}"
            progress.update(task, completed=record.step, losses=losses, speed=speed)
            if not console.is_terminal and record.step % max(steps // 10, 1) == 0:
                announce(f"step {record.step}/{steps}  {speed:.3g} images/s{losses}")
            if record.saturated and not warned:
                warned = True
                announce(SATURATION_WARNING.format(step=record.step, saturated=SATURATED))
            yield record
