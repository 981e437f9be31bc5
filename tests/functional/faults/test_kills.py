"""A process that is killed at any point of a deployment, and what comes after it."""

from __future__ import annotations

import shutil
import signal
from contextlib import suppress
from typing import TYPE_CHECKING

import httpx
import pytest

from cluster_site import ClusterSite, digest, shop, stock
from functional.serving.hammer import Hammer
from pointsman import faults
from pointsman.cluster import State
from sampling import usual
from waiting import wait_for

if TYPE_CHECKING:
    from pathlib import Path

    from cluster_processes import Server

OLD, NEW = {"shop": shop(1), "stock": stock(1)}, {"shop": shop(2), "stock": stock(2)}
OF_FILES = {"picked-up", "removing"}  # an upload does not pass them


@pytest.fixture(name="old", scope="module")
def _old(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the folder of a cluster that has deployed the old ones, and has ended."""
    folder = tmp_path_factory.mktemp("old")
    with ClusterSite(folder) as cluster:
        server = cluster.server().start()
        server.deploy(**OLD)
        assert 0 == server.stop()
    return folder


@pytest.fixture(name="cluster")
def _cluster_of_old(cluster: ClusterSite, old: Path) -> ClusterSite:
    """Give a cluster that will start with the old versions."""
    shutil.copytree(old, cluster.folder, dirs_exist_ok=True)
    return cluster


def with_pickup(cluster: ClusterSite) -> Server:
    """Return a server that watches the pick-up directory."""
    return cluster.server(hot_deploy__pickup_dir=str(cluster.pickup))


def check_that_it_is_whole(cluster: ClusterSite, *servers: Server) -> None:
    """Expect one generation everywhere, and a reason for what failed."""
    found = cluster.wait_until_decided()
    failed = [g for g in found.values() if g.state is State.FAILED]
    nodes = cluster.wait_for_nodes(len(servers))
    (text,) = {server.text() for server in servers}
    whole = {"1 1": OLD, "2 2": NEW}[text]

    assert [] == [g for g in failed if not g.reason]
    assert {node.generation for node in nodes} == {
        n for n, g in found.items() if g.state is State.ACTIVE
    }
    assert {name: digest(source) for name, source in whole.items()} == cluster.active()


OF_UPLOADS = [point for point in faults.POINTS if point not in OF_FILES]


@pytest.mark.parametrize("point", usual(OF_UPLOADS, {"staged", "recorded", "drained"}))
def test_killed_while_it_deploys_an_upload(cluster: ClusterSite, point: str) -> None:
    """After kill -9 at any point the other node decides, and loses and tears nothing.

    After a start both serve the same, old or new; what was on its way is active, or
    failed with a reason; and the same can be deployed again.
    """
    dying = cluster.server().launch(POINTSMAN_KILL_AT=point)
    other = cluster.server("two", work_dir="%(here)s/two").start()
    dying.wait_until_ready()
    cluster.wait_for_nodes(2)
    load = Hammer(other.port, ("/shop",)).start(1, 1)
    try:
        with suppress(httpx.HTTPError):
            dying.post(NEW)
        assert -signal.SIGKILL == dying.wait_for_its_end()
        check_that_it_is_whole(cluster, other)
        dying.start()
    finally:
        load.stop()

    assert ([], 0) == (load.lost, load.refused)
    assert load.bodies <= {b"1 1", b"2 2"}
    check_that_it_is_whole(cluster, dying, other)
    dying.deploy(**NEW)
    assert ["2 2", "2 2"] == [dying.text(), other.text()]


# From the proposal on, files are deployed as uploads are.
LIKE_UPLOADS = {*OF_UPLOADS} - {"stored", "proposed"}


@pytest.mark.parametrize("point", usual(faults.POINTS, LIKE_UPLOADS))
def test_killed_while_it_deploys_dropped_files(
    cluster: ClusterSite, point: str
) -> None:
    """After kill -9 at any point and a start, dropped files are deployed, and gone."""
    server = with_pickup(cluster).start(POINTSMAN_KILL_AT=point)
    cluster.drop(**NEW)
    assert -signal.SIGKILL == server.wait_for_its_end()

    server.start()
    wait_for(lambda: server.text() == "2 2", "the dropped files serve")
    check_that_it_is_whole(cluster, server)
    wait_for(lambda: not cluster.files_in(cluster.pickup), "they are taken away")


def test_killed_before_a_file_is_removed_and_a_newer_upload(
    cluster: ClusterSite,
) -> None:
    """What was uploaded after a dropped file stays when the file is found again.

    Where the ledger does not remember the claim, the older one is deployed again.
    """
    server = with_pickup(cluster).launch(POINTSMAN_KILL_AT="removing")
    other = cluster.server("two", work_dir="%(here)s/two").start()
    server.wait_until_ready()
    cluster.drop(**NEW)
    server.wait_for_its_end()
    wait_for(lambda: other.text() == "2 2", "the dropped files serve on the other")
    other.deploy(stock=stock(3))

    server.start()
    cluster.wait_for_nodes(2)
    wait_for(lambda: not cluster.files_in(cluster.pickup), "they are taken away")
    cluster.wait_until_decided()
    assert ["2 3", "2 3"] == [server.text(), other.text()]


def test_all_are_killed(cluster: ClusterSite) -> None:
    """All processes at once: what was deployed last is there, in all of them."""
    first = cluster.server().launch()
    second = cluster.server("two", work_dir="%(here)s/two").start()
    first.wait_until_ready()
    first.deploy(**NEW)
    second.deploy(stock=stock(3))
    first.kill()
    second.kill()

    first.launch()
    second.start()
    first.wait_until_ready()
    cluster.wait_for_nodes(2)
    assert ["2 3", "2 3"] == [first.text(), second.text()]
