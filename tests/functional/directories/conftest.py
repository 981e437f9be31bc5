"""Fixtures for watched directories."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from watched_site import WatchedSite

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(name="watched")
def _watched(tmp_path: Path) -> Iterator[WatchedSite]:
    """Give directories, a ledger, and a node that votes; all is closed at the end."""
    site = WatchedSite(tmp_path)
    yield site
    site.close()
