"""Switching a site under a real Apache, with clients that count what they lose.

Broken on purpose, and seen to fail: ``graceful`` in place of SIGUSR1 to the processes
(requests are cut); processes that count as moved when they have locked their tree and
have not loaded it; a script that loads nothing else when a release cannot be loaded.
"""

from __future__ import annotations

import os
import signal
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from functional.releases.apache_site import ApacheSite
from functional.releases.sites_of_trees import killed_at
from functional.serving.hammer import Client, Hammer
from pointsman.releases.layout import Release
from waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

ONE, TWO = Release("site", "1.0"), Release("site", "2.0")


@pytest.fixture(name="folder")
def _folder() -> Path:
    """Give a folder that other users can reach, which pytest's own are not."""
    folder = Path(tempfile.mkdtemp(prefix="pointsman-"))
    folder.chmod(0o755)
    return folder


@pytest.fixture(name="site")
def _site(folder: Path) -> Iterator[ApacheSite]:
    """Give a site that serves release 1.0."""
    site = ApacheSite(folder)
    try:
        site.build("1.0")
        site.activation().activate(ONE)
        yield site.start()
    finally:
        site.stop()


def test_first_release_is_what_apache_starts(site: ApacheSite) -> None:
    """Apache includes the site's configuration, and loads what was activated first."""
    assert "1.0 1.0" == site.get()
    assert ONE == site.store.current()
    wait_for(lambda: 2 == len(site.pids()), "both processes have loaded it")


def test_switch_and_back_under_load(site: ApacheSite) -> None:
    """No request is lost or torn, and one that runs finishes on the old release."""
    site.build("2.0")
    before = site.pids()
    with Client(site.port) as slow:
        load = Hammer(site.port, ("/", "/slow0.02")).start(2, 2)
        slow.send("/slow2")
        try:
            report = site.activation().activate(TWO, watch=0.5)
            last, now = slow.receive().body, site.get()
            moved = not before & site.pids()
            back = site.activation().rollback(watch=0)
        finally:
            load.stop()

    assert ("activated", "") == (report.result, report.reason)
    assert (b"1.0 1.0", "2.0 2.0", True) == (last, now, moved)
    assert ("rolled back", "1.0 1.0") == (back.result, site.get())
    assert ([], 0) == (load.lost, load.refused)
    assert {b"1.0 1.0", b"2.0 2.0"} == load.bodies
    assert ONE == site.store.current()


def test_release_that_cannot_be_loaded(site: ApacheSite) -> None:
    """No client sees a release whose import fails: the one before answers all along."""
    site.build("2.0", "import site_late; raise RuntimeError('no database')")
    load = Hammer(site.port, ("/", "/slow0.02")).start(2, 2)
    try:
        report = site.activation().activate(TWO, watch=5)
    finally:
        load.stop()

    assert "failed" == report.result
    assert "RuntimeError: no database" in report.reason
    assert ([], 0, {b"1.0 1.0"}) == (load.lost, load.refused, load.bodies)
    assert ONE == site.store.current()
    assert "no database" in site.store.quarantined(TWO)
    wait_for(lambda: 2 == len(site.pids()), "two processes serve again")


def test_release_that_hangs(site: ApacheSite) -> None:
    """One whose import never comes back is given up, while all others answer."""
    site.build("2.0", "time.sleep(600)")
    load = Hammer(site.port, ("/", "/slow0.02")).start(2, 2)
    try:
        report = site.activation(server=site.server(ready_timeout=1)).activate(TWO)
    finally:
        load.stop()

    assert "failed" == report.result
    assert report.reason.startswith("no process of Apache has loaded it in 1 s")
    assert ([], 0, {b"1.0 1.0"}) == (load.lost, load.refused, load.bodies)
    assert ONE == site.store.current()
    wait_for(lambda: 2 == len(site.pids()), "two processes serve again")


def test_release_that_dies(site: ApacheSite) -> None:
    """One whose processes die on probation is taken back."""
    site.build("2.0")
    over = threading.Event()

    def kill() -> None:
        killed: set[int] = set()
        while not over.wait(0.01):
            for pid in site.pids() - killed:
                os.kill(pid, signal.SIGKILL)
                killed.add(pid)

    killer = threading.Thread(target=kill)

    def told(name: str, _detail: str) -> None:
        if name == "watching":
            killer.start()
        elif name == "taking back":
            over.set()

    try:
        report = site.activation(on_step=told).activate(TWO, watch=20)
    finally:
        over.set()
        killer.join()

    assert "failed" == report.result
    assert report.reason.endswith("processes of Apache have died with it")
    assert ("1.0 1.0", ONE) == (site.get(), site.store.current())


def test_killed_in_the_middle(site: ApacheSite) -> None:
    """A command that is killed leaves all answered; the next one goes back first."""
    site.build("2.0")
    load = Hammer(site.port, ("/",)).start(1, 1)
    try:
        activation = site.activation()
        killed_at("release.moved", lambda: activation.activate(TWO, watch=0))
        settled = site.activation().settle()
        wait_for(lambda: 2 == len(site.pids()), "two processes serve")
        assert settled is not None
        assert ("forgotten", "1.0 1.0") == (settled.result, site.get())
        assert ONE == site.store.current()
        assert "activated" == site.activation().activate(TWO, watch=0).result
    finally:
        load.stop()

    assert ([], 0, "2.0 2.0") == (load.lost, load.refused, site.get())
