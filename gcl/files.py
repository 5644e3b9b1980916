"""Files and folders that are written whole or not at all."""

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gcl.errors import UserError
from gcl.locks import only_writer

MARKER = ".gcl-output"
"""The file that marks a folder as written by this program, which may therefore replace it."""


def write_whole(path: Path, content: bytes) -> None:
    """Writes ``content`` to a temporary file beside ``path``, then renames it, so that nobody ever reads half a file.

    Raises OSError, for instance if the disk is full. It names ``path``, and what was there before is unchanged.
    """
    partial = path.with_name(f".{path.name}.partial")
    try:
        with partial.open("wb") as stream:
            stream.write(content)
            stream.flush()
            # Without this a power cut could leave the new name on an empty file.
            os.fsync(stream.fileno())
        partial.replace(path)
    except OSError as error:
        raise OSError(error.errno, f"{error.strerror}; what was there before is unchanged", str(path)) from error
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def replaced_folder(target: Path) -> Iterator[Path]:
    """Yields a new folder, which replaces ``target`` if the block succeeds and is deleted if it fails.

    The new folder is filled as ``target``.partial. The old one is kept as ``target``.replaced until the new one is in
    place; if the process is killed in between, the next call puts the old one back. Raises UserError, and touches
    nothing, if one of the three holds files that no earlier call wrote, or if another process is writing ``target``.
    """
    with only_writer(target):
        yield from _replaced(target.resolve())


def _replaced(target: Path) -> Iterator[Path]:
    partial, replaced = (target.with_name(f"{target.name}.{state}") for state in ("partial", "replaced"))
    for folder in (target, partial, replaced):
        _check_ours(folder)
    if replaced.exists() and not target.exists():
        replaced.rename(target)
    for left_behind in (partial, replaced):
        shutil.rmtree(left_behind, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        (partial / MARKER).touch()
        yield partial
        if target.exists():
            target.rename(replaced)
        partial.rename(target)
        shutil.rmtree(replaced, ignore_errors=True)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _check_ours(folder: Path) -> None:
    if folder.exists() and not (folder / MARKER).exists() and any(folder.iterdir()):
        raise UserError(f"{folder} holds files that this program did not write; name another folder or empty it")


def write_json(path: Path, contents: object) -> None:
    """Writes ``contents`` as indented JSON, whole or not at all (:func:`write_whole`)."""
    write_whole(path, (json.dumps(contents, indent=2) + "\n").encode())


def sha256(path: Path) -> str:
    """The SHA-256 of the file in hexadecimal digits."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def digest(path: Path) -> str:
    """The first twelve digits of :func:`sha256`: enough to tell versions apart."""
    return sha256(path)[:12]
