"""What is told of two versions of a package."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from pointsman.cluster import Entry
from pointsman.differences import LARGEST, LONGEST, between, status_of
from pointsman.model import Kind

A, B = (Entry("crm", letter * 64, Kind.MODULE, "crm.py") for letter in "ab")


def test_status() -> None:
    """What is there before and afterwards makes the word."""
    assert ["added", "removed", "updated", "unchanged", "unchanged"] == [
        status_of(*sides)
        for sides in ((None, A), (A, None), (A, B), (A, A), (None,) * 2)
    ]


def test_text_is_unified() -> None:
    """Line by line, with the names that patch(1) knows."""
    found = list(between({"crm.py": b"a = 1\nb = 2\n"}, {"crm.py": b"a = 1\nb = 3\n"}))

    assert [("crm.py", "updated", "")] == [(f.path, f.status, f.note) for f in found]
    assert (
        "--- a/crm.py\n+++ b/crm.py\n@@ -1,2 +1,2 @@\n a = 1\n-b = 2\n+b = 3\n"
        == found[0].diff
    )


def test_files_that_come_and_go() -> None:
    """Each is named; unchanged ones are not."""
    found = list(between({"old": b"x\n", "same": b"s"}, {"new": b"y\n", "same": b"s"}))

    assert [
        ("new", "added", "--- /dev/null\n+++ b/new\n@@ -0,0 +1 @@\n+y\n"),
        ("old", "removed", "--- a/old\n+++ /dev/null\n@@ -1 +0,0 @@\n-x\n"),
    ] == [(f.path, f.status, f.diff) for f in found]


def test_binary_is_noted() -> None:
    """What is no text is named, with its sizes."""
    for old, new in ((b"\0", b"\0\0"), (b"\xff", b"a"), (b"a", b"\xfe\xfe")):
        (found,) = between({"x.bin": old}, {"x.bin": new})

        assert ("", f"binary: {len(old)} to {len(new)} bytes") == (
            found.diff,
            found.note,
        )


def test_encoding_of_a_module() -> None:
    """A module says which encoding it has (PEP 263); one that is unknown is binary."""
    cookie = b"# -*- coding: latin-1 -*-\n"
    (found,) = between({}, {"crm.py": cookie + b"a = '\xe9'\n"})
    (unknown,) = between({}, {"crm.py": b"# coding: nonsense\n"})

    assert "+a = 'é'\n" in found.diff
    assert unknown.note.startswith("binary")


def test_large_files_are_not_compared() -> None:
    """Comparing them would take longer than anybody reads."""
    (large,) = between({"a": b"x"}, {"a": b"x" * (LARGEST + 1)})
    (long,) = between({"a": b"x"}, {"a": b"\n" * (LONGEST + 1)})

    assert large.note.startswith("too large to compare: 1 to")
    assert long.note.startswith("too long to compare: 1 to")


def test_much_is_cut() -> None:
    """All files of a package together tell a megabyte at most; the others are named."""
    new = {f"{n}.txt": b"%d\n" % n * 20_000 for n in range(100)}
    new = {name: content[: LARGEST // 2] for name, content in new.items()}
    new = {
        name: b"\n".join(content.split(b"\n")[:LONGEST])
        for name, content in new.items()
    }
    many = {f"{n}{name}": content for n in range(2) for name, content in new.items()}
    found = list(between({}, many))

    assert 200 == len(found)
    assert sum(len(f.diff) for f in found) <= 1024 * 1024
    assert "not told: the differences of this package are long" == found[-1].note


LINES = st.text(alphabet="ab\n\r\x0b\u2028", min_size=1, max_size=12)


@given(LINES, LINES)
@settings(max_examples=50, deadline=None)
def test_others_understand_it(old: str, new: str) -> None:
    """Git makes the new file of the old one, whatever ends their lines."""
    assume(old != new)
    (found,) = between({"f": old.encode()}, {"f": new.encode()})
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "f")
        file.write_bytes(old.encode())
        subprocess.run(
            ["git", "apply", "--whitespace=nowarn", "-"],
            cwd=folder,
            input=found.diff.encode(),
            check=True,
            capture_output=True,
        )

        assert new.encode() == file.read_bytes()
