"""A successor on probation is taken back as soon as something is wrong with it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from functional.handover import site as kinds
from functional.serving.hammer import Client, LostError, get
from open_folders import let_everybody_in
from pointsman.errors import ReleaseError
from pointsman.serving import handover, processes, status
from pointsman.serving.handover import Result
from waiting import wait_for

if TYPE_CHECKING:
    from functional.handover.site import Site

# Ready until somebody asks for /spoil.
SPOILS = kinds.NODE.format(ready="'spoilt' not in sys.modules", close="pass")
SPOILT = """

plain = factory


def factory(global_conf, **settings):
    inner = plain(global_conf, **settings)

    def application(environ, start_response):
        if environ["PATH_INFO"] == "/spoil":
            sys.modules["spoilt"] = sys
        was_asked_before = environ["PATH_INFO"] == "/until"
        if "spoilt" in sys.modules and not NODES and not was_asked_before:
            start_response("503 Spoilt", [("Content-Length", "0")])
            return []
        return inner(environ, start_response)

    return application
"""


def test_the_count_is_exact(site: Site) -> None:
    """Three requests run on it, two connections are idle, one was just made."""
    port = site.start(site.release("one"))
    with site.switching(site.release("two"), probation=60) as switching:
        clients = [Client(port) for _ in range(6)]
        for client in clients[:3]:
            client.send("/slow60")
        for client in clients[3:5]:
            client.send("/")
            client.receive()
        # One more than the answers owed, for each.
        wait_for(lambda: site.noted() == b"\1\1\2\2\2\2", "all of them noted")
        switching.kill("SIGKILL", port)
        outcome = switching.outcome()
    for client in clients:
        client.close()

    assert (4, 2) == (outcome.lost, outcome.idle)
    assert ("SIGKILL", "it died on probation, by SIGKILL") == (
        outcome.signal,
        outcome.reason,
    )


def test_an_exit_is_a_death_too(site: Site) -> None:
    """A successor that leaves by itself is taken back, with its exit code."""
    leaves = kinds.CRASHES.replace("ctypes.string_at(0)", "os._exit(3)")
    port = site.start(site.release("one"))
    with site.switching(site.release("two", behind=leaves), probation=60) as switching:
        wait_for(lambda: not site.noted(), "no connection but those that follow")
        switching.kill("SIGSEGV", port)
        outcome = switching.outcome()

    assert "it died on probation, with exit code 3" == outcome.reason
    assert (Result.TAKEN_BACK, "", 1) == (
        outcome.result,
        outcome.signal,
        outcome.lost,
    )
    assert b"hello one" == get(port).body


@pytest.mark.parametrize(
    ("code", "nodes", "reason"),
    [
        (SPOILS, True, "it is no longer ready: behind"),
        ("import sys\n", False, r"its last \d+ answers to HEAD / were failures"),
    ],
)
def test_what_is_no_longer_ready_goes(
    site: Site, code: str, *, nodes: bool, reason: str
) -> None:
    """Its nodes say so, or it answers with failures only; what it runs is finished."""
    hasty = "from pointsman.serving.handover import probe; probe._PAUSE = 0.05\n"
    port = site.start(site.release("one"))
    behind = SPOILT + kinds.WAITS + f"\nNODES = {nodes}\n"
    release = site.release("two", hasty + code, behind=behind)
    with site.switching(release, probation=60) as switching:
        with Client(port) as client, Client(port) as spoiler:
            client.send("/until")
            wait_for(release.begun, "a request on it")
            spoiler.send("/spoil")
            spoiler.lines.readline()
            wait_for(lambda: "answering again" in switching.steps, "the old one")
            release.go()
            answer = client.receive()
        outcome = switching.outcome()

    assert (Result.TAKEN_BACK, 0) == (outcome.result, outcome.lost)
    assert re.fullmatch(reason, outcome.reason)
    assert (b"hello two", b"hello one") == (answer.body, get(port).body)
    assert "answering again" == switching.steps[-1]


def test_what_is_frozen_goes(site: Site) -> None:
    """A stopped process answers nobody: the old one does, and it is killed."""
    port = site.start(site.release("one", kinds.HASTY))
    ini = kinds.SERVER.replace("drain_timeout = 25", "drain_timeout = 0.2")
    release = site.release("two", ini=ini)
    with site.switching(release, probation=60, hang_timeout=0.5) as switching:
        os.kill(switching.pid, signal.SIGSTOP)
        outcome = switching.outcome()

    assert Result.TAKEN_BACK is outcome.result
    assert outcome.reason.startswith("it hangs: it has been silent for")
    assert None is processes.start_time(outcome.pid)
    assert b"hello one" == get(port).body


def test_what_answers_nobody_goes(site: Site) -> None:
    """When every thread of it is stuck, its own request waits as long as any."""
    hasty = "from pointsman.serving.handover import probe; probe._PAUSE = 0.05\n"
    port = site.start(site.release("one", kinds.HASTY))
    ini = kinds.SERVER.replace("drain_timeout = 25", "drain_timeout = 0.2")
    release = site.release("two", hasty, ini=ini)
    with site.switching(release, probation=60, hang_timeout=0.5) as switching:
        clients = [Client(port) for _ in range(8)]
        for client in clients:
            client.send("/slow60")
        outcome = switching.outcome()
        for client in clients:
            with pytest.raises(LostError):
                client.receive()
            client.close()

    assert outcome.reason.startswith("it hangs: no request has been answered for")
    assert (Result.TAKEN_BACK, 8) == (outcome.result, outcome.lost)
    assert b"hello one" == get(port).body


def test_what_somebody_stops_goes(site: Site) -> None:
    """SIGTERM to the successor: it finishes, and the old one serves on."""
    port = site.start(site.release("one"))
    release = site.release("two", behind=kinds.WAITS)
    with site.switching(release, probation=60) as switching:
        with Client(port) as client:
            client.send("/until")
            wait_for(release.begun, "a request on it")
            os.kill(switching.pid, signal.SIGTERM)
            wait_for(lambda: "answering again" in switching.steps, "the old one")
            during = get(port).body
            release.go()
            body = client.receive().body
        outcome = switching.outcome()

    assert (b"hello one", b"hello two") == (during, body)
    assert ("it was stopped by somebody else", 0) == (outcome.reason, outcome.lost)


def test_it_can_be_taken_back_by_order(site: Site) -> None:
    """The operator's reason is the outcome's; the successor finishes what it runs."""
    port = site.start(site.release("one"))
    release = site.release("two", behind=kinds.WAITS)
    with site.switching(release, probation=60) as switching:
        with Client(port) as client:
            client.send("/until")
            wait_for(release.begun, "a request on it")
            handover.take_back(site.pid_file, "the watch says no")
            wait_for(lambda: "answering again" in switching.steps, "the old one")
            release.go()
            body = client.receive().body
        outcome = switching.outcome()

    assert (b"hello two", "the watch says no", 0) == (
        body,
        outcome.reason,
        outcome.lost,
    )
    assert b"hello one" == get(port).body


def test_it_can_be_committed_by_order(site: Site) -> None:
    """The probation need not be waited for."""
    port = site.start(site.release("one"))
    with site.switching(site.release("two"), probation=600) as switching:
        handover.commit(site.pid_file)
        outcome = switching.outcome()

    assert (Result.COMMITTED, outcome.pid) == (outcome.result, site.pid())
    assert b"hello two" == get(port).body


def test_a_long_request_stays_with_the_old_one(site: Site) -> None:
    """Who asked before the switch is answered by the release that he asked."""
    release = site.release("one", behind=kinds.WAITS)
    port = site.start(release)
    with Client(port) as client:
        client.send("/until")
        wait_for(release.begun, "the request")
        site.switch(site.release("two"))
        new = get(port).body
        release.go()
        old = client.receive()

    assert (b"hello two", b"hello one", True) == (new, old.body, old.closes)


def test_idle_connections_are_given_up_on_probation(site: Site) -> None:
    """One more answer, which closes; who asks nothing is let go after a grace."""
    port = site.start(site.release("one"))
    with Client(port) as asks, Client(port) as sleeps:
        for client in (asks, sleeps):
            client.send("/")
            client.receive()
        with site.switching(site.release("two"), probation=60):
            asks.send("/")
            last = asks.receive()
            end = sleeps.lines.read()

    assert (b"hello one", True, b"") == (last.body, last.closes, end)


def test_one_switch_at_a_time(site: Site) -> None:
    """The second is told of the first, and --status shows it."""
    site.start(site.release("one"))
    with site.switching(site.release("two"), probation=60) as switching:
        serving = site.current()
        with pytest.raises(ReleaseError, match=f"a switch to pid {switching.pid} is"):
            site.switch(site.release("three"))
        shown = site.paster("--status")

    assert ("probation", switching.pid) == (serving.switching, serving.successor)
    assert f"switch     probation: to pid {switching.pid}, release " in shown.stdout


def test_who_asked_may_die(site: Site) -> None:
    """Without its operator a switch goes on as planned."""
    port = site.start(site.release("one"))
    release = site.release("two")
    code = (
        "import sys; from pathlib import Path; from pointsman.serving import handover\n"
        "handover.switch(Path(sys.argv[1]), sys.argv[2:], probation=1,"
        " on_step=lambda step: print(step.name, flush=True))"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(site.pid_file), *release.argv],
        env=site.environment(),
        stdout=subprocess.PIPE,
    ) as operator:
        assert operator.stdout is not None
        while operator.stdout.readline() != b"probation\n":
            pass
        site.remember(site.current().successor)
        operator.kill()
    wait_for(lambda: site.current().pid == site.status()["pid"], "an answer")
    wait_for(lambda: get(port).body == b"hello two", "the new one")

    wait_for(lambda: site.pid() == site.current().pid != operator.pid, "a commit")
    wait_for(lambda: not site.current().switching, "the end of the switch")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be two users")
def test_strangers_decide_nothing(site: Site) -> None:
    """Even with the socket's mode widened, only root and the own user may ask."""
    site.start(site.release("one"))
    desk = status.path_beside(site.pid_file)
    desk.chmod(0o666)
    let_everybody_in(site.folder)
    code = (
        "import socket, sys\n"
        "s = socket.socket(socket.AF_UNIX)\n"
        "s.connect(sys.argv[1])\n"
        'lines = s.makefile("rw")\n'
        'for ask in ("switch", "commit", "take back"):\n'
        '    print(\'{"ask": "%s", "argv": ["x"]}\' % ask, file=lines, flush=True)\n'
        '    print(lines.readline(), end="")'
    )
    told = subprocess.run(
        ["/usr/bin/python3", "-c", code, str(desk)],
        user=65534,
        group=65534,
        capture_output=True,
        text=True,
        check=False,
        cwd="/",
    )

    assert 3 == told.stdout.count("only root and the server's own user may ask"), told
