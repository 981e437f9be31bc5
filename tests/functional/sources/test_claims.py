"""Who keeps a path that two services want, over a restart."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from pointsman.errors import LedgerError
from pointsman.model import Mount
from pointsman.preparation import Preparation
from site_folder import SiteFolder, get, outcomes, statuses

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

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
    """A ledger that is begun anew knows nobody; then the order of the list decides."""
    site.write("zeta.py", SERVICE)
    site.host().node.close()
    site.write("alpha.py", SERVICE)
    (site.folder / "var" / "ledger.sqlite").unlink()
    host = site.host()

    assert "alpha" == get(host, "/shop").text


def test_the_ledger_remembers_who_was_first(site: SiteFolder) -> None:
    """Each name and each path is written down with its package."""
    site.write("zeta.py", SERVICE)
    host = site.host()

    assert {"zeta.shop": "zeta", "/shop": "zeta"} == dict(host.node.ledger.mounts())


def test_who_is_gone_has_nothing(site: SiteFolder) -> None:
    """Neither what is taken away from a host, nor what was gone when it started."""
    zeta = site.write("zeta.py", SERVICE)
    alpha = site.write("alpha.py", SERVICE.replace("/shop", "/other"))
    host = site.host()
    alpha.unlink()
    host.node.reload()
    assert {"zeta.shop": "zeta", "/shop": "zeta"} == dict(host.node.ledger.mounts())

    host.node.close()
    zeta.unlink()
    site.write("library.py", "x = 1")
    assert {} == dict(site.host().node.ledger.mounts())


def test_who_cannot_ask_the_ledger_serves_on(
    site: SiteFolder, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Claims that cannot be written are logged, and cost no more than that."""
    site.write("zeta.py", SERVICE)
    host = site.host()

    def lost(*_: object) -> None:
        raise LedgerError("sqlite:///x", "is read-only")

    monkeypatch.setattr(host.node.ledger, "keep_mounts", lost)
    site.write("alpha.py", SERVICE.replace("/shop", "/other"))
    host.node.reload()

    assert "alpha" == get(host, "/other").text
    assert "not written down: the ledger sqlite:///x: is read-only" in caplog.text


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


def test_two_that_want_the_same_are_two() -> None:
    """Also where one of them had it: who comes beside it moves a name and a path.

    Mutant: compared by who has each name and path, of which the last one is told.
    """

    def version(package: str) -> Any:
        mount = Mount(service="shop", path="/shop", package=package, origin="here")
        loaded = SimpleNamespace(services=[SimpleNamespace(mount=mount)])
        return SimpleNamespace(loaded=loaded)

    known = SimpleNamespace(versions={"a": version("a")})
    preparation: Any = SimpleNamespace(_traffic=known)
    for names, moves in ((["a"], False), (["b", "a"], True), (["a", "a2"], True)):
        staged = {name: version(name).loaded for name in names}
        round_: Any = SimpleNamespace(staged=staged, dropped=())
        assert moves is Preparation.moves_mounts(preparation, round_)
