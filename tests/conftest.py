"""Fixtures for all tests."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import pytest

from site_folder import SiteFolder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Let a worker of pytest-xdist import what bin/test can."""
    node.gateway.remote_exec(f"import sys; sys.path[:] = {sys.path!r}").waitclose()


@pytest.fixture(name="site")
def _site(tmp_path: Path) -> Iterator[SiteFolder]:
    """Give a folder with services; its hosts are closed at the end."""
    site = SiteFolder(tmp_path)
    yield site
    site.close()
