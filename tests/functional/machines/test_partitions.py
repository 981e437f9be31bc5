"""Links cut with real packets: each serves on, whole, and finds its way back."""

from __future__ import annotations

import itertools
import threading
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from cluster_site import shop, stock
from functional.serving.hammer import Hammer
from pointsman.cluster import NodeState
from sampling import usual
from waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from functional.machines.conftest import Site

_versions = itertools.count(1)


def deployed(site: Site) -> str:
    """Deploy the next version through the first server; return what it answers."""
    number = next(_versions)
    with site.machines[0].inside():
        site.servers[0].deploy(shop=shop(number), stock=stock(number))
    return f"{number} {number}"


@contextmanager
def asked_all_the_time(site: Site) -> Iterator[None]:
    """Ask each on its own machine; nothing may be lost, refused or torn."""
    with ExitStack() as stack:
        loads = []
        for machine, server in zip(site.machines, site.servers, strict=True):
            with machine.inside():
                loads.append(Hammer(server.port, ("/shop",)).start(1, 1))
            stack.callback(loads[-1].stop)
        yield
    for load in loads:
        assert ([], 0) == (load.lost, load.refused)
        assert [] == [body for body in load.bodies if len(set(body.split())) > 1]


def wait_until_back(site: Site, told: str) -> None:
    """Wait until both serve one version, and the second one is a node like any."""
    wait_for(lambda: site.text(1) == told, "it serves what is active")
    site.cluster.wait_for_nodes(2)
    assert "ledger" not in site.ready(1)


def test_over_the_network(site: Site) -> None:
    """Two machines and a third one with the database: all switch, none loses."""
    deployed(site)
    with asked_all_the_time(site):
        for _ in range(3):
            told = deployed(site)
            assert (told, told) == (site.text(0), site.text(1))
    hosts = {node.id for node in site.cluster.nodes()}
    assert 2 == len(hosts)


def test_cut_off(site: Site) -> None:
    """It serves on and says so; the others go on without it, and see that it is away.

    When the link is mended, it goes to what is active by itself.
    """
    before = deployed(site)
    with asked_all_the_time(site):
        site.machines[1].cut()
        told = deployed(site)
        assert (told, before) == (site.text(0), site.text(1))
        wait_for(lambda: "ledger" in site.ready(1), "it says that it is cut off")
        assert 200 == site.ready(1)["http"]
        (away,) = (n for n in site.cluster.nodes() if n.state is not NodeState.READY)
        assert (NodeState.JOINING, True) == (away.state, "has ended" in away.reason)
        again = deployed(site)
        site.machines[1].mend()
        wait_until_back(site, again)


POINTS = ["staged", "voted", "decided"]


@pytest.mark.parametrize("point", usual(POINTS, {"staged", "voted"}))
def test_cut_off_in_the_middle(site: Site, point: str) -> None:
    """Cut off while it votes or switches, it serves what it did, or what was decided.

    Never is half of something served, and in the end all serve the same.
    """
    before = deployed(site)
    held = site.points / f"{point}.held"
    (site.points / point).touch()
    with asked_all_the_time(site):
        answers: list[Any] = []
        thread = threading.Thread(target=lambda: answers.append(deployed(site)))
        thread.start()
        wait_for(held.exists, f"it is at {point}")
        site.machines[1].cut()
        held.unlink()
        thread.join()
        (told,) = answers
        assert told == site.text(0)
        assert site.text(1) in {before, told}
        site.machines[1].mend()
        wait_until_back(site, told)
