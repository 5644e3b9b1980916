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
