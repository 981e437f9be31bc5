"""Zips that must not be opened: each is refused by its own sentence.

Each check of `archive.directory`, `archive.members` and `archive.names` was taken out
in turn; at least one test here failed for each of them.
"""

from __future__ import annotations

import io
import struct
import tracemalloc
import zipfile
import zlib
from collections import deque
from typing import TYPE_CHECKING

import pytest

from pointsman.archive.members import Container
from pointsman.archive.unfit import Limits, Unfit
from unit.archive.making import FILE, Part, Zip

if TYPE_CHECKING:
    from collections.abc import Callable


def opened(made: Zip | bytes, limits: Limits | None = None) -> dict[str, bytes]:
    """Return the files of a zip, all of them read."""
    content = made if isinstance(made, bytes) else made.made()
    container = Container(io.BytesIO(content), limits or Limits())
    return {name: container.read(name) for name in container.names}


def refused(made: Zip | bytes, limits: Limits | None = None) -> str:
    """Return why a zip is not opened."""
    with pytest.raises(Unfit) as caught:
        opened(made, limits)
    return str(caught.value)


def zeros(size: int) -> bytes:
    """Return that many zeros, packed: whole mebibytes, or fewer than one."""
    engine = zlib.compressobj(9, zlib.DEFLATED, -15)
    piece = engine.compress(bytes(min(size, 1 << 20)))
    piece += engine.flush(zlib.Z_FULL_FLUSH)  # so that it can be repeated
    return piece * max(1, size >> 20) + engine.flush()


# WHAT IS TAKEN


def test_what_is_read_is_what_was_packed() -> None:
    """Stored and deflated files, and folders, are read as the standard library does."""
    made = Zip(
        [Part("a", b"stored", method=0), Part("b/"), Part("b/c", b"x" * 200_000)]
    )
    with zipfile.ZipFile(io.BytesIO(made.made())) as standard:
        assert standard.testzip() is None

    assert {"a": b"stored", "b/c": b"x" * 200_000} == opened(made)


@pytest.mark.parametrize("mark", [b"", b"PK\x07\x08"])
def test_sizes_that_follow(mark: bytes) -> None:
    """A zip that was written to a pipe has its sizes behind each file."""
    after = mark + struct.pack("<LLL", zlib.crc32(b"abc"), 3, 3)
    parts = [Part("a", b"abc", method=0, flags=8, descriptor=after), Part("b", b"x")]

    assert {"a": b"abc", "b": b"x"} == opened(Zip(parts))


def test_a_pipe_of_the_standard_library() -> None:
    """So is what `zipfile` writes where it cannot go back."""

    class Pipe(io.RawIOBase):
        written = b""

        def writable(self) -> bool:
            return True

        def write(self, data: object) -> int:
            self.written += bytes(data)  # type: ignore[call-overload]
            return len(data)  # type: ignore[arg-type]

    pipe = Pipe()
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr("a.py", "x = 1\n" * 1000)
        made.writestr("b.py", "")

    assert {"a.py": b"x = 1\n" * 1000, "b.py": b""} == opened(pipe.written)


def test_the_comment_of_git_archive() -> None:
    """A commit in the comment, as ``git archive`` writes it, hurts nobody."""
    assert {"a": b"x"} == opened(Zip([Part("a", b"x")], comment=b"0123456789abcdef"))


def test_an_empty_zip() -> None:
    """A zip without files can be opened."""
    assert {} == opened(Zip([]))


# POLYGLOTS AND DAMAGE


@pytest.mark.parametrize(
    ("made", "reason"),
    [
        (
            Zip([Part("a", b"x")], before=b"#!/bin/sh\n"),
            "10 bytes of it belong to none",
        ),
        (
            Zip([Part("a", b"x")], before=b"#!/bin/sh\n", shift=-10),
            "10 bytes of it belong to none of its files",
        ),
        (Zip([Part("a", b"x")], gap=b"GIF89a"), "6 bytes of it belong to none"),
        (Zip([Part("a", b"x")], behind=b"<html>"), "6 bytes stand behind its end"),
        (Zip([Part("a", b"x")], comment=b"<html>"), "6 bytes stand behind its end"),
        (Zip([Part("a", b"x")], comment=b"a" * 100), "100 bytes stand behind its end"),
        (Zip([Part("a", b"x")], shift=7), "not where it says"),
        (Zip([Part("a", b"x")], b"#" * 9, shift=-9), "9 bytes of it belong to none"),
        (Zip([Part("a", b"x")]).made()[:-1], "list of files is missing"),
        (Zip([Part("a", b"x")]).made()[:40], "cut off, or is still being copied"),
        (Zip([Part("a", b"x")], comment=b"abc").made()[:-1], "cut off in its last"),
        (b"", "list of files is missing"),
        (Zip([Part("a", b"x"), Part("b", b"y")], entries=1), "more than the 1"),
        (Zip([Part("a", b"x")], entries=2), "list of files is damaged"),
        (
            Zip([], listed=b"PK\x01\x02" + b"x" * 9, entries=1),
            "list of files is damaged",
        ),
        (
            Zip([], listed=b"PK\x01\x03" + bytes(42), entries=1),
            "list of files is damaged",
        ),
        (
            Zip([], listed=b"PK\x01\x02" + bytes(24) + b"\x64" + bytes(17), entries=1),
            "list of files is damaged",
        ),
        (Zip([Part("a", b"x", disk=1)]), "one part of several"),
        (Zip([Part("a", b"x")], disk=1), "one part of several"),
        (Zip([Part("a", b"x", offset=3)]), "bytes of it belong to none"),
        (Zip([Part("a", b"x", offset=0)], before=b"x" * 60), "not where the list"),
    ],
)
def test_torn_and_joined_files(made: Zip | bytes, reason: str) -> None:
    """What has bytes around or between its files, or not all of them, is refused."""
    assert reason in refused(made)


def test_two_headers_that_differ() -> None:
    """A file whose two headers tell different names or sizes is refused."""
    for part in (Part("a", b"x", local_name=b"b"), Part("a", b"x", local_size=2)):
        assert "'a' says something else of itself" in refused(Zip([part]))


def test_a_wrong_checksum() -> None:
    """Bytes that do not fit their CRC-32 are refused."""
    for method in (0, 8):
        made = Zip([Part("a", b"x" * 50, method=method, checksum=7)])
        assert "a is damaged: its checksum (CRC-32) or size is wrong" in refused(made)


@pytest.mark.parametrize(
    ("packed", "reason"),
    [
        (b"\xff\xff", "a is damaged: Error"),
        (zeros(100)[:-1], "do not end well"),
        (zeros(100) + b"hidden", "do not end well"),
        (zeros(100) + bytes(70_000), "do not end well"),
        (b"", "do not end well"),
    ],
)
def test_damaged_packing(packed: bytes, reason: str) -> None:
    """Packed bytes that are cut, wrong, or followed by others are refused."""
    assert reason in refused(Zip([Part("a", bytes(100), packed=packed)]))


def test_every_byte_counts() -> None:
    """Whatever byte of a zip is changed, it is refused, or has the same names.

    The times and the versions of the program that made it say nothing.
    """
    good = Zip([Part("a.py", b"x = 1\n"), Part("b/c.py", b"y" * 40)]).made()
    expected = opened(good)
    for position in range(len(good)):
        for value in (0, 0xFF, good[position] ^ 1, good[position] ^ 0x80):
            bad = bytearray(good)
            bad[position] = value
            try:
                found = opened(bytes(bad))
            except Unfit:
                continue
            assert expected == found, position


# BOMBS


def test_ten_gigabytes_from_ten_kilobytes() -> None:
    """Files that share their bytes, as small bombs do, are refused unread."""
    size, packed = 9 << 20, zeros(9 << 20)
    told = zlib.crc32(bytes(size))
    parts = [
        Part(str(n), packed=packed, size=size, checksum=told, offset=0 if n else None)
        for n in range(1100)
    ]
    made = Zip(parts).made()
    assert len(made) < 100_000

    reason = refused(made)
    assert "says something else of itself" in reason or "shares its bytes" in reason


def test_files_within_a_file() -> None:
    """A file that begins within another one is refused, though its header is right."""
    inner = Zip([Part("b", b"y", method=0)]).made()[:32]
    outer = Part("a", inner, method=0)
    made = Zip([outer, Part("b", b"y", method=0, offset=31)])

    assert "'a' shares its bytes with what comes behind it" in refused(made)


@pytest.mark.parametrize("size", [None, 10])
def test_a_bomb(size: int | None) -> None:
    """A small file that unpacks to gigabytes is refused, whatever its header says.

    With the count in `Container.pieces` taken out, the second one was unpacked.
    """
    packed = zeros(10 << 30)
    part = Part("a", b"", packed=packed, size=4_000_000_000 if size is None else size)
    made = Zip([part]).made()
    tracemalloc.start()
    reason = refused(made)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert "unpacks to more than" in reason
    assert peak < 2 * len(made) + (8 << 20)


def test_many_small_bombs() -> None:
    """What each file may is not what all of them may together."""
    limits = Limits(total=1 << 20, slack=1 << 20)
    content = bytes(300_000)
    few, many = ([Part(str(n), content) for n in range(count)] for count in (3, 4))
    assert 3 == len(opened(Zip(few), limits))

    assert "unpacks to more than 1048576 bytes" in refused(Zip(many), limits)


def test_many_small_bombs_that_lie() -> None:
    """The bytes that come out count together too, and not only those announced."""
    limits = Limits(total=1 << 20, slack=1 << 20)
    parts = [Part(str(n), bytes(300_000)) for n in range(4)]
    container = Container(io.BytesIO(Zip(parts).made()), Limits())
    container._most = limits.total

    with pytest.raises(Unfit, match="unpacks to more than 1048576 bytes"):
        deque(map(container.read, container.names), maxlen=0)


def test_the_ratio() -> None:
    """A file may unpack to so many times its own size, and to some bytes besides."""
    made = Zip([Part("a", bytes(1 << 20))]).made()
    assert 1 << 20 == len(opened(made, Limits(slack=1 << 20))["a"])

    assert "the most that a file of its size may" in refused(made, Limits(slack=1000))


def many(count: int, *, lies: bool) -> bytes:
    """Return a zip with very many files, which may say that it has only ten."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as made:
        for number in range(count):
            made.writestr(f"{number:x}", b"")
    content = out.getvalue()
    if not lies:
        return content
    end = bytearray(content[-22:])
    struct.pack_into("<HH", end, 8, 10, 10)
    return content[:-22] + bytes(end)


@pytest.mark.parametrize("lies", [False, True])
def test_very_many_files(*, lies: bool) -> None:
    """Too many files are refused before the list of them is made."""
    content = many(60_000, lies=lies)
    tracemalloc.start()
    reason = refused(content)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    expected = "more than the 10 that it says" if lies else "it has 60000 files"
    assert expected in reason
    assert peak < 2 * len(content)


def test_a_million_files() -> None:
    """A ZIP64 archive of a million files is refused by the count that it has.

    Only its end is there: nothing else of it is looked at.
    """
    end64 = struct.pack(
        "<4sQ2H2L4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, 10**6, 10**6, 46 * 10**6, 0
    )
    locator = struct.pack("<4sLQL", b"PK\x06\x07", 0, 0, 1)
    end = struct.pack(
        "<4s4H2LH", b"PK\x05\x06", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0
    )

    assert "it has 1000000 files, and may have 20000" in refused(end64 + locator + end)


def test_a_long_list_of_files() -> None:
    """A list of files that is long, though it has few of them, is not read."""
    parts = [Part("x" * 60_000 + str(n)) for n in range(9)]

    reason = refused(Zip(parts), Limits(directory=500_000))
    assert "its list of files is longer than 500000 bytes" in reason


def test_zip64() -> None:
    """A ZIP64 archive is refused, since nothing so large is taken."""
    locator = struct.pack("<4sLQL", b"PK\x06\x07", 0, 10**9, 1)

    assert "ZIP64" in refused(Zip([Part("a", b"x")], locator=locator))
    assert "ZIP64" in refused(Zip([Part("a", b"x", size=0xFFFFFFFF)]))


# KINDS OF MEMBERS


@pytest.mark.parametrize(
    ("part", "reason"),
    [
        (Part("a", b"x", flags=0x0001), "'a' is encrypted"),
        (Part("a", b"x", flags=0x0041), "'a' is encrypted"),
        (Part("a", b"x", flags=0x2000), "'a' is encrypted"),
        (Part("a", b"x", method=12), "'a' is packed by method 12"),
        (Part("a", b"x", flags=0x0020), "'a' is packed by method 8"),
        (Part("a", b"/etc/passwd", mode=0o120777), "'a' is a link"),
        (Part("a", b"../x", mode=0o120777), "'a' is a link"),
        (Part("a", mode=0o020600), "'a' is a device"),
        (Part("a", mode=0o060600), "'a' is a device"),
        (Part("a", mode=0o010600), "'a' is a device, a pipe"),
        (Part("a", mode=0o140600), "'a' is a device, a pipe or a socket"),
        (Part("a/", b"x"), "'a/' is a folder with bytes of its own"),
        (Part(b"\xe9", b"x"), "is not marked as UTF-8"),
        (Part(b"\xff", b"x", flags=0x0800), "is not marked as UTF-8"),
    ],
)
def test_members_that_are_refused(part: Part, reason: str) -> None:
    """Encrypted files, links, devices and unknown methods are refused."""
    assert reason in refused(Zip([part]))


@pytest.mark.parametrize("mode", [0, FILE, 0o100755, 0o104755, 0o600])
def test_modes_that_do_not_matter(mode: int) -> None:
    """Rights of files are read over; nothing is given them."""
    assert {"a": b"x"} == opened(Zip([Part("a", b"x", mode=mode)]))


def test_a_file_that_shrinks() -> None:
    """A zip that becomes shorter while it is read is refused."""
    stream = io.BytesIO(Zip([Part("a", b"x" * 100, method=0)]).made())
    container = Container(stream)
    stream.truncate(60)

    with pytest.raises(Unfit, match="became shorter while it was read"):
        container.read("a")


def test_text_is_short() -> None:
    """A file that describes the others is neither long nor anything but UTF-8."""
    limits = Limits(told=10)
    parts = [Part("a", b"x" * 11), Part("b", b"\xff"), Part("c", b"\xef\xbb\xbfx")]
    container = Container(io.BytesIO(Zip(parts).made()), limits)
    read: Callable[[str], str] = container.text

    with pytest.raises(Unfit, match="a is larger than 10 bytes"):
        read("a")
    with pytest.raises(Unfit, match=r"b is not UTF-8 text \(byte 0\)"):
        read("b")
    assert "x" == read("c")
