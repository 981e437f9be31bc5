"""What an activation notes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pointsman.errors import ReleaseError
from pointsman.releases.journal import Entry, Journal

if TYPE_CHECKING:
    from pathlib import Path


def test_facts_are_kept_from_step_to_step(tmp_path: Path) -> None:
    """Whoever comes next finds the last step, and all that was told."""
    path = tmp_path / "journal.json"
    times = iter([1.0, 2.0])
    journal = Journal(path, lambda: next(times))
    before = journal.read()
    journal.write("proving", release="a-2.0", before="a-1.0")
    entry = journal.write("switching", watch=30, before=None)
    known = {"release": "a-2.0", "before": None, "watch": 30}

    assert (None, "switching", 2.0, known) == (
        before,
        entry.step,
        entry.at,
        dict(entry.facts),
    )
    assert entry == Journal(path).read()


def test_the_end(tmp_path: Path) -> None:
    """Afterwards nothing is under way, and no fact is left for the next one."""
    journal = Journal(tmp_path / "journal.json", lambda: 3.0)
    journal.write("proving", release="a-1.0")
    journal.end()
    journal.end()

    assert None is journal.read()
    assert Entry("proving", 3.0, {}) == journal.write("proving")


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"step": "x", "at": "soon"}'])
def test_what_is_no_journal(tmp_path: Path, text: str) -> None:
    """It is told what to look at, and to remove it: nothing is guessed."""
    path = tmp_path / "journal.json"
    path.write_text(text)

    with pytest.raises(ReleaseError, match=r"is no journal .* which release serves"):
        Journal(path).read()


def test_a_journal_that_cannot_be_read(tmp_path: Path) -> None:
    """Nobody takes it for the end of an activation."""
    with pytest.raises(ReleaseError, match="cannot be read: Is a directory"):
        Journal(tmp_path).read()


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    """A step that cannot be noted is not begun."""
    journal = Journal(tmp_path / "gone" / "journal.json")

    with pytest.raises(ReleaseError, match="proving cannot be noted"):
        journal.write("proving")
