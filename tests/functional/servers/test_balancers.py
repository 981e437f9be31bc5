"""Two nodes with one ledger behind a load balancer that asks them for their health.

Broken on purpose, and seen to fail: a stop without a delay; nodes that are not told of
a stop; a node that says that it is ready although it drains.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from balancers import KINDS, Haproxy
from cluster_site import shop, stock
from functional.serving.hammer import Hammer
from perf import balancer
from pointsman.cluster import NodeState
from system_packages import require
from waiting import wait_for

if TYPE_CHECKING:
    from cluster_processes import Server
    from cluster_site import ClusterSite

NODES = "/_pointsman/api/v1/nodes"
#: What a stop waits, so that the balancer sees it first; it looks every 100 ms.
DELAY = "drain_delay = 0.4\nkeep_alive_grace = 0.3"


def two(cluster: ClusterSite, serving: str = DELAY) -> tuple[Server, Server]:
    """Start two servers that serve the first version."""
    made = [
        cluster.server(name, serving=serving, work_dir=f"%(here)s/{name}")
        for name in ("one", "two")
    ]
    for server in made:
        server.launch()
    for server in made:
        server.wait_until_ready()
    cluster.wait_for_nodes(2)
    made[0].deploy(shop=shop(1), stock=stock(1))
    return made[0], made[1]


def pid(server: Server) -> str:
    """Return the process that serves."""
    assert server.process is not None
    return str(server.process.pid)


@pytest.mark.parametrize("kind", KINDS)
def test_one_is_stopped_and_started(cluster: ClusterSite, kind: str) -> None:
    """Under load, with a deployment while it is away, nothing is lost or torn.

    HAProxy may not try a connection again: it has to know who is ready.
    """
    one, other = two(cluster)
    with KINDS[kind](cluster.folder, (one, other), retries=0).start() as front:
        wait_for(lambda: len(front.serving(0.2)) == 2, "both are asked")
        load = Hammer(front.port, ("/shop",)).start(2, 2)
        try:
            assert 0 == one.stop()
            other.deploy(shop=shop(2), stock=stock(2))
            one.start()
            cluster.wait_for_nodes(2)
            wait_for(lambda: len(front.serving(0.2)) == 2, "both are asked")
            one.deploy(shop=shop(3), stock=stock(3))
        finally:
            load.stop()

    assert ([], 0) == (load.lost, load.refused)
    assert {f"{n} {n}".encode() for n in range(1, 4)} == load.bodies


def test_a_drained_node_is_asked_no_more(cluster: ClusterSite) -> None:
    """It has 503 at health/ready, follows deployments, and comes back when resumed."""
    one, other = two(cluster)
    with Haproxy(cluster.folder, (one, other), retries=0).start() as front:
        wait_for(lambda: len(front.serving(0.2)) == 2, "both are asked")
        load = Hammer(front.port, ("/shop",)).start(2, 2)
        try:
            (node,) = [n for n in cluster.nodes() if str(n.pid) == pid(other)]
            assert 200 == one.request("POST", f"{NODES}/{node.id}/drain").status_code
            wait_for(lambda: front.serving(0.2) == {pid(one)}, "one is asked")
            ready = other.get("/_pointsman/health/ready")
            one.deploy(shop=shop(2), stock=stock(2))
            wait_for(lambda: "2 2" == other.text(), "it has followed")
            assert {pid(one)} == front.serving(0.2)
            assert 200 == other.request("POST", f"{NODES}/{node.id}/resume").status_code
            wait_for(lambda: len(front.serving(0.2)) == 2, "both are asked")
        finally:
            load.stop()

    assert (503, "draining") == (ready.status_code, ready.json()["status"])
    assert {NodeState.READY} == {n.state for n in cluster.wait_for_nodes(2)}
    assert ([], 0) == (load.lost, load.refused)


def test_a_killed_node_loses_what_it_had_begun(cluster: ClusterSite) -> None:
    """Kill -9 costs the requests in flight there, and none besides; all deploy."""
    require("/usr/sbin/haproxy", "haproxy")
    found = balancer.run(cluster, number=4, kill_every=4)

    assert (4, 1) == (len(found.took), len(found.killed))
    assert ([], []) == (found.lost, found.refused)
    assert {str(version) for version in range(1, 6)} == found.answers.versions
