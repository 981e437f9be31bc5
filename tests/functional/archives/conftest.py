"""Fixtures for tests of archives and wheels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from functional.archives.place import Site

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(name="place")
def _place(tmp_path: Path) -> Iterator[Site]:
    """Give a site whose ini has settings for one service; close it at the end."""
    settings = {"crm.web": {"page_size": "99"}, "crm.moved": {"path": "/elsewhere"}}
    site = Site(tmp_path, settings)
    yield site
    site.close()
