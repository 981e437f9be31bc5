"""A site to switch, which leaves no process behind."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from functional.handover.site import Site

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(name="site")
def _site(tmp_path: Path) -> Iterator[Site]:
    site = Site(tmp_path)
    try:
        yield site
    finally:
        site.end_all()
