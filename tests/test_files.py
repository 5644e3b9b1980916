"""Files and folders are replaced whole or not at all, and those of others beside them are left alone."""

import resource
import shutil

import pytest

from gcl.errors import UserError
from gcl.files import MARKER, replaced_folder, write_whole


def test_a_write_that_fails_names_the_file_and_keeps_the_old_one(tmp_path):
    """A limit on the size of files stands for a full disk."""
    write_whole(tmp_path / "file", b"old")
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (10, hard))
        with pytest.raises(OSError, match=f"File too large; what was there before .*{tmp_path}/file"):
            write_whole(tmp_path / "file", bytes(11))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    assert (tmp_path / "file").read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def fill(folder, text):
    with replaced_folder(folder) as new:
        (new / "content").write_text(text)


def test_the_new_folder_takes_the_old_ones_place(tmp_path):
    fill(tmp_path / "data", "old")
    fill(tmp_path / "data", "new")
    assert (tmp_path / "data/content").read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_a_failure_keeps_the_old_folder(tmp_path):
    fill(tmp_path / "data", "old")
    with pytest.raises(RuntimeError), replaced_folder(tmp_path / "data") as new:
        (new / "content").write_text("half")
        raise RuntimeError
    assert (tmp_path / "data/content").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_where_the_new_folder_cannot_take_its_place_the_old_one_comes_back(tmp_path):
    fill(tmp_path / "data", "old")
    with pytest.raises(FileNotFoundError), replaced_folder(tmp_path / "data") as new:
        shutil.rmtree(new)
    with pytest.raises(RuntimeError), replaced_folder(tmp_path / "data"):
        raise RuntimeError
    assert (tmp_path / "data/content").read_text() == "old"


def test_killed_between_the_two_renames_the_old_folder_comes_back(tmp_path):
    fill(tmp_path / "data", "old")
    (tmp_path / "data").rename(tmp_path / "data.replaced")
    with pytest.raises(RuntimeError), replaced_folder(tmp_path / "data"):
        raise RuntimeError
    assert (tmp_path / "data/content").read_text() == "old"


def test_killed_after_them_the_new_folder_stays(tmp_path):
    fill(tmp_path / "data", "new")
    fill(tmp_path / "data.replaced", "old")
    with pytest.raises(RuntimeError), replaced_folder(tmp_path / "data"):
        raise RuntimeError
    assert (tmp_path / "data/content").read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


@pytest.mark.parametrize("name", ["data", "data.partial", "data.replaced"])
def test_a_folder_of_somebody_else_is_never_touched(tmp_path, name):
    (tmp_path / name).mkdir()
    (tmp_path / name / "thesis").write_text("mine")
    with pytest.raises(UserError, match=f"{name} holds files that this program did not write"):
        fill(tmp_path / "data", "new")
    assert (tmp_path / name / "thesis").read_text() == "mine"


def test_leftovers_of_a_killed_call_are_cleared(tmp_path):
    for name in ("data.partial", "data.replaced"):
        fill(tmp_path / name, "left")
        assert (tmp_path / name / MARKER).exists()
    fill(tmp_path / "data", "new")
    assert [path.name for path in tmp_path.iterdir()] == ["data"]
