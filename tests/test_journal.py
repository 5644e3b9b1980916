"""Journals of runs: what they give back, even after kills and damage, and who may touch them."""

import json
import multiprocessing
import os
import signal

import pytest
from filelock import Timeout

from gcl.errors import UserError
from pipeline.tracking.journal import Journal, pending_folder, pending_journals

KEY = "0123456789abcdef0123456789abcdef"

BEGINNING = {"kind": "run", "time": 1}


@pytest.fixture(autouse=True)
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    return tmp_path


@pytest.fixture
def journal():
    """An open journal that holds a beginning."""
    journal = Journal(KEY)
    assert journal.open(patience=0) == []
    journal.append(BEGINNING)
    yield journal
    journal.close(done=False)


def test_events_and_files_come_back_as_they_were(journal, root):
    metrics = {"kind": "metrics", "time": 2, "values": {"a": 0.1 + 0.2, "b": float("inf")}, "step": 3}
    journal.append(metrics)
    for content in ("old", "new"):
        (root / "model.bin").write_text(content)
        journal.append({"kind": "files", "time": 4, "into": "model"}, [root / "model.bin"])
    (root / "model.bin").unlink()
    events = journal.events()
    assert events[:2] == [BEGINNING, metrics] and [event["kind"] for event in events[2:]] == ["files", "files"]
    copies = [path for event in events for path in journal.files(event)]
    assert [(path.name, path.read_text()) for path in copies] == [("model.bin", "old"), ("model.bin", "new")]


def test_what_is_appended_is_in_the_file_at_once(journal):
    assert json.loads((pending_folder() / KEY / "events.jsonl").read_text()) == BEGINNING


def test_a_line_that_a_kill_cut_off_is_ignored_and_not_continued(journal):
    with (journal.folder / "events.jsonl").open("a") as stream:
        stream.write('{"kind": "metr')
    assert journal.events() == [BEGINNING]
    journal.close(done=False)
    assert journal.open(patience=0) == [BEGINNING]
    journal.append({"kind": "end", "time": 5})
    assert journal.events() == [BEGINNING, {"kind": "end", "time": 5}]


def test_a_journal_with_nothing_but_half_a_line_is_empty(journal):
    (journal.folder / "events.jsonl").write_text('{"kind": "ru')
    journal.close(done=False)
    assert journal.events() == journal.open(patience=0) == []


@pytest.mark.parametrize("line", [b"\xff\xfe", b"{", b"[]", b"3", b'{"kind": "end"}', b'{"kind": "a", "files": 1}'])
def test_damage_is_told_by_line(journal, line):
    with (journal.folder / "events.jsonl").open("ab") as stream:
        stream.write(line + b"\n")
    journal.append({"kind": "end", "time": 5})
    with pytest.raises(UserError, match="line 2: damaged"):
        journal.events()


def test_a_missing_file_is_told_by_name(journal, root):
    (root / "model.bin").write_text("weights")
    journal.append({"kind": "files", "time": 4}, [root / "model.bin"])
    next(journal.folder.glob("*/model.bin")).unlink()
    with pytest.raises(UserError, match=r"line 2: model\.bin is missing"):
        journal.events()


def test_a_journal_without_its_beginning_is_damaged(journal):
    (journal.folder / "events.jsonl").write_text('{"kind": "end", "time": 5}\n')
    with pytest.raises(UserError, match="line 1: not the beginning"):
        journal.events()


def test_one_process_at_a_time(journal):
    other = Journal(KEY)
    with pytest.raises(Timeout):
        other.open(patience=0)
    other.close(done=True)  # this must not remove what the first one holds
    assert journal.events() == [BEGINNING]
    journal.close(done=False)
    assert other.open(patience=0) == [BEGINNING]
    other.close(done=True)


def test_a_killed_process_leaves_its_events_and_no_lock(journal):
    def write_and_die():
        other = Journal("f" * 32)
        other.open(patience=0)
        other.append(BEGINNING)
        os.kill(os.getpid(), signal.SIGKILL)

    process = multiprocessing.get_context("fork").Process(target=write_and_die)
    process.start()
    process.join()
    left = Journal("f" * 32)
    assert left.open(patience=0) == [BEGINNING]
    left.close(done=True)


def test_nothing_stays_of_what_is_done(journal, root):
    (root / "model.bin").write_text("weights")
    journal.append({"kind": "files", "time": 4}, [root / "model.bin"])
    assert [pending.folder for pending in pending_journals()] == [journal.folder]
    journal.close(done=True)
    assert list(pending_folder().iterdir()) == [] and pending_journals() == []


def test_a_kill_while_it_is_removed_leaves_an_empty_journal(journal, root, monkeypatch):
    (root / "model.bin").write_text("weights")
    journal.append({"kind": "files", "time": 4}, [root / "model.bin"])

    def killed(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("shutil.rmtree", killed)
    with pytest.raises(KeyboardInterrupt):
        journal.close(done=True)
    (left,) = pending_journals()
    assert left.events() == []
    journal.close(done=False)
