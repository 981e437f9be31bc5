"""Nodes behind a load balancer are drained and resumed, with a server or without."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest

from cluster_site import stock
from waiting import wait_for

if TYPE_CHECKING:
    from cluster_site import ClusterSite
    from functional.cli.operator import Operator


def states(operator: Operator) -> list[str]:
    """Return what each node is."""
    return [one["state"] for one in operator.ask("nodes")["nodes"]]


@pytest.mark.parametrize("operator", ["server", "ledger"], indirect=True)
def test_draining_and_resuming(operator: Operator) -> None:
    """By the host, by the pid; who does so already is told apart."""
    (node,) = operator.ask("nodes")["nodes"]
    drained = operator.run("node", "drain", socket.gethostname())
    again = operator.run("node", "drain", str(node["pid"]))

    assert f"{node['node']} drains\n" == drained.out
    assert "no node is ready any more" in drained.err
    assert f"{node['node']} drains already\n" == again.out
    assert ["draining"] == states(operator)
    (resumed,) = operator.ask("node", "resume", node["node"])["nodes"]
    assert (node["node"], True) == (resumed["node"], resumed["changed"])
    wait_for(lambda: ["ready"] == states(operator), "it is ready again")


@pytest.mark.parametrize("operator", ["server", "ledger"], indirect=True)
def test_a_slip_of_the_pen_changes_nothing(operator: Operator) -> None:
    """One word of two that names nobody: both are left as they are."""
    (node,) = operator.ask("nodes")["nodes"]
    failed = operator.run("node", "drain", str(node["pid"]), "nobody", code=1)

    assert "there is no node 'nobody'" in failed.err
    assert ["ready"] == states(operator)


@pytest.mark.parametrize("operator", ["server", "ledger"], indirect=True)
def test_an_empty_word_is_no_node(operator: Operator) -> None:
    """As a variable of a shell that is not set: the only node is not meant by it."""
    drained = operator.run("node", "drain", "", code=1)
    asked = operator.run("threads", "", code=1)

    assert ["pointsman: refused (404 Not Found): there is no node ''\n"] * 2 == [
        drained.err,
        asked.err,
    ]
    assert ["ready"] == states(operator)


@pytest.mark.parametrize("operator", ["ledger"], indirect=True)
def test_all_are_drained(operator: Operator, cluster: ClusterSite) -> None:
    """Then a command that works with the ledger decides, and the nodes follow."""
    operator.run("node", "drain", socket.gethostname())
    operator.run("deploy", *operator.write(stock=stock(1)))

    wait_for(
        lambda: [1] == [one.generation for one in cluster.nodes()], "it has followed"
    )
