"""A successor that does not get ready has changed nothing, and the reason is told."""

from __future__ import annotations

import re
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from functional.handover import site as kinds
from functional.serving.hammer import get
from pointsman.errors import ReleaseError
from pointsman.serving import handover, processes
from pointsman.serving.handover import Result
from waiting import wait_for

if TYPE_CHECKING:
    from functional.handover.site import Site


@pytest.mark.parametrize(
    ("kind", "reason", "ended_by"),
    [
        ("import", "No module named 'nothing'", ""),
        ("hangs", "it was not ready within 0.7 s", ""),
        ("crash", "it died while it started, by SIGSEGV", "SIGSEGV"),
        ("unready", "it was not ready within 0.7 s", ""),
        ("broken", "answers HEAD / with 500, where the running server answers 200", ""),
    ],
)
def test_what_fails_says_why(site: Site, kind: str, reason: str, ended_by: str) -> None:
    """The reason is told; the old server, its pid file and its port stay."""
    code, behind = kinds.FAILING[kind]
    port = site.start(site.release("one"))
    before = site.pid()

    timeout = 0.7 if "within 0.7 s" in reason else 60
    release = site.release("two", code + "\n", behind=behind)
    outcome = site.switch(release, ready_timeout=timeout)

    assert (Result.NOT_READY, ended_by, 0) == (
        outcome.result,
        outcome.signal,
        outcome.lost,
    )
    assert reason in outcome.reason
    assert (b"hello one", before) == (get(port).body, site.pid())
    assert None is processes.start_time(outcome.pid)
    assert outcome == site.current().last


def test_no_client_meets_what_is_not_ready(site: Site) -> None:
    """It has the sockets and its server runs, but it does not accept yet."""
    port = site.start(site.release("one"))
    release = site.release("two", kinds.NEVER_READY)
    with site.switching(release, until="started") as switching:
        wait_for(lambda: 2 == site.output().count("serving on http"), "its server")
        bodies = {get(port).body for _ in range(200)}
        handover.take_back(site.pid_file, "seen enough")
        outcome = switching.outcome()

    assert {b"hello one"} == bodies
    assert (Result.NOT_READY, "seen enough") == (outcome.result, outcome.reason)


def test_the_traceback_of_the_application_is_told(site: Site) -> None:
    """Whoever asked need not look for a log."""
    site.start(site.release("one"))

    outcome = site.switch(site.release("two", kinds.IMPORT + "\n"))

    assert 'two/served.py", line 1, in <module>\n    import nothing' in (
        outcome.traceback
    )


def test_who_ignores_the_end_is_killed(site: Site) -> None:
    """A successor that is deaf to SIGTERM does not outlive its time for long."""
    hasty = "from pointsman.serving.handover import incumbent as i; i._UNUSED = 0.1\n"
    port = site.start(site.release("one", hasty))

    outcome = site.switch(site.release("two", kinds.DEAF_AT_START), ready_timeout=0.5)

    assert "it was not ready within 0.5 s" == outcome.reason
    assert None is processes.start_time(outcome.pid)
    assert b"hello one" == get(port).body


def test_a_program_that_is_not_there(site: Site) -> None:
    """The sentence names it."""
    site.start(site.release("one"))
    missing = site.folder / "gone" / "bin" / "paster"

    outcome = handover.switch(site.pid_file, [missing, "serve", "deploy.ini"])

    assert (Result.NOT_READY, 0) == (outcome.result, outcome.pid)
    assert f"{missing} cannot be started: No such file or directory" == outcome.reason


def test_a_program_that_knows_nothing_of_switches(site: Site) -> None:
    """Whatever it does, it is not ready, and it is ended."""
    site.start(site.release("one"))

    ends = handover.switch(site.pid_file, [sys.executable, "-c", "raise SystemExit(7)"])
    stays = handover.switch(site.pid_file, ["/bin/sleep", "99"], ready_timeout=0.3)

    assert "it died while it started, with exit code 7" == ends.reason
    assert "it was not ready within 0.3 s" == stays.reason
    assert None is processes.start_time(stays.pid)


def test_a_wrapper_must_become_the_server(site: Site) -> None:
    """A script that starts the server as its child cannot be watched: it is refused.

    That child is ended: as an orphan it would be in charge when the site stops.
    """
    site.start(site.release("one"))
    release = site.release("two")
    inner = f"import subprocess, sys; sys.exit(subprocess.call({list(release.argv)!r}, "
    wrapper = [sys.executable, "-c", inner + "close_fds=False))"]

    outcome = handover.switch(site.pid_file, wrapper)

    found = re.fullmatch(
        r"\S+ has started the server as a child \(pid (\d+) below \d+\): it must "
        "become it, by exec",
        outcome.reason,
    )
    assert found
    memory = Path(f"/proc/{found[1]}/maps")
    # By itself it gives up after five seconds; before that it would be that orphan.
    wait_for(lambda: not memory.exists() or not memory.read_bytes(), "it is gone", 3)


def test_a_port_of_a_stranger(site: Site) -> None:
    """A new address that somebody else has is told like at any start."""
    port = site.start(site.release("one"))
    with socket.socket() as stranger:
        stranger.bind(("127.0.0.1", 0))
        stranger.listen()
        taken = stranger.getsockname()[1]
        ini = kinds.SERVER.replace("port = 0", f"port = {taken}", 1)

        outcome = site.switch(site.release("two", ini=ini))

    assert Result.NOT_READY is outcome.result
    assert f"cannot listen on 127.0.0.1:{taken}: the port is in use" in outcome.reason
    assert b"hello one" == get(port).body


def test_another_pid_file_is_refused(site: Site, tmp_path: Path) -> None:
    """Two servers of one site have one pid file; nothing is written to the other."""
    site.start(site.release("one"))
    release, other = site.release("two"), tmp_path / "other.pid"
    words = [
        str(other) if word == str(site.pid_file) else word for word in release.argv
    ]

    outcome = handover.switch(site.pid_file, words)

    assert (
        f"the running server has the pid file {site.pid_file}, this one is to have "
        f"{other}: they must be the same"
    ) == outcome.reason
    assert not other.exists()


def test_nobody_to_ask(site: Site) -> None:
    """Without a server, or with a killed one's files, there is no switch."""
    with pytest.raises(ReleaseError, match="no server runs with the pid file"):
        site.switch(site.release("one"))
    release = site.release("two")
    site.start(release)
    killed = site.kill_first()

    with pytest.raises(ReleaseError, match=rf"\(pid {killed} is gone\)"):
        site.switch(release)
    assert site.pid_file.with_name("site.pid.sock").exists()
    assert None is handover.current(site.pid_file)
    site.start(release)
    assert killed != site.pid()


def test_a_server_of_somebody_else_hands_nothing_over(site: Site) -> None:
    """Neither can it take over: the reason names the setting."""
    foreign = (
        kinds.SERVER[: kinds.SERVER.index("[server:main]")]
        + "[server:main]\nuse = egg:waitress#main\nlisten = 127.0.0.1:0\n"
    )
    plain = site.release("plain")
    site.start(plain)
    outcome = site.switch(site.release("foreign", ini=foreign))
    site.kill_first()
    site.start_foreign(site.release("other", ini=foreign))

    assert "use = egg:pointsman#server" in outcome.reason
    with pytest.raises(ReleaseError, match="has no sockets to hand over"):
        site.switch(plain)
