"""Unpacks untrusted zip archives, whole or not at all, and never outside the target.

The standard library's :mod:`zipfile` repairs odd names silently, trusts the sizes that an archive declares and, in some
versions, lets members share bytes. Every member is therefore checked before the first one is written.
"""

import shutil
import stat
import unicodedata
import zlib
from collections.abc import Callable, Iterable
from copy import copy
from io import BufferedReader, FileIO
from pathlib import Path
from typing import BinaryIO
from zipfile import ZIP_DEFLATED, ZIP_STORED, BadZipFile, ZipFile, ZipInfo

from gcl.errors import UserError
from gcl.files import replaced_folder

Track = Callable[[Iterable[ZipInfo], str, int], Iterable[ZipInfo]]
"""Yields the members it is given and shows their progress; the other arguments are a description and a total."""

LARGEST_RATIO = 20
"""The most bytes that one byte of an archive may unpack to. Images hardly compress, so a higher ratio means a bomb."""

SLACK = 16 << 20
"""Bytes that any archive may unpack to, whatever its ratio, so that small archives of plain drawings pass."""

MOST_MEMBERS = 100_000

LARGEST_LISTING = 16 << 20
"""The most bytes in the list of members, which must be in memory before anything can be checked."""

DEEPEST = 16
"""The most parts of a name: nested folders and the file."""

LOCAL_HEADER = 30
"""The fewest bytes before a member's data."""

CHUNK = 1 << 20

UNREADABLE = (BadZipFile, OSError, EOFError, ValueError, RuntimeError, zlib.error)
"""The errors that damaged archives cause in the standard library, and OSError for files that cannot be written."""


def unpack(archive: Path, target: Path, track: Track = lambda members, description, total: members) -> None:
    """Unpacks the zip file ``archive`` into the folder ``target``, replacing it; ``track`` may show the progress.

    Raises UserError, and leaves ``target`` unchanged, if the archive cannot be read, holds anything but plain files and
    folders, could write outside the target, names anything twice, or would unpack to more than its own size or the free
    disk space allows. The message gives the archive, the member and the reason.
    """
    try:
        with _Reader(FileIO(archive)) as stream, ZipFile(stream) as opened, replaced_folder(target) as folder:
            members = opened.infolist()
            _check(members, archive.stat().st_size, shutil.disk_usage(folder).free)
            for member in track(members, f"unpacking {archive.name}", len(members)):
                _extract(opened, member, folder)
    except (_Refused, *UNREADABLE) as error:
        raise UserError(f"{archive}: cannot be unpacked: {_reason(error)}") from error


class _Refused(Exception):
    """Why an archive is refused, and because of which member."""

    @classmethod
    def member(cls, name: str, reason: str) -> "_Refused":
        return cls(f"{_shown(name)}: {reason}")


def _shown(name: str) -> str:
    """``name`` as a Python literal, truncated: a name may hold anything, and the message goes to a terminal."""
    return f"{name!r:.200}"


def _reason(error: Exception) -> str:
    # Only EOFError has no message.
    return str(error) or "the archive ends too early"


class _Reader(BufferedReader):
    """Refuses the only large read, that of the list of members."""

    def read(self, size: int | None = -1) -> bytes:
        if size is not None and size > LARGEST_LISTING:
            raise _Refused(f"its list of members takes {size} bytes; at most {LARGEST_LISTING} are allowed")
        return super().read(size)


# --- before anything is written ------------------------------------------------------------------------------------


def _check(members: list[ZipInfo], size: int, free: int) -> None:
    if len(members) > MOST_MEMBERS:
        raise _Refused(f"{len(members)} members; at most {MOST_MEMBERS} are allowed")
    for member in members:
        # The two usually agree, but zipfile cuts names at NUL, replaces Windows separators and reads extra fields.
        _check_name(member.orig_filename)
        _check_name(member.filename)
        _check_kind(member)
    _check_places(members)
    _check_extents(members, size)
    _check_size(members, size, free)


def _check_name(name: str) -> None:
    parts = name.removesuffix("/").split("/")
    if any(character in ":\\" or unicodedata.category(character) == "Cc" for character in name):
        reason = "its name holds a backslash, a colon or a control character"
    elif name.startswith("/"):
        reason = "its name is absolute"
    elif ".." in parts:
        reason = "its name leads out of the folder"
    elif "" in parts or "." in parts:
        reason = "its name has an empty part"
    elif len(parts) > DEEPEST:
        reason = f"its name has {len(parts)} parts; at most {DEEPEST} are allowed"
    else:
        return
    raise _Refused.member(name, reason)


def _check_kind(member: ZipInfo) -> None:
    mode = stat.S_IFMT(member.external_attr >> 16)
    if mode not in (0, stat.S_IFDIR if member.is_dir() else stat.S_IFREG):
        reason = "a symbolic link" if mode == stat.S_IFLNK else "neither a plain file nor a folder"
    elif member.flag_bits & 1:
        reason = "encrypted"
    elif member.compress_type not in (ZIP_STORED, ZIP_DEFLATED):
        reason = f"compressed by method {member.compress_type}; only stored and deflated members are read"
    elif member.is_dir() and member.file_size:
        reason = "a folder with content of its own"
    else:
        return
    raise _Refused.member(member.filename, reason)


def _check_places(members: list[ZipInfo]) -> None:
    """Refuses two members for one place, even on file systems that ignore case or how an accent is encoded."""
    folders: dict[str, str] = {}
    for member in members:
        parts = member.filename.removesuffix("/").split("/")
        for depth in range(1, len(parts) + member.is_dir()):
            path = "/".join(parts[:depth])
            if folders.setdefault(_alike(path), path) != path:
                raise _Refused.member(member.filename, f"the folder {_shown(folders[_alike(path)])} is there already")
    taken: dict[str, str] = {}
    for member in members:
        place = _alike(member.filename.removesuffix("/"))
        if place in taken:
            raise _Refused.member(member.filename, f"the same place as {_shown(taken[place])}")
        if place in folders and not member.is_dir():
            raise _Refused.member(member.filename, "a file where other members need a folder")
        taken[place] = member.filename


def _alike(name: str) -> str:
    """A key that is equal for all names that some file system treats as the same."""
    return unicodedata.normalize("NFD", unicodedata.normalize("NFD", name).casefold())


def _check_extents(members: list[ZipInfo], size: int) -> None:
    """Refuses members that share bytes, with which a small archive can unpack to petabytes."""
    end = 0
    for member in sorted(members, key=lambda member: member.header_offset):
        if member.header_offset < end:
            raise _Refused.member(member.filename, "overlaps another member or begins before the archive")
        end = member.header_offset + LOCAL_HEADER + member.compress_size
        if end > size:
            raise _Refused.member(member.filename, "ends after the archive")


def _check_size(members: list[ZipInfo], size: int, free: int) -> None:
    declared, allowed = sum(member.file_size for member in members), SLACK + LARGEST_RATIO * size
    if declared > allowed:
        largest = max(members, key=lambda member: member.file_size)
        reason = f"{largest.file_size} of {declared} bytes; an archive of {size} bytes may unpack to {allowed}"
        raise _Refused.member(largest.filename, reason)
    if declared > free:
        raise _Refused(f"its members take {declared} bytes, but only {free} are free on the disk; free some space")


# --- writing -------------------------------------------------------------------------------------------------------


def _extract(opened: ZipFile, member: ZipInfo, folder: Path) -> None:
    path = folder.joinpath(*member.filename.split("/"))
    try:
        if member.is_dir():
            path.mkdir(parents=True, exist_ok=True)
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        # zipfile drops everything after the declared bytes; asking for one more byte reveals an excess.
        one_more = copy(member)
        one_more.file_size += 1
        with opened.open(one_more) as source, path.open("xb") as sink:
            _copy(source, sink, member.file_size)
    except (_Refused, *UNREADABLE) as error:
        raise _Refused.member(member.filename, _reason(error)) from error


def _copy(source: BinaryIO, sink: BinaryIO, declared: int) -> None:
    """Copies the member and refuses it unless it has exactly the declared number of bytes, which was checked before."""
    written = 0
    while chunk := source.read(CHUNK):
        written += len(chunk)
        if written > declared:
            raise _Refused(f"more than the {declared} bytes that it declares")
        sink.write(chunk)
    if written < declared:
        raise _Refused(f"{written} bytes, not the {declared} that it declares")
