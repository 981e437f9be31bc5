"""Fixtures for all tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from site_folder import SiteFolder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(name="site")
def _site(tmp_path: Path) -> Iterator[SiteFolder]:
    """Give a folder with services; its hosts are closed at the end."""
    site = SiteFolder(tmp_path)
    yield site
    site.close()
