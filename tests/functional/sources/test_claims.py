"""Who keeps a path that two services want, over a restart."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from site_folder import SiteFolder, get, outcomes, statuses

if TYPE_CHECKING:
    from pathlib import Path

SERVICE = """
    from pointsman import Service

    class Shop(Service):
        path = "/shop"

        def handle(self, request):
            return __name__
"""


def test_the_first_keeps_its_path(site: SiteFolder) -> None:
    """One that comes later is refused, with both origins, though it is listed first."""
    site.write("zeta.py", SERVICE)
    host = site.host()
    early = site.write("alpha.py", SERVICE)
    report = host.node.reload()

    assert {"alpha": "failed", "zeta": "unchanged"} == statuses(report)
    assert "zeta" == get(host, "/shop").text
    reason = outcomes(report)["alpha"].reason
    assert str(early) in reason
    assert str(site.services / "zeta.py") in reason


def test_a_restart_changes_nothing(site: SiteFolder) -> None:
    """The next process gives the path to who had it, not to who is listed first."""
    site.write("zeta.py", SERVICE)
    site.host().node.close()
    site.write("alpha.py", SERVICE)
    host = site.host()

    assert "zeta" == get(host, "/shop").text


def test_without_claims_the_order_decides(site: SiteFolder) -> None:
    """Claims that are lost or damaged cost no more than the order."""
    site.write("zeta.py", SERVICE)
    site.host().node.close()
    site.write("alpha.py", SERVICE)
    claims = site.folder / "var" / "claims.json"
    assert {"zeta.shop": "zeta", "/shop": "zeta"} == json.loads(claims.read_text())
    claims.write_text("[1, 2")
    host = site.host()

    assert "alpha" == get(host, "/shop").text


def test_the_path_is_free_when_its_owner_goes(site: SiteFolder) -> None:
    """Who was refused gets the path as soon as nobody has it."""
    zeta: Path = site.write("zeta.py", SERVICE)
    host = site.host()
    site.write("alpha.py", SERVICE)
    host.node.reload()
    zeta.unlink()
    report = host.node.reload()

    assert {"alpha": "added", "zeta": "removed"} == statuses(report)
    assert "alpha" == get(host, "/shop").text


def test_nothing_is_mounted_at_the_control_surface(site: SiteFolder) -> None:
    """The host keeps its own path, also from a service at the root."""
    site.write("root.py", SERVICE.replace("/shop", "/"))
    site.write("thief.py", SERVICE.replace("/shop", "/_pointsman/health"))
    host = site.host()
    report = host.node.last

    assert report is not None
    assert {"root": "added", "thief": "failed"} == statuses(report)
    assert "/_pointsman" in outcomes(report)["thief"].reason
    assert "200 OK" == get(host, "/_pointsman/health/live").status
    assert "root" == get(host, "/anything").text
