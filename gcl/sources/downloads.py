"""The archives of the public data sets: downloaded once into a cache and checked, or taken from a local copy.

pooch keeps the cache: a file gets its name only once its SHA-256 fits. Its own downloader begins anew after every
interruption, which is too much for gigabytes from one slow host; the one below continues a partial file instead.
"""

import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pooch
import requests
from filelock import FileLock, Timeout

from gcl.errors import UserError
from gcl.sources.public_datasets import Dataset

PUBLIC_ADDRESS = "http://efrosgans.eecs.berkeley.edu/cyclegan/datasets"

TIMEOUTS = (10.0, 30.0)
"""Seconds to wait for a connection, and for the next bytes."""

PAUSES = (1.0, 2.0, 4.0, 8.0)
"""Seconds between attempts in a row that bring nothing new; after the last one it is given up."""

PASSING_STATUS = {408, 429, 500, 502, 503, 504}
"""What a server says that may do better soon."""

CHUNK = 1 << 16

Tell = Callable[[str], None]
"""Says something to the user."""

ShowLevel = Callable[[Iterable[int], str, int], Iterable[int]]
"""Passes on how much is there by now and shows it, given a description and the whole."""


def fetch(dataset: Dataset, mirror: str | None, folder: Path, tell: Tell, show_level: ShowLevel) -> Path:
    """The path of the checked archive of ``dataset``: downloaded into ``folder`` unless it is there, or a local copy.

    ``mirror`` is None for the public address, the address of another folder on a server, or a local path: the archive
    or its folder, which is used where it lies. ``tell`` hears of downloads and of what delays them; ``show_level`` may
    draw how many MiB have arrived. Raises UserError if there is no such file, if it cannot be downloaded (what has
    arrived is kept, and the next call goes on from there), or if its bytes are not the expected ones.
    """
    if mirror is not None and "://" not in mirror:
        return _local(dataset, Path(mirror))
    url = f"{(mirror or PUBLIC_ADDRESS).rstrip('/')}/{dataset.archive}"
    # pooch would tell of every download a second time.
    pooch.get_logger().setLevel("WARNING")
    downloader = partial(_download, dataset, tell, show_level)
    try:
        with _alone(folder, dataset, tell):
            return Path(pooch.retrieve(url, f"sha256:{dataset.sha256}", dataset.archive, folder, downloader=downloader))
    except OSError as error:
        raise UserError(f"{url} cannot be downloaded into {folder}: {error}. {_way_out(dataset)}") from error
    except ValueError as error:
        raise UserError(f"{url}: {error} Run again to download it anew. {_way_out(dataset)}") from error


@contextmanager
def _alone(folder: Path, dataset: Dataset, tell: Tell) -> Iterator[None]:
    """Waits until no other process fetches the same archive into the same cache: they would fill one file."""
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / f".{dataset.archive}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        tell(f"another process fetches {dataset.archive} into {folder}: waiting for it")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _local(dataset: Dataset, path: Path) -> Path:
    file = path / dataset.archive if path.is_dir() else path
    if not file.is_file():
        raise UserError(f"data.mirror = {path}: no file {file}; name {dataset.archive} or the folder that holds it")
    found = f"{file.stat().st_size} bytes"
    if file.stat().st_size == dataset.size:
        found = f"SHA-256 {pooch.file_hash(file)}"
    if found != f"SHA-256 {dataset.sha256}":
        expected = f"{dataset.size} bytes with SHA-256 {dataset.sha256}"
        raise UserError(f"{file}: {found}, expected {expected}; it is damaged or another file, copy it anew")
    return file


def _way_out(dataset: Dataset) -> str:
    return f"Or bring {dataset.archive} here by other means and set data.mirror to its path."


# --- downloading ---------------------------------------------------------------------------------------------------


class _Passing(Exception):
    """A failure that the next attempt may not meet."""


def _download(dataset: Dataset, tell: Tell, show_level: ShowLevel, url: str, output_file: str, _: object) -> None:
    """A downloader as pooch wants one; what it fills beside ``output_file`` outlives every interruption."""
    part = Path(output_file).with_name(f"{dataset.archive}.partial")
    missing, free = dataset.size - _bytes_of(part), shutil.disk_usage(part.parent).free
    if missing > free:
        raise UserError(f"{part.parent}: {dataset.archive} needs {missing} bytes more, {free} are free; free some")
    tell(f"downloading {url} ({missing / 2**20:.0f} of {dataset.size / 2**20:.0f} MiB)")
    received = (count >> 20 for count in _fill(part, dataset, url, tell))
    for _ in show_level(received, f"{dataset.archive} (MiB)", dataset.size >> 20):
        pass
    part.replace(output_file)


def _fill(part: Path, dataset: Dataset, url: str, tell: Tell) -> Iterator[int]:
    """Makes ``part`` whole over as many connections as that takes; yields how many bytes there are."""
    longest, pauses = _bytes_of(part), iter(PAUSES)
    while _bytes_of(part) < dataset.size:
        try:
            yield from _receive(part, dataset, url)
        except _Passing as failure:
            if _bytes_of(part) > longest:
                longest, pauses = _bytes_of(part), iter(PAUSES)
            pause = next(pauses, None)
            if pause is None:
                kept = f"{_bytes_of(part)} of {dataset.size} bytes are here, the next run goes on from there"
                raise UserError(f"{url}: {failure}, {kept}. {_way_out(dataset)}") from failure
            tell(f"{url}: {failure}; next attempt in {pause:.0f} s")
            time.sleep(pause)


def _receive(part: Path, dataset: Dataset, url: str) -> Iterator[int]:
    """One connection's share of ``part``; returns only once that is whole."""
    start = _bytes_of(part)
    # By itself requests asks for compression; the places in a compressed answer are not those in the archive.
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={start}-"} if start else {})
    reason = "the server cannot be reached or does not answer"
    try:
        with requests.get(url, headers=headers, stream=True, timeout=TIMEOUTS) as response:
            reason = "the connection was cut or fell silent"
            with part.open(_opening_mode(response, part, dataset, url)) as sink:
                for chunk in response.iter_content(CHUNK):
                    sink.write(chunk)
                    yield sink.tell()
                    if sink.tell() >= dataset.size:
                        return
    except (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError) as error:
        raise _Passing(reason) from error
    raise _Passing("the connection ended early")


def _opening_mode(response: requests.Response, part: Path, dataset: Dataset, url: str) -> str:
    """How to open ``part`` for what ``response`` brings: appending if it goes on there, else emptied."""
    status, extent = response.status_code, response.headers.get("Content-Range", "")
    if status in PASSING_STATUS:
        raise _Passing(f"the server says {status} {response.reason}")
    if status == 200:
        mode, total = "wb", response.headers.get("Content-Length")
    elif status == 206 and extent.startswith(f"bytes {_bytes_of(part)}-"):
        mode, total = "ab", extent.rpartition("/")[2]
    elif status in (206, 416):
        part.unlink(missing_ok=True)
        raise _Passing("the server does not have that rest of the file, beginning anew")
    else:
        raise UserError(f"{url}: the server says {status} {response.reason}; is the address right? {_way_out(dataset)}")
    if total != str(dataset.size):
        raise UserError(f"{url}: {total} bytes offered, {dataset.size} expected: another file. {_way_out(dataset)}")
    return mode


def _bytes_of(file: Path) -> int:
    return file.stat().st_size if file.exists() else 0
