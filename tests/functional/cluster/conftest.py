"""Clusters of real processes on a real PostgreSQL, which leave nothing behind."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import postgresql_server
from cluster_site import ClusterSite

if TYPE_CHECKING:
    from collections.abc import Iterator

    from postgresql_server import PostgresqlServer


@pytest.fixture(name="database", scope="module")
def _database() -> PostgresqlServer:
    """Give the server that the tests of this process share."""
    return postgresql_server.shared()


@pytest.fixture(name="cluster", scope="module")
def _cluster(database: PostgresqlServer) -> Iterator[ClusterSite]:
    """Give a site whose ledger is an empty database."""
    folder = Path(tempfile.mkdtemp(prefix="pointsman-"))
    folder.chmod(0o755)
    name = database.create()
    try:
        with ClusterSite(folder, database.url(name)) as cluster:
            yield cluster
    finally:
        database.give_back(name)
        shutil.rmtree(folder)
