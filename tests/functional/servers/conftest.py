"""A cluster of real processes, which leaves nothing behind."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cluster_site import ClusterSite

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(name="cluster")
def _cluster(tmp_path: Path) -> Iterator[ClusterSite]:
    with ClusterSite(tmp_path) as cluster:
        yield cluster
