"""A site, and three ways to reach it."""

from __future__ import annotations

import socketserver
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import pytest
from paste.deploy import loadapp

from cluster_site import ClusterSite
from functional.cli.operator import Operator

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(name="cluster")
def _cluster(tmp_path: Path) -> Iterator[ClusterSite]:
    """Give a folder whose servers are ended afterwards."""
    with ClusterSite(tmp_path) as cluster:
        yield cluster


@pytest.fixture(name="operator", params=["server", "ledger", "alone"])
def _operator(
    cluster: ClusterSite, request: pytest.FixtureRequest
) -> Iterator[Operator]:
    """Give an operator who asks a host, works beside it, or has none.

    The host is in this process, and no code runs in a child first: each of these
    tests runs three times.  Other tests have servers as people run them.
    """
    server = cluster.server("deploy", rehearse="no")
    if request.param == "alone":
        yield Operator(cluster.folder, ("--ini", str(server.ini), "--ledger"))
        return
    with _served(server.ini) as url:
        token = ("--token-file", str(cluster.folder / "control.token"))
        over_ledger = ("--ini", str(server.ini), "--ledger")
        over_http = ("--url", url, *token)
        where = over_ledger if request.param == "ledger" else over_http
        yield Operator(cluster.folder, where)


@contextmanager
def _served(ini: Path) -> Iterator[str]:
    """Serve an ini in threads of this process; give the URL."""
    application: Any = loadapp(f"config:{ini}")
    server = make_server("127.0.0.1", 0, application, _Server, _Quiet)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
        application.node.close()


class _Server(socketserver.ThreadingMixIn, WSGIServer):
    daemon_threads = False


class _Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        pass
