"""Unpacking: a good archive comes out byte for byte; a hostile one is refused with the reason and leaves nothing."""

import random
import stat
import struct
import warnings
import zlib
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace
from zipfile import ZIP_BZIP2, ZIP_DEFLATED, ZIP_STORED, ZipFile, ZipInfo

import pytest

from gcl.errors import UserError
from gcl.files import MARKER
from gcl.sources import archives
from gcl.sources.archives import LARGEST_LISTING, SLACK, unpack
from pipeline.console import progress_bar

PIXELS = random.Random(0).randbytes(3000)


def packed(*members: tuple[str | ZipInfo, bytes], method: int = ZIP_DEFLATED) -> bytes:
    archive = BytesIO()
    with warnings.catch_warnings(), ZipFile(archive, "w", method) as opened:
        warnings.simplefilter("ignore")  # duplicate names, on purpose
        for name, content in members:
            opened.writestr(name, content, compress_type=method)
    return archive.getvalue()


def named(*names: str) -> bytes:
    return packed(*((name, PIXELS) for name in names))


def with_mode(name: str, mode: int, content: bytes = b"../../evil.png") -> bytes:
    member = ZipInfo(name)
    member.external_attr = mode << 16
    return packed((member, content))


def replaced(archive: bytes, old: bytes, new: bytes) -> bytes:
    assert old in archive and len(old) == len(new)
    return archive.replace(old, new)


def listed(archive: bytes, member: int, **fields: int) -> bytes:
    """``archive`` with other ``fields`` for one ``member`` in its list of members."""
    places = {"version": (6, "<H"), "flags": (8, "<H"), "crc": (16, "<L"), "packed": (20, "<L"), "size": (24, "<L")}
    places |= {"name": (28, "<H"), "comment": (32, "<H"), "offset": (42, "<L")}
    changed, start = bytearray(archive), -1
    for _ in range(member + 1):
        start = archive.index(b"PK\x01\x02", start + 1)
    for field, value in fields.items():
        place, form = places[field]
        struct.pack_into(form, changed, start + place, value)
    return bytes(changed)


def quoted(count: int) -> bytes:
    """An archive whose members all end in one compressed kernel: each quotes the next one's header as content."""
    squeeze = zlib.compressobj(9, zlib.DEFLATED, -15)
    stream = squeeze.compress(bytes(1 << 16)) + squeeze.flush()
    bodies, headers = [], []
    for index in reversed(range(count)):
        if headers:
            size = len(headers[0])
            stream = struct.pack("<BHH", 0, size, size ^ 0xFFFF) + headers[0] + stream
        content, name = zlib.decompress(stream, -15), f"{index}.png".encode()
        numbers = (20, 0, 8, 0, 33, zlib.crc32(content), len(stream), len(content), len(name), 0)
        headers.insert(0, b"PK\x03\x04" + struct.pack("<5H3L2H", *numbers) + name)
        bodies.insert(0, (numbers, name))
    data = headers[0] + stream
    listing = b""
    for (numbers, name), header in zip(bodies, headers, strict=True):
        listing += b"PK\x01\x02" + struct.pack("<H", 20) + struct.pack("<5H3L2H", *numbers)
        listing += struct.pack("<3H2L", 0, 0, 0, 0, data.index(header)) + name
    return data + listing + end_of(len(listing), len(data), count)


def end_of(listing: int, offset: int, count: int) -> bytes:
    return b"PK\x05\x06" + struct.pack("<4H2LH", 0, 0, count, count, listing, offset, 0)


TWO = named("a.png", "b.png")
STORED = packed(("a.png", PIXELS), method=ZIP_STORED)
LINK, FIFO, DEVICE, SOCKET = (
    with_mode("odd", kind | 0o777) for kind in (stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR, stat.S_IFSOCK)
)
HOSTILE = {
    # names
    "parent": (named("good.png", "../evil.png"), "'../evil.png'", "out of the folder"),
    "parent within": (named("a/../../evil.png"), "'a/../../evil.png'", "out of the folder"),
    "parent only": (named(".."), "'..'", "out of the folder"),
    "absolute": (named("/evil.png"), "'/evil.png'", "absolute"),
    "two slashes": (named("//host/evil.png"), "'//host/evil.png'", "absolute"),
    "drive": (named("C:/evil.png"), "'C:/evil.png'", "colon"),
    "stream": (named("a.png:evil"), "'a.png:evil'", "colon"),
    "backslash": (named("..\\evil.png"), r"'..\\evil.png'", "backslash"),
    "NUL": (replaced(named("a?b.png"), b"a?b.png", b"a\0b.png"), r"'a\x00b.png'", "control character"),
    "line break": (named("a\nb.png"), r"'a\nb.png'", "control character"),
    "terminal": (named("\x1b[31m.png"), r"'\x1b[31m.png'", "control character"),
    "here": (named("./a.png"), "'./a.png'", "empty part"),
    "empty part": (named("a//b.png"), "'a//b.png'", "empty part"),
    "no name": (listed(TWO, 0, name=0, comment=5), "''", "empty part"),
    "not UTF-8": (replaced(named("äb.png"), "ä".encode(), b"\xff\xff"), "hostile.zip", "utf-8"),
    "deep": (named("a/" * 16 + "b.png"), "a/a/a", "17 parts"),
    "deeper than recursion": (named("a/" * 2000 + "b.png"), "a/a/a", "2001 parts"),
    "long": (named("a" * 300), "'aaa", "too long"),
    "other header": (named("a.png").replace(b"a.png", b"x.png", 1), "'a.png'", "differ"),
    "our marker": (named(MARKER), repr(MARKER), "exists"),
    # two members at one place
    "twice": (named("a.png", "a.png"), "'a.png'", "the same place as 'a.png'"),
    "folder twice": (packed(("a/", b""), ("a/", b"")), "'a/'", "the same place as 'a/'"),
    "case": (named("a.png", "A.PNG"), "'A.PNG'", "the same place as 'a.png'"),
    "sharp s": (named("ß.png", "ss.png"), "'ss.png'", "the same place as 'ß.png'"),
    "accent": (named("\u00e9.png", "e\u0301.png"), "'e\u0301.png'", "the same place as '\u00e9.png'"),
    "folder's case": (named("testA/a.png", "testa/b.png"), "'testa/b.png'", "folder 'testA' is there"),
    "file, then folder": (named("a", "a/b.png"), "'a'", "a file where other members need a folder"),
    "folder, then file": (named("a/b.png", "a"), "'a'", "a file where other members need a folder"),
    "file over empty folder": (packed(("a/", b""), ("A", PIXELS)), "'A'", "the same place as 'a/'"),
    # kinds
    "symbolic link": (LINK, "'odd'", "symbolic link"),
    "pipe": (FIFO, "'odd'", "neither a plain file"),
    "device": (DEVICE, "'odd'", "neither a plain file"),
    "socket": (SOCKET, "'odd'", "neither a plain file"),
    "file named as folder": (with_mode("odd/", stat.S_IFREG, b""), "'odd/'", "neither a plain file"),
    "folder named as file": (with_mode("odd", stat.S_IFDIR), "'odd'", "neither a plain file"),
    "link named as folder": (with_mode("odd/", stat.S_IFLNK), "'odd/'", "symbolic link"),
    "folder with content": (packed(("odd/", PIXELS)), "'odd/'", "content of its own"),
    "encrypted": (listed(TWO, 1, flags=1), "'b.png'", "'b.png': encrypted"),
    "encrypted strongly": (listed(TWO, 1, flags=0x40), "'b.png'", "strong encryption"),
    "other compression": (packed(("a.png", PIXELS), method=ZIP_BZIP2), "'a.png'", "method 12"),
    "future version": (listed(TWO, 0, version=99), "hostile.zip", "version 9.9"),
    # sizes
    "bomb": (packed(("a", b""), ("bomb", bytes(2 * SLACK))), "'bomb'", f"{2 * SLACK} of {2 * SLACK} bytes"),
    "bomb in pieces": (packed(*((f"{n}.png", bytes(1 << 20)) for n in range(20))), "'0.png'", f"of {20 << 20} bytes"),
    "declares gigabytes": (listed(TWO, 0, size=0xFFFF0000), "'a.png'", f"of {0xFFFF0000 + 3000} bytes"),
    "declares less": (listed(TWO, 1, size=9, crc=zlib.crc32(PIXELS[:9])), "'b.png'", "CRC"),
    "declares one less": (listed(TWO, 1, size=2999), "'b.png'", "more than the 2999 bytes"),
    "declares nothing": (listed(TWO, 1, size=0, crc=0), "'b.png'", "CRC"),
    "declares more": (listed(TWO, 1, size=4000), "'b.png'", "3000 bytes, not the 4000"),
    "stored, declares more": (listed(STORED, 0, size=4000), "'a.png'", "3000 bytes, not the 4000"),
    "long listing": (bytes(LARGEST_LISTING + 1) + end_of(LARGEST_LISTING + 1, 0, 1), "list of members", "allowed"),
    # overlaps
    "shared bytes": (listed(TWO, 1, offset=0), "'b.png'", "overlaps"),
    "quoted": (quoted(50), "'1.png'", "overlaps"),
    "within": (listed(TWO, 1, offset=len(PIXELS) // 2), "'b.png'", "overlaps"),
    # damage
    "text": (b"this is no archive", "hostile.zip", "not a zip file"),
    "web page": (b"<html>sign in</html>" * 999, "hostile.zip", "not a zip file"),
    "empty": (b"", "hostile.zip", "not a zip file"),
    "cut": (TWO[:-300], "hostile.zip", "not a zip file"),
    "beginning lost": (TWO[2000:], "hostile.zip", "cannot be unpacked"),
    "hole": (TWO[:1000] + TWO[1500:], "hostile.zip", "cannot be unpacked"),
    "data changed": (STORED.replace(PIXELS[:8], bytes(8)), "'a.png'", "CRC"),
    "stream changed": (packed(("a.png", bytes(3000))).replace(b"\xed", b"\xff", 1), "'a.png'", "Error -3"),
    "beyond the end": (listed(TWO, 1, offset=1 << 30), "'b.png'", "ends after the archive"),
    "stored beyond the end": (listed(STORED, 0, packed=9999, size=9999), "'a.png'", "ends after the archive"),
    "cut short inside": (listed(packed(("a.png", bytes(3000))), 0, packed=3), "'a.png'", "CRC"),
}


def tree(folder: Path) -> dict[str, bytes | None]:
    files = sorted(folder.rglob("*"))
    return {str(path.relative_to(folder)): None if path.is_dir() else path.read_bytes() for path in files}


@pytest.fixture
def refused(tmp_path):
    """Tries to unpack an archive in a folder below tmp_path; checks that nothing changed and returns the refusal."""

    def attempt(content: bytes) -> str:
        archive = tmp_path / "hostile.zip"
        archive.write_bytes(content)
        (tmp_path / "room").mkdir()
        before = tree(tmp_path)
        with pytest.raises(UserError) as error:
            unpack(archive, tmp_path / "room" / "data")
        assert tree(tmp_path) == before
        return str(error.value)

    return attempt


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_archive_is_named_and_leaves_nothing(refused, kind):
    content, member, reason = HOSTILE[kind]
    message = refused(content)
    assert "hostile.zip" in message and member in message and reason in message


def test_a_second_name_in_an_extra_field_leads_nowhere(tmp_path):
    """Newer versions of zipfile heed such names, older ones ignore them."""
    member, other = ZipInfo("a.png"), b"../evil.png"
    member.extra = struct.pack("<HHBL", 0x7075, 5 + len(other), 1, zlib.crc32(b"a.png")) + other
    (tmp_path / "a.zip").write_bytes(packed((member, PIXELS)))
    with suppress(UserError):
        unpack(tmp_path / "a.zip", tmp_path / "data")
    assert set(tree(tmp_path)) <= {"a.zip", "data", "data/a.png", f"data/{MARKER}"}


def test_a_good_archive_comes_out_byte_for_byte(tmp_path):
    content = {"trainA/1.png": PIXELS * 400, "trainA/empty.png": b"", "trainB/ä.jpg": bytes(SLACK), "read me": b"x"}
    content["stored.png"] = random.Random(1).randbytes(1 << 20)
    archive = tmp_path / "good.zip"
    with ZipFile(archive, "w", ZIP_DEFLATED) as opened:
        opened.mkdir("trainA")
        opened.mkdir("empty")
        for name, data in content.items():
            opened.writestr(name, data)
    unpack(archive, tmp_path / "data", progress_bar)
    unpacked = tree(tmp_path / "data")
    assert unpacked.keys() == {*content, MARKER, "trainA", "trainB", "empty"}
    assert [name for name in content if unpacked[name] != content[name]] == []
    archive.write_bytes(packed(("other.png", PIXELS), method=ZIP_STORED))
    unpack(archive, tmp_path / "data")
    assert tree(tmp_path / "data") == {MARKER: b"", "other.png": PIXELS}


def test_a_failure_or_an_interruption_keeps_what_was_there(tmp_path):
    archive, target = tmp_path / "a.zip", tmp_path / "data"
    archive.write_bytes(TWO)
    unpack(archive, target)
    before = tree(tmp_path)

    def interrupted(members, description, total):
        assert (description, total) == ("unpacking a.zip", 2)
        yield members[0]
        assert (tmp_path / "data.partial" / "a.png").exists()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        unpack(archive, target, interrupted)
    assert tree(tmp_path) == before
    archive.write_bytes(LINK)
    with pytest.raises(UserError):
        unpack(archive, target)
    assert tree(target) == {MARKER: b"", "a.png": PIXELS, "b.png": PIXELS}


def test_too_little_free_disk_is_told_before_anything_is_written(refused, monkeypatch):
    monkeypatch.setattr(archives.shutil, "disk_usage", lambda folder: SimpleNamespace(free=5999))
    assert "6000 bytes, but only 5999 are free" in refused(TWO)


def test_too_many_members_are_refused(refused, monkeypatch):
    monkeypatch.setattr(archives, "MOST_MEMBERS", 1)
    assert "2 members; at most 1 are allowed" in refused(TWO)


@pytest.mark.parametrize("archive", ["missing.zip", "."])
def test_no_archive_at_all_is_told(tmp_path, archive):
    with pytest.raises(UserError, match="cannot be unpacked"):
        unpack(tmp_path / archive, tmp_path / "data")
    assert tree(tmp_path) == {}


def test_no_random_damage_escapes(tmp_path):
    draw = random.Random(0)
    good = packed(("a/1.png", PIXELS[:200]), ("a/2.png", bytes(900)), ("b/", b""), ("b/3.png", b"x"))
    (tmp_path / "room").mkdir()
    archive, refusals = tmp_path / "damaged.zip", 0
    for _ in range(200):
        damaged = bytearray(good)
        for _ in range(draw.randint(1, 4)):
            damaged[draw.randrange(len(damaged))] = draw.choice((0, 1, 0x2E, 0x2F, 0xFF, draw.randrange(256)))
        archive.write_bytes(damaged[: draw.choice((None, draw.randrange(len(damaged))))])
        try:
            unpack(archive, tmp_path / "room" / "data")
        except UserError as error:
            assert "damaged.zip" in str(error)
            refusals += 1
        assert {path.name for path in tmp_path.iterdir()} == {"damaged.zip", "room"}
        assert {path.name for path in (tmp_path / "room").iterdir()} <= {"data"}
    assert refusals > 100
