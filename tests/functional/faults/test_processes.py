"""Several processes on one machine are several nodes: all switch, or none."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest

from cluster_processes import Apache
from cluster_site import shop, stock
from functional.serving.hammer import Hammer
from pointsman.cluster import State
from sampling import usual
from waiting import wait_for

if TYPE_CHECKING:
    from cluster_processes import Server
    from cluster_site import ClusterSite
    from pointsman.cluster import NodeRecord, Vote

OLD, NEW = {"shop": shop(1), "stock": stock(1)}, {"shop": shop(2), "stock": stock(2)}
#: Raises in the one process whose id is in a file, and in no rehearsal.
FAILS = """
import os
import pathlib

marker = pathlib.Path({folder!r}, "fails")
if marker.exists() and marker.read_text() == str(os.getpid()):
    raise RuntimeError("not in this process")
"""

#: Waits in the one process whose id is in a file, and in no rehearsal.
WAITS = """
import os
import pathlib
import time

marker = pathlib.Path({folder!r}, "waits")
while marker.exists() and marker.read_text() == str(os.getpid()):
    time.sleep(0.01)
"""

#: The servers that these tests are about, and those that some of them are about.
SERVERS = ["gunicorn", "apache"]
FORKING = ["gunicorn --preload", "uwsgi"]
ALL = [*SERVERS, *FORKING, "uwsgi --lazy-apps"]
REPLACING = ["gunicorn", "uwsgi", "uwsgi --lazy-apps", "apache"]


@pytest.fixture(name="server", params=SERVERS)
def _server(request: pytest.FixtureRequest, cluster: ClusterSite) -> Server:
    server = cluster.server(kind=request.param).start()
    cluster.wait_for_nodes(2)
    return server


def answers(cluster: ClusterSite, server: Server) -> dict[str, set[str]]:
    """Return what each process of a server answers, by its id."""
    wanted = {str(node.pid) for node in cluster.nodes()}
    found: dict[str, set[str]] = {}

    def asked_all() -> bool:
        pid, versions = server.text("/shop/process").split(" ", 1)
        found.setdefault(pid, set()).add(versions)
        return wanted <= found.keys()

    wait_for(asked_all, f"all of {wanted} have answered")
    return found


def wait_for_another(cluster: ClusterSite, former: NodeRecord) -> None:
    """Wait until somebody else is there in place of one that was killed."""

    def replaced() -> bool:
        return former.id not in {node.id for node in cluster.wait_for_nodes(2)}

    wait_for(replaced, "another process is there instead")


# The others deploy under load in functional/servers.
@pytest.mark.parametrize("server", usual(ALL, {*FORKING}), indirect=True)
def test_all_switch(cluster: ClusterSite, server: Server) -> None:
    """An upload to whichever answers is served by all; no request is lost or torn."""
    server.deploy(**OLD)
    load = Hammer(server.port, ("/shop",)).start(2 * server.keeps_alive, 2)
    try:
        for version in range(2, 7):
            server.deploy(shop=shop(version), stock=stock(version))
    finally:
        load.stop()

    assert {frozenset({"6 6"})} == set(
        map(frozenset, answers(cluster, server).values())
    )
    assert ([], 0) == (load.lost, load.refused)
    torn = [body for body in load.bodies if len(set(body.split())) > 1]
    assert [] == torn


@pytest.mark.parametrize("server", usual(SERVERS, {"gunicorn"}), indirect=True)
def test_one_fails_so_none_switches(cluster: ClusterSite, server: Server) -> None:
    """What fails in one process only changes nothing anywhere; it is named.

    With votes that do not count as refusals, both processes went to it.
    """
    server.deploy(**OLD)
    for node in cluster.wait_for_nodes(2):
        (cluster.folder / "fails").write_text(str(node.pid))
        fails = stock(2, FAILS.format(folder=str(cluster.folder)))
        answer = server.post({"shop": shop(2), "stock": fails})
        cluster.wait_until_decided()

        assert 422 == answer.status_code, answer.text
        assert "not in this process" in answer.text
        last = cluster.generations()[max(cluster.generations())]
        votes = {vote.node: vote.loaded for vote in last.votes}
        assert (State.FAILED, False) == (last.state, votes[node.id])
        assert "RuntimeError" in next(
            failure.traceback
            for vote in last.votes
            for failure in vote.failures
            if vote.node == node.id
        )
        assert [{"1 1"}, {"1 1"}] == list(answers(cluster, server).values())

    (cluster.folder / "fails").unlink()
    server.deploy(**NEW)
    assert [{"2 2"}, {"2 2"}] == list(answers(cluster, server).values())


@pytest.mark.parametrize("server", usual(SERVERS, {"apache"}), indirect=True)
def test_all_are_the_same_after_a_restart(cluster: ClusterSite, server: Server) -> None:
    """What was deployed and gone back to is there after an end, and after kill -9."""
    server.deploy(**OLD)
    server.deploy(**NEW)
    answer = server.request("POST", "/_pointsman/api/v1/packages/stock/rollback")
    assert 200 == answer.status_code, answer.text
    server.stop()
    server.start()
    cluster.wait_for_nodes(2)
    assert [{"2 1"}, {"2 1"}] == list(answers(cluster, server).values())

    server.kill()
    server.start()
    cluster.wait_for_nodes(2)
    assert [{"2 1"}, {"2 1"}] == list(answers(cluster, server).values())


def test_one_is_killed_and_comes_back(cluster: ClusterSite, server: Server) -> None:
    """A worker that dies is missed by nobody; the one in its place serves the same."""
    server.deploy(**OLD)
    first, _ = cluster.wait_for_nodes(2)
    os.kill(first.pid, signal.SIGKILL)
    server.deploy(**NEW)

    wait_for_another(cluster, first)
    assert [{"2 2"}, {"2 2"}] == list(answers(cluster, server).values())


@pytest.mark.parametrize(
    "server", usual(REPLACING, {"uwsgi", "uwsgi --lazy-apps", "apache"}), indirect=True
)
def test_a_worker_comes_while_the_ledger_is_away(
    cluster: ClusterSite, server: Server
) -> None:
    """It serves nothing old, and ends nothing else: it tries until the ledger is there.

    When it raised, gunicorn and a lazy uWSGI ended as a whole; when it was content
    with what had been loaded before the fork, it served the version of long ago.
    """
    server.deploy(**OLD)
    first, second = cluster.wait_for_nodes(2)
    place, away = cluster.folder / "ledger", cluster.folder / "away"
    place.rename(away)
    place.touch()
    os.kill(first.pid, signal.SIGKILL)
    wait_for(lambda: "another will try" in server.log.read_text(), "one has tried")
    assert [f"{second.pid} 1 1"] * 5 == [server.text("/shop/process") for _ in range(5)]
    place.unlink()
    away.rename(place)
    wait_for_another(cluster, first)

    assert [{"1 1"}, {"1 1"}] == list(answers(cluster, server).values())
    server.deploy(**NEW)
    assert [{"2 2"}, {"2 2"}] == list(answers(cluster, server).values())


STARTS = """
import threading

from pointsman import Service


class Started(Service):
    path = "/started"

    def start(self):
        self.works = threading.Event()
        self.asked = threading.Event()
        threading.Thread(target=self.work, daemon=True).start()

    def work(self):
        self.asked.wait()
        self.works.set()

    def handle(self, request):
        self.asked.set()
        return str(self.works.wait(10))
"""


@pytest.mark.parametrize("server", usual(FORKING, {"uwsgi"}), indirect=True)
def test_what_a_service_starts_is_there(cluster: ClusterSite, server: Server) -> None:
    """Also in servers that make the application first and fork afterwards."""
    server.put("started", STARTS)
    assert "True" == server.text("/started")
    server.stop()
    server.start()
    first, _ = cluster.wait_for_nodes(2)
    os.kill(first.pid, signal.SIGKILL)

    assert ["True"] * 8 == [server.text("/started") for _ in range(8)]


@pytest.mark.parametrize("server", ["uwsgi --max-requests"], indirect=True)
def test_workers_are_recycled_in_the_middle_of_votes(
    cluster: ClusterSite, server: Server
) -> None:
    """One leaves when it has voted, the one in its place votes, and all switch.

    What is deployed waits in one process until that has happened; the other one has
    its last request meanwhile.
    """
    server.deploy(**OLD)
    slow, other = cluster.wait_for_nodes(2)
    (cluster.folder / "waits").write_text(str(slow.pid))
    waits = stock(2, WAITS.format(folder=str(cluster.folder)))
    answer = server.post({"shop": shop(2), "stock": waits}, wait=0)
    number = answer.json()["generation"]

    def voted() -> dict[str, tuple[bool | None, str]]:
        votes = cluster.generations()[number].votes
        return {vote.node: (vote.loaded, vote.left) for vote in votes}

    load = Hammer(server.port, ("/shop",)).start(0, 2)
    try:
        wait_for(lambda: other.id in voted(), "it is staging")
        wait_for(lambda: (True, "") in other_votes(voted(), slow, other), "it is new")
        (cluster.folder / "waits").write_text("")
        last = cluster.wait_until_decided()[number]
        cluster.wait_for_nodes(2)
    finally:
        load.stop()

    assert (State.ACTIVE, (True, "it was stopped")) == (last.state, voted()[other.id])
    # Workers come and go while they are asked: whichever two answer.
    found: set[str] = set()

    def two_have_answered() -> bool:
        found.add(server.text("/shop/process"))
        return len(found) > 1

    wait_for(two_have_answered, "two processes have answered")
    assert {"2 2"} == {answer.partition(" ")[2] for answer in found}
    assert ([], 0) == (load.lost, load.refused)
    assert {b"1 1", b"2 2"} == load.bodies


def other_votes(
    voted: dict[str, tuple[bool | None, str]], *known: NodeRecord
) -> list[tuple[bool | None, str]]:
    """Return the votes of nodes that came later than those that are known."""
    names = {node.id for node in known}
    return [vote for node, vote in voted.items() if node not in names]


# BEFORE THE FIRST REQUEST


def apache(cluster: ClusterSite, kind: str) -> Apache:
    """Start Apache, and ask it nothing."""
    server = cluster.server(kind=kind).launch()
    assert isinstance(server, Apache)
    wait_for(server.is_open, "Apache listens")
    return server


def deployed(server: Apache, version: int) -> str:
    """Deploy both packages without asking a server; return what is said."""
    folder = server.ini.parent / "sources"  # which nobody imports from
    folder.mkdir(exist_ok=True)
    files = [folder / "shop.py", folder / "stock.py"]
    for file, text in zip(files, (shop(version), stock(version)), strict=True):
        file.write_text(text)
    return server.typed("deploy", *map(str, files))


def test_apache_before_any_request(cluster: ClusterSite) -> None:
    """Processes that were started with Apache vote before anybody asks them."""
    server = apache(cluster, "apache")
    made = cluster.folder / "ledger" / "ledger.sqlite"
    wait_for(made.exists, "www-data has made the ledger")
    nodes = {node.pid for node in cluster.wait_for_nodes(2)}
    said = deployed(server, 1)
    last = cluster.generations()[1]

    assert "no node serves" not in said
    assert [(True, ""), (True, "")] == [(v.loaded, v.left) for v in last.votes]
    assert nodes == {node.pid for node in cluster.wait_for_nodes(2)}
    assert [{"1 1"}, {"1 1"}] == list(answers(cluster, server).values())


def test_idle_apache(cluster: ClusterSite) -> None:
    """Where a process is a node from its first request on, who is there decides.

    With nobody there, the command votes; with one process, that one does; the other
    goes to what is active before its own first answer.
    """
    server = apache(cluster, "apache, idle")
    assert "no node serves" in deployed(server, 1)
    assert (State.ACTIVE, ()) == (cluster.generations()[1].state, cluster.nodes())

    assert "1 1" == server.text()
    (first,) = cluster.wait_for_nodes(1)
    assert "no node serves" not in deployed(server, 2)
    assert [(first.id, True)] == [(v.node, v.loaded) for v in votes(cluster, 2)]
    load = Hammer(server.port, ("/shop",)).start(0, 4)
    try:
        cluster.wait_for_nodes(2)
    finally:
        load.stop()
    assert ([], {b"2 2"}) == (load.lost, load.bodies)


def votes(cluster: ClusterSite, number: int) -> tuple[Vote, ...]:
    """Return who voted on a generation."""
    return cluster.generations()[number].votes
