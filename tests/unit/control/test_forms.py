"""Forms with files, taken while they come."""

from __future__ import annotations

import contextlib
import tracemalloc
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pointsman.control.multiparts import MOST, File, Value, parts
from pointsman.errors import Refused

if TYPE_CHECKING:
    from collections.abc import Iterator

TYPE = "multipart/form-data; boundary=cut"


def form(*fields: tuple[str, str | None, bytes]) -> bytes:
    """Return a form of name, file name and content."""
    found = b""
    for name, file, content in fields:
        given_file = f'; filename="{file}"' if file is not None else ""
        head = f'Content-Disposition: form-data; name="{name}"{given_file}'
        found += b"--cut\r\n" + head.encode() + b"\r\n\r\n" + content + b"\r\n"
    return found + b"--cut--\r\n"


def read(chunks: list[bytes]) -> list[tuple[str, bytes]]:
    """Return the names and contents of all parts."""
    found = []
    for part in parts(TYPE, chunks):
        if isinstance(part, File):
            found.append((part.file, b"".join(part.chunks)))
        else:
            found.append((part.name, part.value.encode()))
    return found


CONTENT = form(
    ("file", "crm.py", b"a = 1\r\n--cu\r\n"),
    ("remove", None, b"shop"),
    ("file", "b.sar", b"PK"),
)


@pytest.mark.parametrize("size", [1, 2, 7, 64, 10_000])
def test_parts(size: int) -> None:
    """Files and fields come out in order, however the bytes are cut."""
    chunks = [CONTENT[at : at + size] for at in range(0, len(CONTENT), size)]

    assert [
        ("crm.py", b"a = 1\r\n--cu\r\n"),
        ("remove", b"shop"),
        ("b.sar", b"PK"),
    ] == read(chunks)


def test_a_file_that_is_not_read_is_skipped() -> None:
    """The next part begins where it begins."""
    found = [
        part.file if isinstance(part, File) else part for part in parts(TYPE, [CONTENT])
    ]

    assert ["crm.py", Value("remove", "shop"), "b.sar"] == found


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b"", 400),
        (b"nonsense", 400),
        (CONTENT[:-20], 400),
        (CONTENT[: CONTENT.index(b"shop")], 400),
        (form(*[("a", None, b"")] * (MOST + 1)), 413),
        (form(("note", None, b"x" * 10_001)), 413),
        (form(("note", None, b"\xff")), 400),
        (CONTENT.replace(b"\r\n\r\n", b"\r\nX: " + b"y" * 9000 + b"\r\n\r\n", 1), 413),
        (CONTENT.replace(b"\r\n\r\n", b"\r\nContent-Digest: x\r\n\r\n", 1), 400),
    ],
)
def test_what_is_no_form(content: bytes, status: int) -> None:
    """It is refused wherever it breaks."""
    with pytest.raises(Refused) as caught:
        read([content])

    assert status == caught.value.status


@pytest.mark.parametrize(
    "kind",
    ["", "application/json", "multipart/mixed; boundary=x", "multipart/form-data"],
)
def test_other_types(kind: str) -> None:
    """415 tells what is wanted."""
    with pytest.raises(Refused, match="as multipart/form-data") as caught:
        list(parts(kind, [CONTENT]))

    assert 415 == caught.value.status


@given(st.binary(max_size=200))
def test_anything(content: bytes) -> None:
    """Whatever comes is read or refused, and never a fault of ours."""
    with contextlib.suppress(Refused):
        read([b"--cut\r\n" + content])


def test_large_files_are_not_held() -> None:
    """A file of 64 MB takes little memory on its way; joined chunks take 64 MB more."""

    def chunks() -> Iterator[bytes]:
        yield b'--cut\r\nContent-Disposition: form-data; name="f"; '
        yield b'filename="a.py"\r\n\r\n'
        for _ in range(1024):
            yield b"x" * 65536
        yield b"\r\n--cut--\r\n"

    tracemalloc.start()
    try:
        (size,) = [
            sum(map(len, part.chunks))
            for part in parts(TYPE, chunks())
            if isinstance(part, File)
        ]
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert 64 * 1024 * 1024 == size
    assert peak < 4 * 1024 * 1024
