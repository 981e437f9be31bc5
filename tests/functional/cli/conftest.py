"""A site, and three ways to reach it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

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
def _operator(cluster: ClusterSite, request: pytest.FixtureRequest) -> Operator:
    """Give an operator who asks a server, works beside it, or has none."""
    server = cluster.server("deploy")
    if request.param != "alone":
        server.start()
    where: tuple[str, ...] = ("--ini", str(server.ini))
    if request.param != "server":
        where += ("--ledger",)
    return Operator(cluster.folder, where)
