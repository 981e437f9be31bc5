"""The socket where a server answers about itself."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pointsman
from pointsman.serving import desk, report, status

if TYPE_CHECKING:
    from pathlib import Path


def test_a_process_without_a_server_is_loading(tmp_path: Path) -> None:
    """Status can be asked from the first moment, as often as one likes."""
    path = tmp_path / "a.pid"
    with desk.answering(path), status.reached(path) as line:
        assert line is not None
        answers = [line.ask("status") for _ in range(2)]

    assert [(os.getpid(), "loading", 0, pointsman.__version__)] * 2 == [
        (each["pid"], each["state"], each["in_flight"], each["release"])
        for each in answers
    ]


def test_an_unknown_question_is_refused(tmp_path: Path) -> None:
    """Nothing but the known questions is answered."""
    path = tmp_path / "a.pid"
    with desk.answering(path), status.reached(path) as line:
        assert line is not None
        answer = line.ask("listeners")

    assert ["error"] == list(answer)


def test_the_farewell_comes_at_the_end(tmp_path: Path) -> None:
    """Who asked for it hears how many requests were cut."""
    path = tmp_path / "a.pid"
    with desk.answering(path) as at, status.reached(path) as line:
        assert line is not None
        noted = line.ask("farewell")
        at.say_farewell(3)
        farewell = line.next()

    assert ({"noted": True}, {"unanswered": 3}) == (noted, farewell)


def test_nobody_is_reached_where_nobody_answers(tmp_path: Path) -> None:
    """Neither a missing socket nor a missing folder is an error."""
    with (
        status.reached(tmp_path / "a.pid") as one,
        status.reached(tmp_path / "no" / "a.pid") as two,
    ):
        assert [None, None] == [one, two]


def test_durations_are_readable() -> None:
    """Leading zeros are left out."""
    assert ["0 s", "1 min 1 s", "2 d 0 h 0 min 5 s"] == [
        report._duration(seconds) for seconds in (0, 61, 2 * 86400 + 5)
    ]


def test_nodes_are_told() -> None:
    """A node says which generation serves, and what is the matter, if anything is."""
    nodes = [
        {"status": "ready", "generation": 12},
        {"status": "behind", "generation": 11, "reason": "crm: ImportError"},
        {"status": "ready", "generation": 12, "ledger": "locked"},
    ]

    assert [
        "generation 12 (ready)",
        "generation 11 (behind: crm: ImportError)",
        "generation 12 (ready)",
        "ledger     not reached: locked",
    ] == [line for node in nodes for line in report._of_node(node)]
