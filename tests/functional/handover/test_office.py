"""The pid file and the desk tell the truth at every moment, whoever dies when."""

from __future__ import annotations

import os
import signal
import threading
from typing import TYPE_CHECKING

import pytest

from functional.handover import site as kinds
from functional.serving.hammer import Client, get
from pointsman.serving import handover, pidfile, processes, status
from pointsman.serving.handover import Result
from waiting import wait_for

if TYPE_CHECKING:
    from functional.handover.site import Site

LOADS_LONG = """
import pathlib, time
while not pathlib.Path({path!r}).exists():
    time.sleep(0.01)
"""


class Witness(threading.Thread):
    """Reads the pid file and asks the desk, all the time."""

    def __init__(self, site: Site) -> None:
        super().__init__()
        self.lies: list[str] = []
        self.looks = 0
        self.seen: list[int] = []
        self._site, self._over = site, threading.Event()

    def run(self) -> None:
        while not self._over.is_set():
            self.looks += 1
            recorded = pidfile.read(self._site.pid_file)
            if recorded is None or not recorded.alive():
                self.lies.append(f"the file names {recorded}")
                continue
            with status.reached(self._site.pid_file) as line:
                said = line.ask("status") if line else {}
            now = pidfile.read(self._site.pid_file)
            if now is None or said.get("pid") not in {recorded.pid, now.pid}:
                self.lies.append(f"{recorded.pid}, {now}: the desk says {said}")
            elif said["pid"] not in self.seen:
                self.seen.append(said["pid"])

    def stop(self) -> None:
        self._over.set()
        self.join()


def test_the_pid_file_never_lies(site: Site) -> None:
    """Over switches that succeed, fail and are taken back, it names who answers."""
    site.start(site.release("v0"))
    witness = site.under(Witness(site))
    witness.start()
    pids = [site.pid()]
    pids += [site.switch(site.release(f"v{number}")).pid for number in range(1, 4)]
    site.switch(site.release("broken", kinds.IMPORT + "\n"))
    with site.switching(site.release("dies"), probation=60) as switching:
        os.kill(switching.pid, signal.SIGKILL)
        switching.outcome()
    wait_for(lambda: witness.seen == pids, "the last one")
    witness.stop()

    assert [] == witness.lies
    assert pids[-1] == site.pid()


def test_nobody_else_can_take_the_place(site: Site) -> None:
    """Before, during and after a switch a second start is refused."""
    site.start(site.release("one"))
    stranger = site.release("stranger")

    def refused() -> bool:
        done = site.paster(str(stranger.folder / "deploy.ini"))
        return "a server is running already with the pid file" in done.stderr

    before = refused()
    with site.switching(site.release("two"), probation=60) as switching:
        during = refused()
        handover.commit(site.pid_file)
        switching.outcome()
    after = refused()

    assert [True, True, True] == [before, during, after]


def test_the_files_are_removed_by_the_last_one(site: Site) -> None:
    """The incumbent's end leaves them; the successor's end takes them away."""
    site.start(site.release("one"))
    first = site.pid()
    site.switch(site.release("two"))
    wait_for(lambda: processes.start_time(first) is None, "the end of the first")
    between = site.paster("--status").returncode
    stopped = site.paster("--stop-daemon")

    assert (0, 0) == (between, stopped.returncode), stopped.stderr
    assert [] == [path for path in site.folder.iterdir() if "pid" in path.suffixes[:1]]
    assert 3 == site.paster("--status").returncode


def test_a_stop_on_probation_ends_both(site: Site) -> None:
    """Both finish what they have begun, and then nobody serves."""
    port = site.start(site.release("one"))
    release = site.release("two", behind=kinds.WAITS)
    with site.switching(release, probation=60) as switching:
        with Client(port) as client:
            client.send("/until")
            wait_for(release.begun, "a request on it")
            with site.stopping() as stop:
                wait_for(lambda: "answering again" in switching.steps, "the stop")
                release.go()
                body = client.receive().body
        outcome = switching.outcome()

    assert (0, b"hello two") == (stop.returncode, body)
    assert (Result.TAKEN_BACK, "the running server was stopped") == (
        outcome.result,
        outcome.reason,
    )
    assert None is processes.start_time(switching.pid)
    assert 3 == site.paster("--status").returncode


def test_a_stop_while_it_loads_ends_both(site: Site) -> None:
    """What is not ready yet is not left behind."""
    site.start(site.release("one"))
    never = LOADS_LONG.format(path=str(site.folder / "never"))
    with site.switching(site.release("two", never), until="started") as switching:
        stopped = site.paster("--stop-daemon")
        outcome = switching.outcome()

    assert (0, Result.NOT_READY) == (stopped.returncode, outcome.result)
    assert None is processes.start_time(switching.pid)


def test_a_stop_follows_a_commit(site: Site) -> None:
    """Whoever stops the incumbent in the moment of the commit stops the successor."""
    release = site.release("one", behind=kinds.WAITS)
    port = site.start(release)
    first = site.pid()
    with Client(port) as client:
        client.send("/until")  # so that the incumbent lives on after the commit
        wait_for(release.begun, "the request")
        recorded = site.pid_file.read_bytes()
        site.switch(site.release("two"))
        second = site.pid()
        committed = site.pid_file.read_bytes()
        site.pid_file.write_bytes(recorded)  # what the stop reads, a moment too early
        with site.stopping() as stop:
            assert stop.stdout is not None
            said = stop.stdout.readline()
            site.pid_file.write_bytes(committed)
            release.go()
            body = client.receive().body

    assert (0, b"hello one") == (stop.returncode, body), said
    assert [None, None] == [processes.start_time(pid) for pid in (first, second)]


@pytest.mark.parametrize("moment", ["loading", "probation"])
def test_an_orphan_is_in_charge(site: Site, moment: str) -> None:
    """The incumbent is killed: whoever is left serves, and the pid file names it."""
    port = site.start(site.release("one"))
    go = site.folder / "go"
    release = site.release("two", LOADS_LONG.format(path=str(go)))
    if moment == "probation":
        go.touch()
    until = "started" if moment == "loading" else "probation"
    with site.switching(release, probation=60, until=until) as switching:
        wait_for(lambda: site.current().successor == switching.pid, "its name")
        wait_for(lambda: bool(site.status()["switch"]["release"]), "its release")
        site.kill_first()
        wait_for(lambda: site.pid() == switching.pid, "the pid file")
        found = site.current()
        go.touch()
        wait_for(lambda: get(port).body == b"hello two", "an answer")
        stopped = site.paster("--stop-daemon")

    assert switching.pid == found.pid
    assert 0 == stopped.returncode, stopped.stderr
    assert 3 == site.paster("--status").returncode


def test_who_hangs_at_its_end_is_ended(site: Site) -> None:
    """A former server that does not end in its time is killed by its successor."""
    ini = kinds.SERVER.replace("drain_timeout = 25", "drain_timeout = 0.2")
    site.start(site.release("one", kinds.HANGS_AT_END, ini=ini))
    first = site.pid()
    hasty = "from pointsman.serving.handover import successor as s; s._MARGIN = 0.2\n"

    outcome = site.switch(site.release("two", hasty))
    wait_for(lambda: processes.start_time(first) is None, "the end of the first")

    assert outcome.committed
    assert f"the former server (pid {first}) has not ended within 0.4 s" in wait_for(
        site.output, "the log"
    )


def test_a_restart_refuses_nobody(site: Site) -> None:
    """A restart is a switch: the port is never without a server."""
    release = site.release("one", behind=kinds.WAITS)
    port = site.start(release)
    first = site.pid()
    with Client(port) as client:
        client.send("/until")
        wait_for(release.begun, "the request")
        restarted = site.restart(release)
        release.go()
        body = client.receive().body
    second = site.pid()
    (release.folder / "served.py").write_text(kinds.IMPORT + "\n")
    failed = site.restart(release)

    assert (0, b"hello one") == (restarted.returncode, body), restarted.stderr
    assert first != second == site.pid()
    assert (1, 1) == (
        failed.returncode,
        failed.stderr.count("not restarted, the former server goes on: "),
    )
    assert b"hello one" == get(port).body


def test_signals_reach_both(site: Site) -> None:
    """On probation both serve, so both reload, and both open their log anew."""
    site.start(site.release("one"))
    with site.switching(site.release("two"), probation=60):
        os.kill(site.pid(), signal.SIGHUP)
        wait_for(lambda: site.output().count("SIGHUP: reloading") == 2, "both")
