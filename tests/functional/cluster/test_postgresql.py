"""Two nodes on PostgreSQL: all switch, or none, whatever becomes of the database."""

from __future__ import annotations

import itertools
import os
import signal
import threading
from typing import TYPE_CHECKING, Any

import pytest

from cluster_site import digest, shop, stock
from functional.serving.hammer import Hammer
from pointsman import faults
from pointsman.cluster import NodeState, State
from sampling import usual
from waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import httpx

    from cluster_processes import Server
    from cluster_site import ClusterSite
    from postgresql_server import PostgresqlServer

#: Of the deployment of an upload, those that the node passes that takes it.
POINTS = ("stored", "proposed", "staged", "voted", "decided", "switched", "recorded")
LEASE = 3.0
FAILS = """
import os
import pathlib

if pathlib.Path({marker!r}).read_text() == str(os.getpid()):
    raise RuntimeError("not in this process")
"""

_versions = itertools.count(1)


def sources() -> tuple[str, dict[str, str]]:
    """Return the next version: what it answers, and its modules."""
    number = next(_versions)
    told = f"{number} {number}"
    return told, {"shop": shop(number), "stock": stock(number)}


@pytest.fixture(name="holding", scope="module")
def _holding(cluster: ClusterSite) -> Path:
    """Give the folder that says at which points the first node waits."""
    folder = cluster.folder / "points"
    folder.mkdir()
    return folder


@pytest.fixture(name="servers", scope="module")
def _servers(
    cluster: ClusterSite, database: PostgresqlServer, holding: Path
) -> tuple[Server, Server]:
    """Start two; the second one goes by a user of its own, who can be locked out."""
    with database.connected() as operator:
        operator.execute("CREATE ROLE two SUPERUSER LOGIN")
    second = cluster.ledger_url.replace("postgres@", "two@").replace("%", "%%")
    given = {"cluster__lease": str(LEASE), "work_dir": "%(here)s/one"}
    one = cluster.server("one", **given)
    given |= {"work_dir": "%(here)s/two", "ledger__url": second}
    two = cluster.server("two", **given)
    one.launch(POINTSMAN_HOLD_IN=str(holding))
    two.launch()
    one.wait_until_ready()
    two.wait_until_ready()
    cluster.wait_for_nodes(2)
    return one, two


@pytest.fixture(name="load")
def _load(servers: tuple[Server, Server]) -> Iterator[list[Hammer]]:
    """Ask both, all the time; nothing may be lost, refused or torn at the end."""
    _, modules = sources()
    servers[0].deploy(**modules)
    loads = [Hammer(server.port, ("/shop",)).start(1, 1) for server in servers]
    yield loads
    for load in loads:
        load.stop()
        assert ([], 0) == (load.lost, load.refused)
        torn = [body for body in load.bodies if len(set(body.split())) > 1]
        assert [] == torn


def asked(
    server: Server, modules: dict[str, str]
) -> tuple[threading.Thread, list[Any]]:
    """Deploy in a thread; return it, and the list that gets the answer."""
    answers: list[httpx.Response] = []
    thread = threading.Thread(target=lambda: answers.append(server.post(modules)))
    thread.start()
    return thread, answers


def check_that_all_serve(
    cluster: ClusterSite, servers: tuple[Server, ...], told: str
) -> None:
    """Expect one version on all nodes, in the ledger too."""
    wait_for(lambda: {told} == {one.text() for one in servers}, f"all serve {told}")
    cluster.wait_until_decided()
    cluster.wait_for_nodes(len(servers))
    number = told.partition(" ")[0]
    wanted = {"shop": digest(shop(int(number))), "stock": digest(stock(int(number)))}
    assert wanted == cluster.active()


def test_all_switch(
    cluster: ClusterSite, servers: tuple[Server, Server], load: list[Hammer]
) -> None:
    """An upload to whichever is served by both; how far apart is in the record."""
    for server in servers * 2:
        told, modules = sources()
        answer = server.deploy(**modules)
        assert {told} == {one.text() for one in servers}
        number = answer.json()["generation"]
        record = server.get(f"/_pointsman/api/v1/generations/{number}").json()
        assert 0 <= record["timings"]["spread_ms"]
        assert [True, True] == [vote["loaded"] for vote in record["votes"]]


def test_one_fails_so_none_switches(
    cluster: ClusterSite, servers: tuple[Server, Server], load: list[Hammer]
) -> None:
    """What fails on one node only changes nothing anywhere; it is named."""
    before = servers[0].text()
    marker = cluster.folder / "fails"
    for node in cluster.wait_for_nodes(2):
        marker.write_text(str(node.pid))
        _, modules = sources()
        modules["stock"] += FAILS.format(marker=str(marker))
        answer = servers[0].post(modules)

        assert 422 == answer.status_code, answer.text
        assert (node.id in answer.text, "not in this process" in answer.text) == (
            True,
            True,
        )
        assert [before, before] == [one.text() for one in servers]
    marker.write_text("")


@pytest.mark.parametrize("point", usual(POINTS, {"stored", "staged", "recorded"}))
def test_the_database_restarts(  # noqa: PLR0917 - pytest gives them by name
    cluster: ClusterSite,
    servers: tuple[Server, Server],
    load: list[Hammer],
    database: PostgresqlServer,
    holding: Path,
    point: str,
) -> None:
    """After a crash of it at any point, the deployment ends well everywhere, or fails.

    Nothing is lost or torn meanwhile, and what failed can be deployed again.
    """
    assert point in faults.POINTS
    told, modules = sources()
    (holding / point).touch()
    thread, answers = asked(servers[0], modules)
    held = holding / f"{point}.held"
    wait_for(held.exists, f"it is at {point}")
    database.stop(signal.SIGQUIT)
    held.unlink()
    database.start()
    thread.join()
    cluster.wait_until_decided()

    (answer,) = answers
    assert answer.status_code in {200, 503}, answer.text
    failed = [g for g in cluster.generations().values() if g.state is State.FAILED]
    assert [] == [g for g in failed if not g.reason]
    if answer.status_code != 200:
        servers[1].deploy(**modules)
    check_that_all_serve(cluster, servers, told)


def test_the_database_is_away(
    cluster: ClusterSite,
    servers: tuple[Server, Server],
    load: list[Hammer],
    database: PostgresqlServer,
) -> None:
    """Meanwhile what serves serves on, and says so; deployments are refused."""
    told, modules = sources()
    database.stop()
    try:
        for server in servers:
            wait_for(lambda s=server: "ledger" in ready(s)[1], "it says so")  # type: ignore[misc]
            assert 200 == ready(server)[0]
        assert 503 == servers[0].post(modules).status_code
    finally:
        database.start()
    for server in servers:
        wait_for(lambda s=server: "ledger" not in ready(s)[1], "it is found again")  # type: ignore[misc]
    servers[1].deploy(**modules)
    check_that_all_serve(cluster, servers, told)


def test_the_database_is_frozen(
    cluster: ClusterSite,
    servers: tuple[Server, Server],
    load: list[Hammer],
    database: PostgresqlServer,
) -> None:
    """A machine that hangs answers packets and no questions: as if it were away.

    Mutant: `Patient.wait` waits as psycopg does.
    """
    told, modules = sources()
    with database.frozen():
        assert 503 == servers[0].post(modules).status_code
        for server in servers:
            wait_for(lambda s=server: "ledger" in ready(s)[1], "it says so")  # type: ignore[misc]
            assert 200 == ready(server)[0]
    for server in servers:
        wait_for(lambda s=server: "ledger" not in ready(s)[1], "it is found again")  # type: ignore[misc]
    servers[1].deploy(**modules)
    check_that_all_serve(cluster, servers, told)


def ready(server: Server) -> tuple[int, dict[str, object]]:
    """Return what a server says of its readiness."""
    answer = server.get("/_pointsman/health/ready")
    return answer.status_code, answer.json()


def test_one_is_cut_off(
    cluster: ClusterSite,
    servers: tuple[Server, Server],
    load: list[Hammer],
    database: PostgresqlServer,
) -> None:
    """It serves on what it has, and says so; the others go on without it.

    It leaves the ballot when nobody vouches for it, is listed as one that was cut
    off, and goes to the active generation when it is back.
    """
    one, two = servers
    before = two.text()
    with database.connected() as operator:
        operator.execute("ALTER ROLE two NOLOGIN")
        operator.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE usename = 'two'"
        )
    wait_for(lambda: "ledger" in ready(two)[1], "it says so")
    told, modules = sources()
    one.deploy(**modules)

    assert (told, before) == (one.text(), two.text())
    assert 200 == ready(two)[0]
    (cut_off,) = [n for n in cluster.nodes() if n.state is NodeState.JOINING]
    assert "its connection to the ledger has ended" in cut_off.reason
    with database.connected() as operator:
        operator.execute("ALTER ROLE two LOGIN")
    check_that_all_serve(cluster, servers, told)


def test_a_stalled_one_fails_it(
    cluster: ClusterSite, servers: tuple[Server, Server], database: PostgresqlServer
) -> None:
    """A node that does not answer and may be serving fails what it does not vote on."""
    one, two = servers
    assert two.process is not None
    # Who has just come back, and is not vouched for yet, is taken for cut off.
    wait_for(lambda: vouched(database) == 2, "the database knows that both live")
    before = one.text()
    _, modules = sources()
    os.kill(two.process.pid, signal.SIGSTOP)
    try:
        answer = one.post(modules)
        assert 504 == answer.status_code, answer.text
        assert "no sign of life from" in answer.text
    finally:
        os.kill(two.process.pid, signal.SIGCONT)

    assert before == one.text()
    told, modules = sources()
    cluster.wait_for_nodes(2)
    one.deploy(**modules)
    check_that_all_serve(cluster, servers, told)


def vouched(database: PostgresqlServer) -> int:
    """Return for how many nodes a connection vouches."""
    count = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted"
    with database.connected() as operator:
        (found,) = operator.execute(count).fetchone()
    return int(found)


def test_one_is_killed(cluster: ClusterSite, servers: tuple[Server, Server]) -> None:
    """It is missed by nobody; a new one comes to what is active, before it is ready."""
    one, two = servers
    two.kill()
    told, modules = sources()
    one.deploy(**modules)
    two.start()

    check_that_all_serve(cluster, servers, told)
