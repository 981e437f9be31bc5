"""The record of what was done."""

from __future__ import annotations

import json
import os
import resource
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from pointsman.releases import events
from pointsman.releases.events import Event

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FIRST = Event("2026-11-21T10:00:00.000Z", "deploy", "built", "a-1.0", {"size": 7})
SECOND = Event("2026-11-21T10:00:01.000Z", "root", "activated", "a-1.0")


@pytest.fixture(name="log")
def _log(tmp_path: Path) -> Path:
    path = tmp_path / "releases.log"
    events.append(path, FIRST)
    events.append(path, SECOND)
    return path


def test_what_is_told_is_read(log: Path) -> None:
    """One JSON object a line, the oldest first."""
    lines = [json.loads(line) for line in log.read_text().splitlines()]

    assert (FIRST, SECOND) == events.read(log)
    assert ["built", "activated"] == [line["what"] for line in lines]
    assert {"at", "who", "what", "release"} == set(lines[1])


def test_nothing_was_done_yet(tmp_path: Path) -> None:
    """Without the file, there are no events."""
    assert () == events.read(tmp_path / "releases.log")


@pytest.mark.parametrize("left", [1, 20, -1])
def test_a_torn_last_line_is_left_out(log: Path, left: int) -> None:
    """It is not told; and what comes next has a line of its own.

    Without the look at the last byte, the next event was glued to it and lost.
    """
    whole = log.read_bytes()
    start = whole.index(b"\n") + 1
    os.truncate(log, start + left if left > 0 else len(whole) - 1)
    torn = events.read(log)
    events.append(log, SECOND)
    first, unreadable, last = events.read(log)

    assert ((FIRST,), FIRST, SECOND) == (torn, first, last)
    if left > 0:
        assert events.TORN == unreadable.what
    else:  # all of it was there
        assert SECOND == unreadable


@pytest.mark.parametrize("line", ["[]", "{}", '{"at": "x"}', "nonsense", "\x00\x00"])
def test_a_line_that_cannot_be_read_is_told(log: Path, line: str) -> None:
    """It is an event of its own, with its text: nothing is left out."""
    with log.open("a") as file:
        file.write(line + "\n")
    events.append(log, FIRST)
    found = events.read(log)

    assert (FIRST, SECOND, FIRST) == (*found[:2], found[3])
    assert (events.TORN, line) == (found[2].what, found[2].detail["line"])


def test_the_newest_of_some(log: Path) -> None:
    """The last line about that release that tells one of those things."""
    assert FIRST == events.newest(log, "a-1.0", "built", "pruned")
    assert SECOND == events.newest(log, "a-1.0", "built", "activated")
    assert "" == events.newest(log, "b-1.0", "built").what


@contextmanager
def full(log: Path) -> Iterator[None]:
    """Let no file of this process grow beyond ten bytes more than the log has."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (log.stat().st_size + 10, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_line_is_there_whole_or_not_at_all(log: Path) -> None:
    """What does not fit any more is an error, and nothing of it is left."""
    before = log.read_bytes()
    with full(log), pytest.raises(OSError, match="File too large"):
        events.append(log, SECOND)

    assert before == log.read_bytes()


def test_times_are_of_one_form() -> None:
    """ISO 8601 in UTC, so that they sort."""
    assert "2026-11-21T10:00:00.000Z" == events.utc(1795255200)
    assert "2026-11-21T10:00:00.250Z" == events.utc(1795255200.25)
