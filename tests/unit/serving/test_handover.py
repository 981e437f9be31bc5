"""The values and decisions of a switch, and what both servers share."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from pointsman.errors import ReleaseError
from pointsman.serving import pidfile
from pointsman.serving.handover.health import Baseline, Health
from pointsman.serving.handover.outcome import Outcome, Plan, Result
from pointsman.serving.handover.wire import pair
from pointsman.serving.listener import Listener
from pointsman.serving.notify import Notifier
from pointsman.serving.processes import Identity
from pointsman.serving.tally import Page, Tally, mapped

if TYPE_CHECKING:
    from pathlib import Path


def test_a_plan_survives_the_desk() -> None:
    """What is asked for is what is understood."""
    plan = Plan(("paster", "serve"), {"A": "b"}, "/srv", 1.5, 2.5, 3.5)

    assert plan == Plan.asked(plan.question())
    assert Plan(("paster",)) == Plan.asked({"argv": ["paster"], "from": "the future"})


@pytest.mark.parametrize(
    ("question", "sentence"),
    [
        ({}, "argv must be a list of texts"),
        ({"argv": []}, "argv must be a list of texts"),
        ({"argv": ["x", 1]}, "argv must be a list of texts"),
        ({"argv": ["x"], "env": {"A": 1}}, "env must be an object of texts"),
        ({"argv": ["x"], "probation": -1}, "probation must be a number of seconds"),
        ({"argv": ["x"], "ready_timeout": "soon"}, "could not convert"),
    ],
)
def test_a_plan_makes_sense(question: dict[str, Any], sentence: str) -> None:
    """Nonsense is refused in a sentence."""
    with pytest.raises(ValueError, match=sentence):
        Plan.asked(question)


def test_an_outcome_survives_the_desk() -> None:
    """Every word of it arrives, and words of later releases are left alone."""
    outcome = Outcome(Result.TAKEN_BACK, 7, "1.0", "/t", "why", "tb", "SIGSEGV", 3, 2)

    assert outcome == Outcome.told({**outcome.line(), "mood": "good"})


@pytest.mark.parametrize(
    ("health", "baseline", "trouble"),
    [
        (Health(), Baseline(200), ""),
        (Health(unready="behind"), Baseline(200), "it is no longer ready: behind"),
        (Health(unready="behind"), Baseline(200, ready=False), ""),
        (Health(waiting=9.9), Baseline(200), ""),
        (
            Health(waiting=10.0),
            Baseline(200),
            "it hangs: no request has been answered for 10 s",
        ),
        (Health(broken=2), Baseline(200), ""),
        (
            Health(broken=3),
            Baseline(404),
            "its last 3 answers to HEAD / were failures",
        ),
        (Health(broken=9), Baseline(500), ""),
        (Health(broken=9), Baseline(0), ""),
    ],
)
def test_a_successor_is_measured_by_its_incumbent(
    health: Health, baseline: Baseline, trouble: str
) -> None:
    """What the incumbent itself could not do is not asked of the successor."""
    assert trouble == baseline.trouble(health, 10.0)
    assert health == Health.told(health.words())


@pytest.mark.parametrize(
    ("own", "status", "refused"),
    [(200, 404, False), (200, 500, True), (500, 503, False), (0, 500, False)],
)
def test_new_failures_refuse_a_successor(
    own: int, status: int, *, refused: bool
) -> None:
    """A failure is one where there was none."""
    assert refused == bool(Baseline(own).refuses(status))


def test_the_tally_outlives_its_writer() -> None:
    """What a process noted before it was killed can be read."""
    page = Page()
    code = (
        "import os, sys; from pointsman.serving.tally import Tally, mapped\n"
        "tally = Tally(); tally.begin(mapped(int(sys.argv[1])))\n"
        "tally.note(5, 2); tally.note(6, 0); tally.note(7, 1); tally.forget(7)\n"
        "tally.note(10**9, 1); os.kill(os.getpid(), 9)"
    )
    path = os.pathsep.join(filter(None, sys.path))
    done = subprocess.run(
        [sys.executable, "-c", code, str(page.descriptor)],
        pass_fds=[page.descriptor],
        env={**os.environ, "PYTHONPATH": path},
        check=False,
    )
    counted = (page.owed(), page.idle())
    page.close()

    assert (-9, (2, 1)) == (done.returncode, counted)


def test_a_tally_without_a_page_is_quiet() -> None:
    """Nothing is noted before there is a page, nor asked for after its end."""
    tally, page = Tally(), Page()
    tally.note(3, 1)
    tally.begin(mapped(os.dup(page.descriptor)))
    tally.end()

    assert (False, 0) == (tally.counts, page.owed())
    page.close()


def test_who_stands_in_the_door_is_counted() -> None:
    """Between accept(2) and the first note a connection is nobody's yet.

    Broken on purpose: without the note of the door, a kill at that moment loses a
    request that no page knows of.
    """
    page, seen = Page(), list[int]()

    class Door(Listener):
        def __init__(self) -> None:
            self.tally, self._fileno = Tally(), 7
            self.tally.begin(mapped(os.dup(page.descriptor)))

        def _may_accept(self) -> bool:
            return True

        def _accept_one(self) -> bool:
            seen.append(page.idle())
            return False

    Door().handle_accept()
    after = page.idle()
    page.close()

    assert ([1], 0) == (seen, after)


def test_words_travel_with_descriptors() -> None:
    """A message carries descriptors; a hung-up end is no silent one."""
    ours, theirs = pair()
    with socket.socket() as carried:
        ours.say([carried.fileno()], do="inherit", text="x" * 100_000)
        text, descriptors, _, _ = socket.recv_fds(theirs, 1 << 17, 4)
        silent = ours.receive(0)
        same = os.path.sameopenfile(descriptors[0], carried.fileno())
    theirs.close()
    os.close(descriptors[0])

    assert same
    assert (({}, ()), None) == (silent, ours.receive(0))
    assert len(text) < 1 << 16  # the end of a long text is what counts
    ours.close()


def test_two_places_in_a_pid_file(tmp_path: Path) -> None:
    """The lock passes from one place to the other; the file is never free or empty."""
    path = tmp_path / "a.pid"
    code = (
        "import os, sys, pathlib; from pointsman.serving import pidfile\n"
        "file = pidfile.reserved(pathlib.Path(sys.argv[1]), int(sys.argv[2]))\n"
        "print('reserved', flush=True); input()\n"
        "file.name_us(); print('named', flush=True); input(); file.close()"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    with pidfile.held(path) as file:
        with subprocess.Popen(
            [sys.executable, "-c", code, str(path), str(file.descriptor)],
            pass_fds=[file.descriptor],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
        ) as successor:
            assert successor.stdin is not None
            assert successor.stdout is not None
            assert b"reserved\n" == successor.stdout.readline()
            before = path.read_text().split()
            successor.stdin.write(b"\n")
            successor.stdin.flush()
            assert b"named\n" == successor.stdout.readline()
            file.leave()
            named = path.read_text().split()[0]
            code = (
                "import sys, pathlib; from pointsman.serving import pidfile\n"
                "with pidfile.held(pathlib.Path(sys.argv[1])): pass"
            )
            stranger = subprocess.run(
                [sys.executable, "-c", code, str(path)],
                env=environment,
                capture_output=True,
                text=True,
                check=False,
            )
            successor.stdin.write(b"\n")
            successor.stdin.flush()

    assert (str(os.getpid()), str(successor.pid)) == (before[0], named)
    assert f"(pid {successor.pid})" in stranger.stderr
    assert not path.exists()


def test_a_third_server_finds_no_place(tmp_path: Path) -> None:
    """Two have the file: the incumbent, and a successor."""
    path = tmp_path / "a.pid"
    code = (
        "import fcntl, sys; file = open(sys.argv[1], 'r+')\n"
        "fcntl.lockf(file, fcntl.LOCK_EX, 2); print(flush=True); input()"
    )
    path.touch()
    with subprocess.Popen(
        [sys.executable, "-c", code, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as both:
        assert both.stdout is not None
        both.stdout.readline()
        descriptor = os.open(path, os.O_RDWR)
        with pytest.raises(ReleaseError, match="locked by two servers already"):
            pidfile.reserved(path, descriptor)
        os.close(descriptor)
        both.kill()


def test_systemd_that_is_not_there_is_no_error(tmp_path: Path) -> None:
    """Without an address nothing is said; nobody listening is no reason to fail."""
    environment = {"NOTIFY_SOCKET": str(tmp_path / "nobody"), "PATH": "/bin"}
    notifier = Notifier.of(environment)
    notifier.ready("serving")
    Notifier().successor(Identity.own().pid, "serving")

    assert {"PATH": "/bin"} == environment


def test_an_abstract_address_is_understood() -> None:
    """An @ stands for the zero byte that such an address begins with."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind("")  # the kernel chooses an abstract name
        address = systemd.getsockname()
        Notifier("@" + address[1:].decode()).stopping("two\nlines")

        assert b"STOPPING=1\nSTATUS=two lines" == systemd.recv(100)
