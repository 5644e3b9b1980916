"""Downloads from a real server that cuts, stalls, lies and recovers: they succeed, continue, or fail with a reason."""

import functools
import hashlib
import signal
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from gcl.errors import UserError
from gcl.sources import downloads
from gcl.sources.downloads import CHUNK
from gcl.sources.public_datasets import DATASETS, Dataset
from pipeline.console import level_bar
from tests.archive_server import CONTENT, Answer, serving

WRONG = CONTENT[:-1] + b"?"
SMALL = Dataset("small", len(CONTENT), hashlib.sha256(CONTENT).hexdigest())

fetch = functools.partial(downloads.fetch, tell=print, show_level=level_bar)


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setattr(downloads, "PAUSES", (0.0, 0.0, 0.0))
    with serving() as running:
        yield running


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "cache"


@pytest.fixture
def get(server, cache):
    """Fetches the small data set and checks that the right archive is there, alone in the cache."""

    def attempt() -> list[str | None]:
        path = fetch(SMALL, server.url, cache)
        assert path.read_bytes() == CONTENT
        assert held(cache) == [path] == [cache / "small.zip"]
        return server.asked

    return attempt


@pytest.fixture
def failed(server, cache):
    """Expects fetching to fail and returns the message."""

    def attempt() -> str:
        with pytest.raises(UserError) as error:
            fetch(SMALL, server.url, cache)
        assert f"{server.url}/small.zip" in str(error.value) and "data.mirror" in str(error.value)
        return str(error.value)

    return attempt


def held(cache: Path) -> list[Path]:
    """The files in the cache except for its lock."""
    return [path for path in cache.iterdir() if path.name != ".small.zip.lock"]


def partial(cache: Path, content: bytes = CONTENT[: 3 * CHUNK]) -> Path:
    cache.mkdir()
    (cache / "small.zip.partial").write_bytes(content)
    return cache / "small.zip.partial"


def from_chunk(count: int) -> str:
    return f"bytes={count * CHUNK}-"


def test_a_data_set_is_downloaded_once(server, get, cache, monkeypatch, capsys):
    monkeypatch.setattr(downloads, "PUBLIC_ADDRESS", server.url)
    assert fetch(SMALL, None, cache).read_bytes() == CONTENT
    assert f"downloading {server.url}/small.zip (1 of 1 MiB)" in capsys.readouterr().out
    assert get() == [None]
    assert capsys.readouterr().out == ""
    (cache / "small.zip").write_bytes(WRONG)
    assert get() == [None, None]


def test_two_at_once_share_one_download(server, cache, capsys):
    entered, go_on = threading.Event(), threading.Event()
    server.script = [Answer(then=lambda: (entered.set(), go_on.wait(30)), cut=2 * CHUNK)]
    found = []
    fetching = [threading.Thread(target=lambda: found.append(fetch(SMALL, server.url, cache))) for _ in range(2)]
    fetching[0].start()
    assert entered.wait(30)
    fetching[1].start()
    while "another process fetches small.zip" not in capsys.readouterr().out:
        time.sleep(0.01)
    go_on.set()
    for thread in fetching:
        thread.join()
    assert found == [cache / "small.zip"] * 2 and found[0].read_bytes() == CONTENT
    assert len(server.asked) == 2  # the first connection and its continuation


def test_cut_connections_are_continued_where_they_ended(server, get):
    server.script = [Answer(cut=2 * CHUNK + 5), Answer(cut=3 * CHUNK), Answer(cut=CHUNK, reset=True)]
    asked = get()
    assert asked[:3] == [None, from_chunk(2), from_chunk(5)]
    # The last bytes before a reset may be lost.
    assert asked[3:] in ([from_chunk(6)], [from_chunk(5)])


def test_patience_starts_anew_with_every_gain(server, get):
    server.script = [Answer(cut=CHUNK) for _ in range(10)]
    assert get() == [None, *(from_chunk(count) for count in range(1, 11))]


@pytest.mark.parametrize("status", sorted(downloads.PASSING_STATUS))
def test_a_server_in_trouble_is_asked_again(server, get, cache, status, capsys):
    partial(cache)
    server.script = [Answer(status=status)] * 3
    assert get() == [from_chunk(3)] * 4
    assert f"the server says {status}" in capsys.readouterr().out


def test_a_silent_server_is_asked_again(server, get, monkeypatch):
    monkeypatch.setattr(downloads, "TIMEOUTS", (5.0, 0.5))
    done = threading.Event()
    server.script = [Answer(cut=2 * CHUNK, then=lambda: done.wait(60)), Answer(cut=0, then=lambda: done.wait(60))]
    started = time.monotonic()
    assert get()[:3] == [None, from_chunk(2), from_chunk(2)]
    assert time.monotonic() - started < 30
    done.set()


@pytest.mark.parametrize(
    "answer, then_asked",
    [
        (Answer(ranges=False), []),
        (Answer(status=416), [None]),
        (Answer(extent=f"bytes 0-{len(CONTENT) - 1}/{len(CONTENT)}"), [None]),
        (Answer(status=206, ranges=False), [None]),
    ],
    ids=["ignores ranges", "416", "other range", "206 without a range"],
)
def test_without_its_rest_the_file_is_begun_anew(server, get, cache, answer, then_asked):
    partial(cache)
    server.script = [answer]
    assert get() == [from_chunk(3), *then_asked]


@pytest.mark.parametrize(
    "answer, offered",
    [
        (Answer(ranges=False, length=2 * len(CONTENT)), 2 * len(CONTENT)),
        (Answer(ranges=False, length=len(CONTENT) - 1), len(CONTENT) - 1),
        (Answer(ranges=False, content=b"<html>sign in</html>"), 20),
        (Answer(content=CONTENT + b"longer"), len(CONTENT) + 6),
    ],
)
def test_another_file_is_told_before_the_partial_one_is_touched(server, get, failed, cache, answer, offered):
    partial(cache)
    server.script = [answer]
    assert f"{offered} bytes offered, {len(CONTENT)} expected" in failed()
    assert get() == [from_chunk(3)] * 2


@pytest.mark.parametrize("length", [2 * len(CONTENT), 7 * CHUNK])
def test_a_rest_of_a_wrong_length_is_made_good(server, get, cache, length):
    partial(cache)
    server.script = [Answer(length=length)]
    assert get() == [from_chunk(3), from_chunk(10)]


@pytest.mark.parametrize("beginning", [b"", b"?" * CHUNK, b"?" * 2 * len(CONTENT)], ids=["none", "bad", "too long"])
def test_wrong_bytes_are_told_and_removed(server, get, failed, cache, beginning):
    partial(cache, beginning)
    server.script = [Answer(content=WRONG)]
    message = failed()
    found = (beginning + WRONG[len(beginning) :]) if len(beginning) < len(CONTENT) else beginning
    assert hashlib.sha256(found).hexdigest() in message and SMALL.sha256 in message and "Run again" in message
    assert held(cache) == []
    server.script = []
    assert get()[-1] is None


@pytest.mark.parametrize("answer", [Answer(status=503), Answer(cut=CHUNK, ranges=False)], ids=["503", "never whole"])
def test_patience_ends_and_the_next_run_goes_on(server, get, failed, cache, answer):
    part = partial(cache)
    server.usual = answer
    message = failed()
    assert len(server.asked) == 1 + len(downloads.PAUSES)
    kept = part.stat().st_size
    assert f"{kept} of {len(CONTENT)} bytes are here" in message and kept > 0
    server.usual = Answer()
    assert get()[-1] == f"bytes={kept}-"


def test_an_interrupted_download_goes_on_in_the_next_run(server, get, cache, request):
    part, main = cache / "small.zip.partial", threading.main_thread().ident
    # Processes that run tests in parallel ignore SIGINT.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    request.addfinalizer(lambda: signal.signal(signal.SIGINT, before))

    def interrupt():
        while not part.exists() or part.stat().st_size < 4 * CHUNK:
            time.sleep(0.01)
        signal.pthread_kill(main, signal.SIGINT)

    server.script = [Answer(cut=4 * CHUNK, then=interrupt)]
    with pytest.raises(KeyboardInterrupt):
        fetch(SMALL, server.url, cache)
    assert held(cache) == [part]
    assert get() == [None, from_chunk(4)]


@pytest.mark.parametrize("status", [401, 403, 404, 410])
def test_a_refusal_is_told_at_once(server, failed, status):
    server.usual = Answer(status=status)
    assert f"the server says {status}" in failed()
    assert server.asked == [None]


def test_too_little_disk_is_told_before_anything_is_asked(server, cache, monkeypatch):
    part = partial(cache)
    monkeypatch.setattr(downloads.shutil, "disk_usage", lambda folder: SimpleNamespace(free=99))
    with pytest.raises(UserError, match=rf"needs {len(CONTENT) - 3 * CHUNK} bytes more, 99 are free"):
        fetch(SMALL, server.url, cache)
    assert server.asked == [] and part.exists()


@pytest.mark.parametrize("address", ["http://127.0.0.1:1", "http://nowhere.invalid", "ftp://127.0.0.1", "http://"])
def test_without_a_network_the_address_and_the_way_out_are_told(server, cache, address):
    with pytest.raises(UserError) as error:
        fetch(SMALL, address, cache)
    assert f"{address.rstrip('/')}/small.zip" in str(error.value)
    assert "bring small.zip here by other means and set data.mirror" in str(error.value)
    assert held(cache) == []


def test_a_cache_that_cannot_be_written_is_told(server, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot be downloaded into"):
        fetch(SMALL, server.url, tmp_path / "file")


def test_a_local_copy_is_used_where_it_lies(tmp_path, cache):
    (tmp_path / "small.zip").write_bytes(CONTENT)
    (tmp_path / "renamed.zip").write_bytes(CONTENT)
    assert fetch(SMALL, str(tmp_path), cache) == tmp_path / "small.zip"
    assert fetch(SMALL, str(tmp_path / "renamed.zip"), cache) == tmp_path / "renamed.zip"
    assert not cache.exists()


def test_a_local_copy_with_wrong_bytes_is_told_and_kept(tmp_path, cache):
    for content, told in ((WRONG[1:], f"{len(WRONG) - 1} bytes,"), (WRONG, hashlib.sha256(WRONG).hexdigest())):
        (tmp_path / "small.zip").write_bytes(content)
        with pytest.raises(UserError) as error:
            fetch(SMALL, str(tmp_path), cache)
        assert told in str(error.value) and str(tmp_path / "small.zip") in str(error.value)
        assert f"expected {len(CONTENT)} bytes with SHA-256 {SMALL.sha256}" in str(error.value)
        assert (tmp_path / "small.zip").read_bytes() == content


@pytest.mark.parametrize("name", ["", "other.zip", "nowhere/small.zip"])
def test_a_missing_local_copy_is_told(tmp_path, cache, name):
    with pytest.raises(UserError, match=r"data\.mirror = .*name small\.zip or the folder"):
        fetch(SMALL, str(tmp_path / name), cache)


def test_the_table_is_well_formed():
    assert {name: dataset.name for name, dataset in DATASETS.items()} == {name: name for name in DATASETS}
    assert {len(bytes.fromhex(dataset.sha256)) for dataset in DATASETS.values()} == {32}
