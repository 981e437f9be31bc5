"""What takes longer to load than a lease: the node that loads it is alive.

Broken on purpose, and seen to fail: a stage, a reload without signs of life.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from pointsman.cluster import Actor
from site_folder import get
from waiting import wait_for

if TYPE_CHECKING:
    from pointsman.node import Node
    from site_folder import SiteFolder

_SIGNS = 9  # of life: three leases

#: Waits, while it is imported, until somebody opens the gate.
WAITS = """
import pathlib, time

pathlib.Path("{begun}").touch()
while not pathlib.Path("{gate}").exists():
    time.sleep(0.001)

def application(environ, start_response):
    start_response("200 OK", [])
    return [b"{number}"]
"""


def lease_of(node: Node) -> float:
    """Return until when a node is believed to be alive."""
    (one,) = node.ledger.nodes()
    return one.lease_until


def deploy(node: Node, source: str) -> None:
    """Upload it as the package *waits*."""
    entry = node.deployments.receive("waits.py", [source.encode()])
    node.deployments.decide(node.deployments.deploy([entry], Actor("a test")), 60)


@pytest.mark.parametrize("way", ["reload", "deploy"])
def test_a_host_that_loads_for_long_is_alive(site: SiteFolder, way: str) -> None:
    """It gives a sign of life three times in each lease, while a module is imported."""
    begun, gate = site.folder / "begun", site.folder / "gate"
    source = WAITS.format(begun=begun, gate=gate, number=2)
    node = (host := site.host(cluster__lease="0.3")).node
    if way == "reload":
        site.write("waits.py", source)
        thread = threading.Thread(target=node.reload)
    else:
        thread = threading.Thread(target=deploy, args=(node, source))
    thread.start()
    wait_for(begun.exists, "it is imported")
    for _ in range(_SIGNS):
        before = lease_of(node)
        wait_for(lambda: lease_of(node) > before, "there is a sign of life")  # noqa: B023
    gate.touch()
    thread.join()

    assert "2" == get(host, "/waits").text
