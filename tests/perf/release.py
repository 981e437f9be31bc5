"""Releases that take over from each other under load: what is lost, how long it takes.

Two servers of each switch run on this machine, beside the clients: with two cores, the
start of a Python competes with the requests.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from functional.handover import site as kinds
from functional.handover.bulk import Bulk
from functional.handover.site import Site
from functional.serving.hammer import Client, Hammer, get
from functional.serving.place import PASTER
from perf import sources, trees
from perf.crowd import crowd, plan
from perf.table import Table, met, ratio
from pointsman.serving.handover import Result
from waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from perf.crowd import Answers
    from perf.table import Cell
    from pointsman.serving.handover import Outcome

SWITCHES, QUICK_SWITCHES = 50, 6
CRASHES, QUICK_CRASHES = 10, 2
STARTS, QUICK_STARTS = 5, 1
_PERIOD = 0.02  # seconds between the requests of one client
_PAUSE = 0.3  # seconds between two switches
_LIMIT_MS = 100.0
# Every fifth release fails, one kind after the other; one hangs when it is replaced.
_FAILING = ("import", "crash", "unready", "broken", "hangs")
_BRIEF = kinds.SERVER.replace("drain_timeout = 25", "drain_timeout = 8")
_SITE = """\
[app:main]
use = egg:pointsman
service_sources = {folder}/service-sources.txt
work_dir = {folder}/var
rehearse = no

[server:main]
use = egg:pointsman#server
port = 0
threads = 16
drain_timeout = 8
keep_alive_grace = 0.5
"""


def measure(*, quick: bool = False) -> list[Table]:
    """Measure all of it."""
    switches = QUICK_SWITCHES if quick else SWITCHES
    return [
        lost(switches),
        waits(switches),
        crashes(QUICK_CRASHES if quick else CRASHES),
        starts(QUICK_STARTS if quick else STARTS),
        *trees.measure(quick=quick),
    ]


@contextmanager
def _site() -> Iterator[Site]:
    with tempfile.TemporaryDirectory(prefix="pointsman-") as name:
        site = Site(Path(name))
        try:
            yield site
        finally:
            site.end_all()


# -- what is lost


def lost(switches: int) -> Table:
    """Switch under load; every fifth successor fails."""
    with _site() as site:
        port = site.start(site.release("v0", ini=_BRIEF))
        hammer, bulk = site.under(Hammer(port).start()), site.under(Bulk(port))
        outcomes = [_switched(site, number) for number in range(1, switches + 1)]
        wait_for(lambda: bulk.ended > 3, "a body of each kind")
        bulk.stop()
        hammer.stop()
    cut = [*hammer.lost, *bulk.lost]
    rows: list[tuple[Cell, ...]] = [
        ("switches", len(outcomes), ""),
        *(
            (
                f"... {result.value}",
                [each.result for each in outcomes].count(result),
                "",
            )
            for result in Result
        ),
        ("requests", hammer.answered.total() + bulk.ended, ""),
        ("... of 30 MB, or queued", bulk.ended, ""),
        ("lost", len(cut), met(len(cut), 1)),
        ("refused connections", hammer.refused, met(hammer.refused, 1)),
        ("releases seen", len(hammer.bodies), ""),
    ]
    return Table(
        f"release: {switches} switches under load, every fifth one fails",
        ("", "", "wanted"),
        tuple(rows),
        tuple(f"lost: {text}" for text in cut[:3]),
    )


def _switched(site: Site, number: int) -> Outcome:
    """Switch to release ``number``, or to one that fails."""
    if number % 5 == 0:
        code, behind = kinds.FAILING[_FAILING[number // 5 % len(_FAILING)]]
        broken = site.release(f"v{number}", code + "\n", ini=_BRIEF, behind=behind)
        return site.switch(broken, ready_timeout=1.0)
    if number % 5 == 1:  # its predecessor's turn to end comes with the next one
        hangs = site.release(f"v{number}", kinds.HANGS_AT_END, ini=_BRIEF)
        return site.switch(hangs)
    hasty = "from pointsman.serving.handover import successor as s; s._MARGIN = 1\n"
    return site.switch(site.release(f"v{number}", hasty, ini=_BRIEF))


# -- how long clients wait


@dataclass(frozen=True)
class Waits:
    """What clients got without switches, and with them."""

    steady: Answers
    switching: Answers


def waits(switches: int) -> Table:
    """Let clients ask a site of services without a switch, then with many."""
    found = _asked(switches)
    usual = found.steady.latency(0.99) * 1e3
    longest = [max(a.took for a in one.all) * 1e3 for one in _both(found)]
    own = [_longest_of_server(one) * 1e3 for one in _both(found)]
    failed = [len(one.failed) for one in _both(found)]
    rows: list[tuple[Cell, ...]] = [
        ("requests", *(len(one.all) for one in _both(found)), "", ""),
        ("failed or cut", *failed, met(failed[1], 1), ""),
        *(
            (f"p{share:g}, ms", *_latencies(found, share / 100), "", "")
            for share in (50, 99, 99.9)
        ),
        ("longest wait, ms", *longest, "", ratio(longest[1], usual)),
        (
            "... without the clients' own",
            *own,
            met(own[1], 3 * usual),
            ratio(own[1], usual),
        ),
    ]
    return Table(
        f"release: {switches} switches of a site with a ledger, {1 / _PERIOD:g} "
        "requests/s from each of 8 clients",
        ("", "steady", "switching", "wanted", "by p99 steady"),
        tuple(rows),
        (
            "“the clients' own” is how long the machine did not run the clients, as in",
            "`load`; what is wanted is less than three times the p99 without a switch",
        ),
    )


def _both(found: Waits) -> tuple[Answers, Answers]:
    return found.steady, found.switching


def _latencies(found: Waits, share: float) -> tuple[float, float]:
    return found.steady.latency(share) * 1e3, found.switching.latency(share) * 1e3


def _longest_of_server(answers: Answers) -> float:
    """Return the longest wait without what the machine kept the client from running."""
    longest = 0.0
    for each in answers.all:
        began = each.ended - each.took
        held = sum(
            max(0.0, min(end, each.ended) - max(end - late, began))
            for end, late in answers.held_up
            if end > began and end - late < each.ended
        )
        longest = max(longest, each.took - held)
    return longest


def _asked(switches: int) -> Waits:
    with _site() as site:
        sources.package(site.folder, 1)
        ini = _SITE.format(folder=site.folder)
        port = site.start(site.release("v0", ini=ini))
        release = site.release("next", ini=ini)
        known = sources.requests()
        asked = [known[kind] for kind in ("plain", "stream", "upload", "file")]
        plans = [
            plan(asked[n % 4 :] + asked[: n % 4], keep_alive=n < 4, period=_PERIOD)
            for n in range(8)
        ]
        with crowd(port, plans) as clients:
            time.sleep(2)
            begun = time.monotonic()
            time.sleep(switches * (0.7 + _PAUSE))
            middle = time.monotonic()
            for _ in range(switches):
                site.switch(release)
                time.sleep(_PAUSE)
            ended = time.monotonic()
            answers = clients.stop()
    return Waits(answers.between(begun, middle), answers.between(middle, ended))


# -- crashes


def crashes(number: int) -> Table:
    """Kill successors on probation; see how long the next client waits."""
    new, queued, counted = [], [], []
    with _site() as site:
        port = site.start(site.release("old"))
        for turn in range(number):
            found = _crash(site, port, turn)
            new.append(found[0] * 1e3)
            queued.append(found[1] * 1e3)
            counted.append(found[2])
    return Table(
        f"release: {number} successors killed on probation",
        ("ms until the old release answers", "median", "longest", "wanted"),
        (
            ("a new connection", median(new), max(new), met(max(new), _LIMIT_MS)),
            (
                "one in the queue",
                median(queued),
                max(queued),
                met(max(queued), _LIMIT_MS),
            ),
        ),
        (f"requests in flight counted right: {counted.count(True)} of {number}",),
    )


def _crash(site: Site, port: int, turn: int) -> tuple[float, float, bool]:
    """Return both times in seconds, and whether the three lost ones were counted."""
    with site.switching(site.release(f"dies{turn}"), probation=60) as switching:
        in_flight = [Client(port) for _ in range(3)]
        for client in in_flight:
            client.send("/slow60")
        wait_for(lambda: site.in_flight(switching.pid) == 3, "requests on it")
        os.kill(switching.pid, signal.SIGSTOP)  # so that the next one stays queued
        with Client(port) as waiting:
            waiting.send("/")
            killed = time.monotonic()
            os.kill(switching.pid, signal.SIGKILL)
            get(port)
            new = time.monotonic() - killed
            waiting.receive()
            queued = time.monotonic() - killed
        outcome = switching.outcome()
        for client in in_flight:
            client.close()
    return new, queued, outcome.lost == len(in_flight)


# -- start and stop


def starts(number: int) -> Table:
    """Start a site of services in the background and stop it, as an operator does."""
    to_answer, to_return, to_stop = [], [], []
    for _ in range(number):
        with tempfile.TemporaryDirectory(prefix="pointsman-") as name:
            folder = Path(name)
            sources.package(folder, 1)
            (folder / "deploy.ini").write_text(_SITE.format(folder=folder))
            began = time.monotonic()
            said = _paster(folder, "--daemon", "deploy.ini")
            to_return.append(time.monotonic() - began)
            found = re.search(r"serving on http://[\d.]+:(\d+)", said)
            if found is None:
                raise AssertionError(said)
            get(int(found[1]), "/shop/plain")
            to_answer.append(time.monotonic() - began)
            began = time.monotonic()
            _paster(folder, "--stop-daemon")
            to_stop.append(time.monotonic() - began)
    return Table(
        f"release: {number} starts and stops of a site with a ledger",
        ("seconds", "median", "longest", "wanted"),
        tuple(
            (name, median(took), max(took), met(max(took), 2))
            for name, took in (
                ("paster serve --daemon returns", to_return),
                ("... and the next answer is there", to_answer),
                ("--stop-daemon, idle", to_stop),
            )
        ),
    )


def _paster(folder: Path, *words: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", PASTER, "serve", *words],
        cwd=folder,
        env=sources.environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout
