"""Several processes on one machine are several nodes: all switch, or none."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cluster_site import shop, stock
from functional.serving.hammer import Hammer
from pointsman.cluster import State
from waiting import wait_for

if TYPE_CHECKING:
    from cluster_processes import Server
    from cluster_site import ClusterSite

OLD, NEW = {"shop": shop(1), "stock": stock(1)}, {"shop": shop(2), "stock": stock(2)}
#: Raises in the one process whose id is in a file, and in no rehearsal.
FAILS = """
import os
import pathlib

marker = pathlib.Path({folder!r}, "fails")
if marker.exists() and marker.read_text() == str(os.getpid()):
    raise RuntimeError("not in this process")
"""


@pytest.fixture(name="server", params=["gunicorn", "apache"])
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


def test_all_switch(cluster: ClusterSite, server: Server) -> None:
    """An upload to whichever answers is served by all; no request is lost or torn."""
    server.deploy(**OLD)
    load = Hammer(server.port, ("/shop",)).start(2, 2)
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
    import os
    import signal

    server.deploy(**OLD)
    first, _ = cluster.wait_for_nodes(2)
    os.kill(first.pid, signal.SIGKILL)
    server.deploy(**NEW)

    def replaced() -> bool:
        return first.id not in {node.id for node in cluster.wait_for_nodes(2)}

    wait_for(replaced, "another process is there instead")
    assert [{"2 2"}, {"2 2"}] == list(answers(cluster, server).values())
