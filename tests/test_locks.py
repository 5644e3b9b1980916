"""One process at a time writes a folder, shown with real processes, some of which are killed or forked."""

import os
import subprocess
import sys
from contextlib import ExitStack
from threading import Thread

import pytest

from gcl.errors import UserError
from gcl.files import replaced_folder
from gcl.locks import only_writer
from tests.project import ROOT

HOLD = """
import os, sys, time
from pathlib import Path
from gcl.locks import only_writer
with only_writer(*map(Path, sys.argv[1:])):
    if os.fork() == 0:  # the fork names itself: by then it has let go of the locks
        print(os.getpid(), flush=True)
    time.sleep(60)
"""


@pytest.fixture
def hold():
    """Starts a process that holds the locks of the given paths and has forked another process."""
    with ExitStack() as started:

        def start(*paths):
            command = [sys.executable, "-c", HOLD, *paths]
            process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
            started.callback(process.stdout.close)
            child = int(process.stdout.readline())
            started.callback(os.kill, child, 9)
            started.callback(process.wait)
            started.callback(process.kill)
            return process

        yield start


@pytest.mark.parametrize("asking", [only_writer, replaced_folder])
def test_the_second_is_refused_and_told_of_the_first(hold, tmp_path, asking):
    with replaced_folder(tmp_path / "data") as folder:
        (folder / "content").write_text("old")
    first = hold(tmp_path / "data")
    (tmp_path / "data.partial").mkdir()
    for _ in range(2):  # asking does not change the answer
        with pytest.raises(UserError, match=rf"data is being written by another process \(process {first.pid}: .*-c"):
            with asking(tmp_path / "data"):
                pass
    assert (tmp_path / "data/content").read_text() == "old" and (tmp_path / "data.partial").exists()


def test_one_of_several_is_enough_and_the_others_are_free_again(hold, tmp_path):
    hold(tmp_path / "b", tmp_path / "c")
    with pytest.raises(UserError, match="b is being written"), only_writer(tmp_path / "a", tmp_path / "b"):
        pass
    with only_writer(tmp_path / "a"):
        pass


def test_the_lock_of_a_killed_process_is_free_though_its_fork_lives(hold, tmp_path):
    first = hold(tmp_path / "data")
    first.kill()
    first.wait()
    with only_writer(tmp_path / "data"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_two_names_of_one_folder_are_one(hold, tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "data")
    hold(tmp_path / "data")
    with pytest.raises(UserError, match="link is being written"), only_writer(tmp_path / "link"):
        pass


def test_no_folder_that_was_missing_is_left(tmp_path):
    with pytest.raises(RuntimeError), only_writer(tmp_path / "reports/deep/curves.csv"):
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []
    with only_writer(tmp_path / "reports/curves.csv"):
        (tmp_path / "reports/curves.csv").touch()
    assert [path.name for path in (tmp_path / "reports").iterdir()] == ["curves.csv"]


def test_only_one_of_many_at_once_gets_in(tmp_path):
    """Each adds 1 and removes its lock while others open it; a sum that is too low would reveal two at once."""
    code = """
import sys
from pathlib import Path
from gcl.errors import UserError
from gcl.locks import only_writer
file, done = Path(sys.argv[1]), 0
while done < 200:
    try:
        with only_writer(file):
            file.write_text(str(int(file.read_text()) + 1))
        done += 1
    except UserError:
        pass
"""
    (tmp_path / "count").write_text("0")
    started = [subprocess.Popen([sys.executable, "-c", code, tmp_path / "count"], cwd=ROOT) for _ in range(3)]
    assert [process.wait() for process in started] == [0, 0, 0]
    assert (tmp_path / "count").read_text() == "600"
    assert [path.name for path in tmp_path.iterdir()] == ["count"]


def test_who_waits_gets_to_write_once_the_other_is_done(tmp_path):
    events = []

    def second() -> None:
        with only_writer(tmp_path / "folder", wait=True):
            events.append("second")

    with only_writer(tmp_path / "folder"):
        waiting = Thread(target=second)
        waiting.start()
        waiting.join(timeout=0.5)
        assert waiting.is_alive()
        events.append("first")
    waiting.join(timeout=30)
    assert events == ["first", "second"]
