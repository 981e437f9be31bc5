"""Fixtures for tests of namespaces."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from functional.namespace.two_versions import TwoVersions

if TYPE_CHECKING:
    from collections.abc import Iterator

    from site_folder import SiteFolder


@pytest.fixture(name="versions", params=["old", "new"])
def _versions(
    site: SiteFolder, request: pytest.FixtureRequest
) -> Iterator[TwoVersions]:
    """Give two versions alive at once; the one named is asked first."""
    versions = TwoVersions(site, request.param)
    yield versions
    versions.close()
