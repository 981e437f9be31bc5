"""A site whose hosts are deployed to, in this process."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from site_folder import SiteFolder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(name="site")
def closed_afterwards(tmp_path: Path) -> Iterator[SiteFolder]:
    """Return a folder with an empty directory of services."""
    site = SiteFolder(tmp_path)
    yield site
    site.close()
