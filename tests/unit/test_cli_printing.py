"""What the commands print: every part of a document that people need."""

from __future__ import annotations

import io
import re
from dataclasses import replace

import pytest
from rich.console import Console

from pointsman.cli import (
    differences,
    overview,
    periods,
    progress,
    records,
    tables,
    verdicts,
)
from pointsman.cluster import (
    Actor,
    Change,
    Entry,
    Event,
    Failed,
    Generation,
    NodeRecord,
    NodeState,
    State,
    Vote,
)
from pointsman.control import documents
from pointsman.differences import Difference, FileDifference
from pointsman.model import Kind
from pointsman.outlook import Plan, Planned
from pointsman.verdicts import Result

NOON = 1_800_000_000.0
ENTRY = Entry("crm", "3f2a9c" + "0" * 58, Kind.MODULE, "crm.py", version="", size=120)
VOTES = (
    Vote("web1:10:1:1", loaded=True, voted_at=NOON, duration=0.02, switched_at=NOON),
    Vote("web2:20:1:1", loaded=True, voted_at=NOON, switched_at=NOON + 0.004),
)
ACTIVE = Generation(
    12,
    State.ACTIVE,
    Actor("token ci", "10.0.0.7"),
    "deploy",
    11,
    note="new prices",
    changes=(Change("crm", ENTRY), Change("old")),
    stop=frozenset({"shop.basket"}),
    proposed_at=NOON - 0.04,
    staged_at=NOON - 0.04,
    decided_at=NOON,
    votes=VOTES,
)
FAILURE = Failed("crm", "ZeroDivisionError: by zero", 'File "crm.py", line 7\n  1 / 0')
FAILED = replace(
    ACTIVE,
    state=State.FAILED,
    reason="crm: ZeroDivisionError: by zero",
    votes=tuple(
        replace(vote, loaded=False, failures=(FAILURE,), switched_at=None)
        for vote in VOTES
    ),
)


def verdict(generation: Generation, **also: object) -> dict[str, object]:
    """Return the document of a deployment."""
    return documents.deployment(replace(Result(generation), **also))  # type: ignore[arg-type]


def words(text: str) -> str:
    """Return a text with all white space as one blank."""
    return " ".join(text.split())


def test_a_deployment_tells_what_changed_and_how_long_it_took(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Packages, services, nodes and milliseconds are there."""
    verdicts.print_verdict(verdict(ACTIVE))

    printed = words(capsys.readouterr().out)
    assert "crm deployed 3f2a9c000000 crm.py" in printed
    assert "old removed" in printed
    assert "shop.basket stopped" in printed
    assert "generation 12 is active on 2 nodes, after 44 ms" in printed


def test_a_failure_is_told_once_for_all_its_nodes(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The reason is first, then the traceback, then the nodes; and why no change."""
    verdicts.print_verdict(verdict(FAILED))

    printed = capsys.readouterr().out
    reason, traceback, nodes, end = (
        printed.index(part)
        for part in (
            "crm: ZeroDivisionError",
            '    File "crm.py", line 7',
            "on web1:10:1:1, web2:20:1:1",
            "generation 12 failed, and nothing changed",
        )
    )
    assert reason < traceback < nodes < end
    assert 1 == printed.count("line 7")


@pytest.mark.parametrize(
    ("generation", "also", "said", "refused"),
    [
        (ACTIVE, {"unchanged": True}, "nothing to do: generation 12 has all", False),
        (replace(ACTIVE, state=State.STAGING), {}, "generation 12 is staging", False),
        (
            replace(ACTIVE, state=State.STAGING),
            {"unchanged": True, "timed_out": True},
            "generation 12 is staging still",
            True,
        ),
        (replace(FAILED, votes=()), {"timed_out": True}, "nothing changed", True),
        (ACTIVE, {"late": ("web2:20:1:1",)}, "web2:20:1:1 has not switched", False),
    ],
)
def test_each_end_is_told(
    generation: Generation,
    also: dict[str, object],
    said: str,
    *,
    refused: bool,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Nothing to do, on its way, out of time, late nodes: each has its sentence."""
    document = verdict(generation, **also)

    verdicts.print_verdict(document)

    assert said in words(capsys.readouterr().out)
    assert refused == verdicts.is_refused(document)


def test_show_has_who_votes_and_the_spread(capsys: pytest.CaptureFixture[str]) -> None:
    """Actor with address, each vote with its duration, and the spread are there."""
    records.print_generation(documents.generation(ACTIVE))

    printed = words(capsys.readouterr().out)
    assert "generation 12: active" in printed
    assert "by token ci from 10.0.0.7" in printed
    assert "note: new prices" in printed
    assert "spread of the switch 4.0 ms" in printed
    assert "web1:10:1:1 loaded 20 ms" in printed


def test_history_points_at_what_serves(capsys: pytest.CaptureFixture[str]) -> None:
    """Only the active generation has the arrow."""
    older = replace(ACTIVE, number=11, state=State.RETIRED, note="")
    records.print_history(map(documents.generation, (ACTIVE, older)))

    first, second = capsys.readouterr().out.splitlines()[1:]
    assert ["→", "12"] == first.split()[:2]
    assert "→" not in second
    assert "deploy crm, old, shop.basket" in words(second)


def test_events_are_lines_that_can_be_searched(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """One line each, with who and where, however long."""
    event = Event(1, NOON, Actor("cli ann", "web1"), "lock", "", None, "why " * 60)
    records.print_events([documents.event(event)])

    (line,) = capsys.readouterr().out.splitlines()[1:]
    assert "cli ann" in line
    assert 60 == line.count("why")


def test_nodes_tell_what_is_the_matter(capsys: pytest.CaptureFixture[str]) -> None:
    """State, lease, traceback of one that is behind, and what lingers."""
    lingering = [
        {
            "package": "crm",
            "digest": "ab" * 32,
            "requests": [{"path": "/crm/export", "seconds": 75.2}],
        }
    ]
    node = NodeRecord(
        "web1:10:1:1",
        "web1",
        10,
        1,
        "1.4.0",
        "3.11.7",
        NodeState.BEHIND,
        11,
        NOON,
        NOON + 5,
        "cannot go to generation 12: boom\nTraceback of it",
        {
            "in_flight": 3,
            "lingering": lingering,
            "shadowed": ["crm"],
            "directories": [
                {
                    "path": "/srv/archives",
                    "held": "it is suddenly empty",
                    "trouble": "",
                    "reason": "no events come; it is polled",
                    "problems": {"x.sar": "it is no archive"},
                }
            ],
        },
    )
    gone = replace(node, id="web2:20:1:1", lease_until=NOON - 5, reason="", report={})
    overview.print_nodes(documents.node(one, NOON) for one in (node, gone))

    printed = words(capsys.readouterr().out)
    assert "web1 10 1.4.0 3.11.7 behind 11" in printed
    assert "web1 10 1.4.0 3.11.7 lease ended 11" in printed
    assert "cannot go to generation 12: boom Traceback of it" in printed
    assert "crm abababababab lingers: /crm/export for 75 s" in printed
    assert "crm of the service list is shadowed" in printed
    assert "web1:10:1:1: /srv/archives: it is suddenly empty" in printed
    assert "/srv/archives: no events come; it is polled" in printed
    assert "/srv/archives: x.sar: it is no archive" in printed


def test_leaks_tell_who_holds(capsys: pytest.CaptureFixture[str]) -> None:
    """Each leak has its holders; who does not answer is told as well."""
    leak = {
        "package": "crm",
        "digest": "ab" * 32,
        "age_seconds": 9.0,
        "holders": ["a thread named tick"],
    }
    overview.print_leaks(
        [
            {"node": "a", "leaks": [leak]},
            {"node": "b", "leaks": []},
            {"node": "c", "leaks": None},
        ]
    )

    printed = words(capsys.readouterr().out)
    assert "a: crm abababababab ended 9 s ago, and is held by a thread" in printed
    assert "b: nothing of an ended version is left" in printed
    assert "c has not answered" in printed


def plan(clash: str = "") -> dict[str, object]:
    """Return the document of a plan."""
    diff = "--- a/crm.py\n+++ b/crm.py\n@@ -1 +1 @@\n-x = 1\n+x = '\x0c'\n"
    files = (
        FileDifference("crm.py", "updated", diff),
        FileDifference("logo.png", "added", note="binary: 120 bytes"),
    )
    old = replace(ENTRY, digest="aa" * 32)
    difference = Difference("crm", "updated", old, ENTRY, files)
    planned = Planned(difference, ("shop",), ("/crm", "crm.web"), clash)
    return documents.plan(Plan(11, (planned,)))


def test_a_plan_has_dependents_mounts_and_the_difference(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """All that would happen is there; a control character of a source is shown."""
    differences.print_plan(plan("/crm belongs to shop, which keeps it"))

    printed = capsys.readouterr().out
    assert "crm would be refused: /crm belongs to shop" in printed
    assert "+x = '^L'\n" in printed
    assert "binary: 120 bytes" in printed
    assert "aaaaaaaaaaaa → 3f2a9c000000 /crm, crm.web shop" in words(printed)


def test_a_difference_is_coloured_on_a_terminal_only(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Escape codes do not get into files."""
    differences.print_plan(plan())
    assert "\x1b" not in capsys.readouterr().out

    screen = io.StringIO()
    terminal = Console(file=screen, force_terminal=True, highlight=False, width=200)
    monkeypatch.setattr(tables, "out", lambda: terminal)
    differences.print_plan(plan())
    assert re.search(r"\x1b\[32m\+x", screen.getvalue())
    assert re.search(r"\x1b\[31m-x", screen.getvalue())


def test_what_an_artifact_says_cannot_drive_a_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Escape sequences of a traceback are shown, not sent; so are those of C1."""
    evil = replace(FAILURE, reason="\x1b]0;owned\x07 \x9b2J")
    vote = replace(VOTES[0], loaded=False, failures=(evil,))
    verdicts.print_failures(documents.generation(replace(FAILED, votes=(vote,))))

    printed = capsys.readouterr().out
    assert "^[]0;owned^G \ufffd2J" in printed
    assert set() == {"\x1b", "\x07", "\x9b"} & set(printed)


def test_markup_in_names_is_text(capsys: pytest.CaptureFixture[str]) -> None:
    """A note like [red] is told as it was written."""
    records.print_history([documents.generation(replace(ACTIVE, note="[red]x[/red]"))])

    assert "[red]x[/red]" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "expected"),
    [("90d", 7_776_000.0), ("1d12h", 129_600.0), ("8W", 4_838_400.0), ("never", None)],
)
def test_periods_are_read(text: str, expected: float | None) -> None:
    """Days, hours, weeks, several together, and never."""
    assert expected == periods.seconds(text)


@pytest.mark.parametrize(
    "text", ["", "90", "d", "0d", "-1d", "1.5d", "3 d", "1y", "٣d"]
)
def test_what_is_no_period_is_refused(text: str) -> None:
    """The sentence says what would be accepted."""
    with pytest.raises(ValueError, match="write like 90d"):
        periods.seconds(text)


def test_who_is_waited_for_is_counted() -> None:
    """Nodes that left do not count; those that have not voted are waited for."""
    votes = (*VOTES, Vote("web3:30:1:1"), Vote("web4:40:1:1", left="it is gone"))
    waiting = documents.generation(replace(ACTIVE, votes=votes))

    assert "generation 12: waiting for 1 of 3 nodes" == progress.told_votes(waiting)


def test_progress_is_silent_without_a_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Nothing of it is in a pipe, and nobody is asked for votes."""

    def never() -> None:
        raise AssertionError

    with progress.Progress() as line, line.votes(never):
        line.say("working")

    captured = capsys.readouterr()
    assert "" == captured.out + captured.err


def test_progress_is_one_line_of_a_terminal() -> None:
    """What is being done is told while it is done."""
    screen = io.StringIO()
    terminal = Console(file=screen, force_terminal=True, width=100)
    with progress.Progress(terminal) as line:
        line.say("sending [crm.sar]")

    assert "sending [crm.sar]" in screen.getvalue()
