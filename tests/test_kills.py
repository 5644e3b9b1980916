"""A training killed by SIGKILL a few times ends as if it had not been; `python -m tests.kills 20` kills more."""

from tests.kills import compare


def test_kills_change_nothing(tmp_path):
    assert len(compare(tmp_path, kills=3, seed=1)) == 3
