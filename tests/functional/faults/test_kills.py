"""A process that is killed at any point of a deployment, and what comes after it."""

from __future__ import annotations

import signal
from contextlib import suppress
from typing import TYPE_CHECKING

import httpx
import pytest

from cluster_site import digest, shop, stock
from functional.serving.hammer import Hammer
from pointsman import faults
from pointsman.cluster import State
from waiting import wait_for

if TYPE_CHECKING:
    from cluster_processes import Server
    from cluster_site import ClusterSite

OLD, NEW = {"shop": shop(1), "stock": stock(1)}, {"shop": shop(2), "stock": stock(2)}
OF_FILES = {"picked-up", "removing"}  # an upload does not pass them
NOT_OF_VOTERS = {*OF_FILES, "stored", "proposed"}  # only who proposes passes them


def prepared(cluster: ClusterSite) -> Server:
    """Return a server that has deployed the old versions, and has ended."""
    server = cluster.server(hot_deploy__pickup_dir=str(cluster.pickup)).start()
    server.deploy(**OLD)
    assert "1 1" == server.text()
    assert 0 == server.stop()
    return server


def check_that_it_is_whole(cluster: ClusterSite, server: Server) -> None:
    """Expect one generation as the ledger has it, and a reason for what failed."""
    found = cluster.wait_until_decided()
    failed = [g for g in found.values() if g.state is State.FAILED]
    (node,) = cluster.wait_for_nodes(1)
    whole = {"1 1": OLD, "2 2": NEW}[server.text()]

    assert [] == [g for g in failed if not g.reason]
    assert [node.generation] == [n for n, g in found.items() if g.state is State.ACTIVE]
    assert {name: digest(text) for name, text in whole.items()} == cluster.active()


@pytest.mark.parametrize("point", [p for p in faults.POINTS if p not in OF_FILES])
def test_killed_while_it_deploys_an_upload(cluster: ClusterSite, point: str) -> None:
    """After kill -9 at any point and a start, the old or the new serves, whole.

    What was on its way is active, or failed with a reason; and the same can be
    deployed again.
    """
    server = prepared(cluster).start(POINTSMAN_KILL_AT=point)
    with suppress(httpx.HTTPError):
        server.post(NEW)
    assert -signal.SIGKILL == server.wait_for_its_end()

    server.start()
    check_that_it_is_whole(cluster, server)
    server.deploy(**NEW)
    assert "2 2" == server.text()


@pytest.mark.parametrize("point", faults.POINTS)
def test_killed_while_it_deploys_dropped_files(
    cluster: ClusterSite, point: str
) -> None:
    """After kill -9 at any point and a start, dropped files are deployed, and gone."""
    server = prepared(cluster).start(POINTSMAN_KILL_AT=point)
    cluster.drop(**NEW)
    assert -signal.SIGKILL == server.wait_for_its_end()

    server.start()
    wait_for(lambda: server.text() == "2 2", "the dropped files serve")
    check_that_it_is_whole(cluster, server)
    wait_for(lambda: not cluster.files_in(cluster.pickup), "they are taken away")


def test_killed_before_a_file_is_removed_and_a_newer_upload(
    cluster: ClusterSite,
) -> None:
    """What was uploaded after a dropped file stays when the file is found again."""
    server = prepared(cluster).start(POINTSMAN_KILL_AT="removing")
    other = cluster.server("two", work_dir="%(here)s/two").start()
    cluster.drop(**NEW)
    server.wait_for_its_end()
    wait_for(lambda: other.text() == "2 2", "the dropped files serve on the other")
    other.deploy(stock=stock(3))

    server.start()
    cluster.wait_for_nodes(2)
    wait_for(lambda: not cluster.files_in(cluster.pickup), "they are taken away")
    cluster.wait_until_decided()
    assert ["2 3", "2 3"] == [server.text(), other.text()]


@pytest.mark.parametrize("point", [p for p in faults.POINTS if p not in NOT_OF_VOTERS])
def test_one_of_two_is_killed(cluster: ClusterSite, point: str) -> None:
    """The other goes on without it: it loses nothing, tears nothing, and decides."""
    dying = prepared(cluster).start(POINTSMAN_KILL_AT=point)
    other = cluster.server("two", work_dir="%(here)s/two").start()
    cluster.wait_for_nodes(2)
    load = Hammer(other.port, ("/shop",)).start(2, 2)
    try:
        answer = other.post(NEW)
        dying.wait_for_its_end()
        cluster.wait_for_nodes(1)
    finally:
        load.stop()

    assert (200, "2 2") == (answer.status_code, other.text()), answer.text
    assert ([], 0) == (load.lost, load.refused)
    assert {b"1 1", b"2 2"} == load.bodies
    dying.start()
    cluster.wait_for_nodes(2)
    assert "2 2" == dying.text()


def test_killed_and_started_forever(cluster: ClusterSite) -> None:
    """All processes at once: what was deployed, stopped and gone back to is there."""
    first = prepared(cluster).start()
    second = cluster.server("two", work_dir="%(here)s/two").start()
    first.deploy(**NEW)
    second.deploy(stock=stock(3))
    first.kill()
    second.kill()

    first.start()
    second.start()
    cluster.wait_for_nodes(2)
    assert ["2 3", "2 3"] == [first.text(), second.text()]
