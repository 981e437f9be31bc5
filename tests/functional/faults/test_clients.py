"""Clients that come together, hang up, or have all the time in the world."""

from __future__ import annotations

import hashlib
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from cluster_processes import API
from cluster_site import digest, shop, stock
from functional.serving.hammer import Hammer
from waiting import wait_for

if TYPE_CHECKING:
    from cluster_processes import Server
    from cluster_site import ClusterSite

SERVICE = """
from pointsman import Service


class One(Service):
    path = "/{name}"

    def handle(self, request):
        return "{name}"
"""


def together(*calls: object) -> list[int]:
    """Make all calls at the same moment; return the statuses, the lowest first."""
    barrier = threading.Barrier(len(calls))

    def run(call: object) -> int:
        barrier.wait()
        assert callable(call)
        return int(call().status_code)

    with ThreadPoolExecutor(len(calls)) as pool:
        return sorted(pool.map(run, calls))


def test_two_proposals_of_one_package(cluster: ClusterSite) -> None:
    """Two nodes are given other versions at one moment: one order for all, no mixture.

    The second is done after the first, or refused since what it is about has changed.
    """
    one = cluster.server().start()
    two = cluster.server("two", work_dir="%(here)s/two").start()
    one.deploy(shop=shop(1), stock=stock(1))
    for round_ in range(2, 12, 2):
        first, second = (stock(n) for n in (round_, round_ + 1))
        statuses = together(
            lambda: one.put("stock", first),  # noqa: B023 - called in this round
            lambda: two.put("stock", second),  # noqa: B023
        )
        assert statuses in ([200, 200], [200, 409])
        cluster.wait_for_nodes(2)
        served = {one.text(), two.text()}
        version = served.pop().removeprefix("1 ")
        assert set() == served
        assert cluster.active()["stock"] == digest(stock(int(version)))


def test_two_proposals_of_two_packages(cluster: ClusterSite) -> None:
    """What does not touch each other is all deployed."""
    one = cluster.server().start()
    two = cluster.server("two", work_dir="%(here)s/two").start()
    statuses = together(
        lambda: one.put("left", SERVICE.format(name="left")),
        lambda: two.put("right", SERVICE.format(name="right")),
    )
    cluster.wait_for_nodes(2)

    assert [200, 200] == statuses
    assert ["left", "right"] == [two.text("/left"), one.text("/right")]


def test_fifty_clients_upload(cluster: ClusterSite) -> None:
    """Fifty packages from fifty clients at once are all served; no request is lost."""
    server = cluster.server().start()
    server.deploy(shop=shop(1), stock=stock(1))
    load = Hammer(server.port, ("/shop",)).start(1, 1)
    names = [f"package{n:02}" for n in range(50)]
    try:
        statuses = together(
            *(
                lambda name=name: server.put(name, SERVICE.format(name=name), 120)
                for name in names
            )
        )
    finally:
        load.stop()

    assert [200] * 50 == statuses
    assert names == [server.text(f"/{name}") for name in names]
    assert ([], 0) == (load.lost, load.refused)


@pytest.fixture(name="server", params=["paster", "gunicorn"])
def _server(request: pytest.FixtureRequest, cluster: ClusterSite) -> Server:
    server = cluster.server(kind=request.param).start()
    cluster.wait_for_nodes(server.nodes)
    server.deploy(shop=shop(1), stock=stock(1))
    return server


def head(server: Server, length: int) -> bytes:
    """Return the beginning of an upload."""
    lines = [
        f"PUT {API}/packages/stock HTTP/1.1",
        "Host: test",
        f"Authorization: Bearer {server.token}",
        f"Content-Length: {length}",
    ]
    return "\r\n".join([*lines, "", ""]).encode()


def test_upload_is_cut(cluster: ClusterSite, server: Server) -> None:
    """Of an upload whose end never comes nothing stays, and nothing is deployed.

    What came of it would be a module as it stands: gunicorn hands a cut body over as
    if it were whole, and where nobody counted, that was deployed.
    """
    before = cluster.states()
    whole = stock(2, "# " + "x" * 300_000).encode()
    for length in (0, 100, 200_000):
        with closing(socket.create_connection(("127.0.0.1", server.port))) as link:
            link.sendall(head(server, len(whole)) + whole[:length])

    # what comes after it on all threads shows that it was seen
    for _ in range(20):
        assert "1 1" == server.text()
    wait_for(
        lambda: not cluster.files_in(cluster.folder / "var/uploads"),
        "nothing of it lies about",
    )
    assert before == cluster.states()
    with cluster.ledger() as ledger:
        parts = [hashlib.sha256(whole[:n]).hexdigest() for n in (100, 200_000)]
        assert [False, False] == [ledger.has(one) for one in parts]


def test_upload_of_one_byte_a_second(cluster: ClusterSite, server: Server) -> None:
    """A client that takes its time holds up neither requests nor deployments."""
    over = threading.Event()
    begun = threading.Barrier(3)

    def send() -> None:
        body = stock(666).encode()
        with closing(socket.create_connection(("127.0.0.1", server.port))) as link:
            link.sendall(head(server, len(body)) + body[:1])
            begun.wait()
            for byte in body[1:]:
                if over.wait(1):
                    return
                link.sendall(bytes([byte]))

    with ThreadPoolExecutor(2) as pool:
        for _ in range(2):
            pool.submit(send)
        begun.wait()
        load = Hammer(server.port, ("/shop",)).start(1, 1)
        try:
            server.deploy(stock=stock(2))
            wait_for(lambda: b"1 2" in load.bodies, "the new one serves")
        finally:
            load.stop()
            over.set()

    cluster.wait_for_nodes(server.nodes)
    assert ([], {b"1 1", b"1 2"}) == (load.lost, load.bodies)
    assert {"1 2"} == {server.text() for _ in range(10)}
