"""What a training prints on its way when there is no terminal."""

from gcl.training.loop import Record
from pipeline.running.progress import with_progress


def test_a_line_shows_losses_with_the_step_they_are_of(capsys):
    records = [Record(step, {"generator": step / 10} if step % 4 == 0 else None) for step in range(1, 11)]
    assert list(with_progress(records, start=0, steps=10, images=1)) == records
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("images/s")[1] for line in lines] == [
        *[""] * 3,
        *["  losses at step 4: generator 0.400"] * 4,
        *["  losses at step 8: generator 0.800"] * 3,
    ]


def test_a_saturated_discriminator_is_warned_of_once(capsys):
    records = [Record(step, {"discriminator": 0.001}, saturated=step > 1) for step in (1, 2, 3)]
    assert list(with_progress(records, start=0, steps=3, images=1)) == records
    (told,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("warning")]
    assert told.startswith("warning: by step 2 the discriminator's loss had fallen to 0.001: ")
