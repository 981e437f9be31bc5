"""Clusters of real processes, which leave nothing behind."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cluster_site import ClusterSite

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(name="cluster")
def _cluster() -> Iterator[ClusterSite]:
    """Give a folder that other users can reach, which pytest's own are not."""
    folder = Path(tempfile.mkdtemp(prefix="pointsman-"))
    folder.chmod(0o755)
    try:
        with ClusterSite(folder) as cluster:
            yield cluster
    finally:
        shutil.rmtree(folder)
