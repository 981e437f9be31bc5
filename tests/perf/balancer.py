"""Two nodes behind a load balancer: deployments under load, while nodes are killed.

Every so many deployments one of the two nodes is ended with ``kill -9``, in the middle
of one; the other decides alone, and the dead one is started again.  What a client had
asked before that moment and got no answer for was in flight on the dead process: that
is counted.  Whatever else goes wrong is a loss.
"""

from __future__ import annotations

import shutil
import statistics
import tempfile
import threading
import time
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any

from balancers import Haproxy
from cluster_site import ClusterSite, shop, stock
from perf.crowd import Answers, crowd, plan
from perf.table import Table, met
from system_packages import require
from waiting import wait_for

if TYPE_CHECKING:
    from balancers import Balancer
    from cluster_processes import Server
    from perf.crowd import Answer

DEPLOYMENTS, QUICK_DEPLOYMENTS, KILL_EVERY = 200, 20, 20
_PERIOD = 0.015  # seconds between the requests of one client
_AFTER = 0.012  # seconds of a deployment until a node is killed: it is staging
_INTERVAL = 0.1  # seconds between the beginnings of two deployments, at least

#: So that something is in flight whenever a node is killed.
_SLOW = """

class Slow(Service):
    path = "/slow"

    def handle(self, request):
        import time
        time.sleep(0.05)
        return str(VERSION) + " " + str(stock.VERSION)
"""


@dataclass
class Run:
    """What a run has shown; times are monotonic seconds."""

    answers: Answers = field(default_factory=lambda: Answers(()))
    killed: list[tuple[float, float]] = field(default_factory=list)  # until reaped
    took: list[float] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)  # deployments

    @property
    def in_flight(self) -> list[Answer]:
        """Return what was lost with the process that had it, or could have."""
        return [one for one in self._wrong() if self._spans_a_kill(one)]

    @property
    def lost(self) -> list[str]:
        """Return what was lost besides, and what was torn."""
        wrong = [one.wrong for one in self._wrong() if not self._spans_a_kill(one)]
        return [*wrong, *self.answers.torn]

    def _wrong(self) -> list[Answer]:
        return [one for one in self.answers.all if one.wrong.startswith("failed")]

    def _spans_a_kill(self, one: Answer) -> bool:
        """Tell whether it was under way while a process was dying.

        The kernel closes its sockets at the end of that, and takes requests till then.
        """
        begun = one.ended - one.took
        return any(begun <= dead and one.ended >= at for at, dead in self.killed)


def measure(*, quick: bool = False, number: int = 0) -> list[Table]:
    """Deploy ``number`` times, 200 by default, and kill a node every 20 of them."""
    require("/usr/sbin/haproxy", "haproxy")
    folder = Path(tempfile.mkdtemp(prefix="pointsman-"))
    try:
        with ClusterSite(folder) as cluster:
            wanted = number or (QUICK_DEPLOYMENTS if quick else DEPLOYMENTS)
            return [_table(run(cluster, wanted, 10 if quick else KILL_EVERY))]
    finally:
        shutil.rmtree(folder)


def run(cluster: ClusterSite, number: int, kill_every: int) -> Run:
    """Deploy under load through a balancer of two nodes, which are killed in turn."""
    nodes = [
        cluster.server(name, work_dir=f"%(here)s/{name}") for name in ("one", "two")
    ]
    for node in nodes:
        node.start()
    cluster.wait_for_nodes(2)
    nodes[0].deploy(**_sources(1))
    with Haproxy(cluster.folder, nodes).start() as front:
        site = _Site(cluster, front, nodes)
        site.wait_for_both()
        found = Run()
        with crowd(front.port, _plans()) as clients:
            for turn in range(1, number + 1):
                victim = turn // kill_every if turn % kill_every == 0 else None
                site.deploy(turn + 1, victim, found)
            found.answers = clients.stop()
    return found


def _sources(version: int) -> dict[str, str]:
    return {"shop": shop(version, _SLOW), "stock": stock(version)}


def _plans() -> list[dict[str, Any]]:
    quick, slow = ({"kind": kind, "path": f"/{kind}"} for kind in ("shop", "slow"))
    return [
        plan([one], keep_alive=keep_alive, period=_PERIOD)
        for keep_alive in (True, False)
        for one in (quick, quick, slow)
    ]


@dataclass(frozen=True)
class _Site:
    """The nodes, and who balances their load."""

    cluster: ClusterSite
    front: Balancer
    nodes: list[Server]

    def wait_for_both(self) -> None:
        """Wait until both nodes are ready and asked."""
        self.cluster.wait_for_nodes(2)
        wait_for(lambda: len(self.front.serving(0.1)) == 2, "both nodes are asked", 60)

    def deploy(self, version: int, kills: int | None, found: Run) -> None:
        """Deploy a version; end one of the nodes meanwhile, the other one each time."""
        begun = time.monotonic()
        victim = None if kills is None else self.nodes[kills % 2]
        timer = threading.Timer(_AFTER, _kill, (victim, found))
        if victim is not None:
            timer.start()
        goes_on = next(node for node in self.nodes if node is not victim)
        answer = goes_on.post(_sources(version))
        found.took.append(time.monotonic() - begun)
        if answer.status_code != HTTPStatus.OK:
            found.refused.append(f"{answer.status_code}: {answer.text[:200]}")
        if victim is not None:
            timer.join()
            victim.start()
            self.wait_for_both()
        time.sleep(max(0.0, begun + _INTERVAL - time.monotonic()))


def _kill(victim: Server, found: Run) -> None:
    at = time.monotonic()
    victim.kill()
    found.killed.append((at, time.monotonic()))


def _table(found: Run) -> Table:
    answers = found.answers
    rate = len(answers.all) / (answers.all[-1].ended - answers.all[0].ended)
    in_flight, kills = len(found.in_flight), len(found.killed)
    usual = statistics.median(found.took) * 1e3
    rows = (
        ("requests", len(answers.all), f"{rate:.0f} a second"),
        ("lost or torn", len(found.lost), met(len(found.lost), 1)),
        ("in flight on a killed process", in_flight, f"of {kills} kills"),
        ("deployments that failed", len(found.refused), met(len(found.refused), 1)),
        ("a deployment, median, ms", usual, ""),
        ("the longest, ms", max(found.took) * 1e3, ""),
        ("versions seen", len(answers.versions), ""),
    )
    notes = [
        "two nodes with one ledger behind HAProxy, which asks for their health every",
        "100 ms; what was asked before a kill and not answered counts as in flight",
        *(f"first: {text}" for text in [*found.lost, *found.refused][:5]),
    ]
    title = (
        f"balancer: {len(found.took)} deployments under load, a node killed with "
        f"kill -9 in {kills} of them"
    )
    return Table(title, ("", "value", "target"), rows, tuple(notes))
