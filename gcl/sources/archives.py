"""Zip archives from elsewhere, unpacked without trust: whole or not at all, and never outside the target.

The standard library's :mod:`zipfile` mends odd names in silence, follows what an archive says of its own sizes and, in
some versions, lets members share bytes. So every member is looked at before the first one is written.
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
"""Passes members on and shows how far they have come, given a description and their number."""

LARGEST_RATIO = 20
"""Bytes that one byte of an archive may become; images hardly shrink, an archive that grows more is a bomb."""

SLACK = 16 << 20
"""Bytes that any archive may become, so that small archives of plain drawings pass."""

MOST_MEMBERS = 100_000

LARGEST_LISTING = 16 << 20
"""Bytes of the list of members, which is held in memory before anything can be checked."""

DEEPEST = 16
"""Parts of a name: folders inside each other, and the file."""

LOCAL_HEADER = 30
"""Bytes before a member's data, at least."""

CHUNK = 1 << 20

UNREADABLE = (BadZipFile, OSError, EOFError, ValueError, RuntimeError, zlib.error)
"""What the standard library raises for damaged archives, and the system for files that cannot be written."""


def unpack(archive: Path, target: Path, track: Track = lambda members, description, total: members) -> None:
    """Makes ``target`` a folder of what the zip file ``archive`` holds; ``track`` may draw the progress.

    Raises UserError, and leaves ``target`` as it was, if the archive cannot be read, holds anything but plain files and
    folders, could write outside the target, names anything twice, or would become larger than its own size or the free
    disk allows; the message names the archive, the member and the reason.
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
    """What is wrong with an archive, and with which member."""

    @classmethod
    def member(cls, name: str, reason: str) -> "_Refused":
        return cls(f"{_shown(name)}: {reason}")


def _shown(name: str) -> str:
    """``name`` as a literal and cut short: it may hold anything, and the message goes to a terminal."""
    return f"{name!r:.200}"


def _reason(error: Exception) -> str:
    # Only an EOFError comes without words.
    return str(error) or "the archive ends too early"


class _Reader(BufferedReader):
    """Refuses the one large read that there is, of the list of members."""

    def read(self, size: int | None = -1) -> bytes:
        if size is not None and size > LARGEST_LISTING:
            raise _Refused(f"its list of members takes {size} bytes; {LARGEST_LISTING} are allowed")
        return super().read(size)


# --- before anything is written ------------------------------------------------------------------------------------


def _check(members: list[ZipInfo], size: int, free: int) -> None:
    if len(members) > MOST_MEMBERS:
        raise _Refused(f"{len(members)} members; {MOST_MEMBERS} are allowed")
    for member in members:
        # Usually the same; zipfile cuts names at a NUL, turns Windows' separators and heeds names in extra fields.
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
        reason = f"its name has {len(parts)} parts; {DEEPEST} are allowed"
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
    """No two members at one place, also on systems that overlook case or the way an accent is written."""
    folders: dict[str, str] = {}
    for member in members:
        parts = member.filename.removesuffix("/").split("/")
        for depth in range(1, len(parts) + member.is_dir()):
            path = "/".join(parts[:depth])
            if folders.setdefault(_alike(path), path) != path:
                raise _Refused.member(member.filename, f"a folder {_shown(folders[_alike(path)])} is there already")
    taken: dict[str, str] = {}
    for member in members:
        place = _alike(member.filename.removesuffix("/"))
        if place in taken:
            raise _Refused.member(member.filename, f"the same place as {_shown(taken[place])}")
        if place in folders and not member.is_dir():
            raise _Refused.member(member.filename, "a file where other members need a folder")
        taken[place] = member.filename


def _alike(name: str) -> str:
    """The same for all names that some file system takes for one."""
    return unicodedata.normalize("NFD", unicodedata.normalize("NFD", name).casefold())


def _check_extents(members: list[ZipInfo], size: int) -> None:
    """Members that share bytes are how a small archive becomes petabytes."""
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
        reason = f"{largest.file_size} of {declared} bytes; an archive of {size} bytes may become {allowed}"
        raise _Refused.member(largest.filename, reason)
    if declared > free:
        raise _Refused(f"its members take {declared} bytes, {free} are free on the disk; free some")


# --- writing -------------------------------------------------------------------------------------------------------


def _extract(opened: ZipFile, member: ZipInfo, folder: Path) -> None:
    path = folder.joinpath(*member.filename.split("/"))
    try:
        if member.is_dir():
            path.mkdir(parents=True, exist_ok=True)
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        # zipfile drops what comes after the declared bytes; asked for one more, it lets an excess be seen.
        one_more = copy(member)
        one_more.file_size += 1
        with opened.open(one_more) as source, path.open("xb") as sink:
            _copy(source, sink, member.file_size)
    except (_Refused, *UNREADABLE) as error:
        raise _Refused.member(member.filename, _reason(error)) from error


def _copy(source: BinaryIO, sink: BinaryIO, declared: int) -> None:
    """Counts the bytes that really come: the declared ones were allowed, no others."""
    written = 0
    while chunk := source.read(CHUNK):
        written += len(chunk)
        if written > declared:
            raise _Refused(f"more than the {declared} bytes that it declares")
        sink.write(chunk)
    if written < declared:
        raise _Refused(f"{written} bytes, not the {declared} that it declares")
