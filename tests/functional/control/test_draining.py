"""A node is drained and resumed: over HTTP, and what its probe answers."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from control_surface import Surface
from site_folder import get
from waiting import wait_for

if TYPE_CHECKING:
    from site_folder import SiteFolder


@pytest.fixture(name="surface")
def _surface(site: SiteFolder) -> Surface:
    surface = Surface(site.host())
    assert "200 OK" == surface.put("shop", "one").status
    return surface


def probe(surface: Surface) -> tuple[str, str]:
    """Return what a balancer sees."""
    answer = get(surface.host, "/_pointsman/health/ready")
    return answer.status, json.loads(answer.body)["status"]


def test_draining_and_resuming(surface: Surface) -> None:
    """Not ready, and serving; then ready again.  The same twice changes nothing."""
    node = surface.host.node.id
    drained = surface.document("POST", f"/nodes/{node}/drain")
    again = surface.document("POST", f"/nodes/{node}/drain")
    unready = ("503 Service Unavailable", "draining")
    wait_for(lambda: unready == probe(surface), "it is not ready")
    assert "one" == surface.say("shop")

    assert (node, "draining", True) == tuple(
        drained[key] for key in ("node", "state", "changed")
    )
    assert not again["changed"]
    resumed = surface.document("POST", f"/nodes/{node}/resume")
    wait_for(lambda: ("200 OK", "ready") == probe(surface), "it is ready")
    assert (node, True) == (resumed["node"], resumed["changed"])


def test_the_audit_log_has_it(surface: Surface) -> None:
    """Who drained which node."""
    node = surface.host.node.id
    surface.document("POST", f"/nodes/{node}/drain")
    newest = surface.document("GET", "/events?limit=1")["events"][0]

    assert ("node drain", node, "control.token") == (
        newest["what"],
        newest["subject"],
        newest["actor"]["name"],
    )


@pytest.mark.parametrize("word", ["drain", "resume"])
def test_no_such_node(surface: Surface, word: str) -> None:
    """A name that no node has is 404."""
    assert "404 Not Found" == surface.ask("POST", f"/nodes/nobody/{word}").status


@pytest.mark.parametrize(
    ("role", "packages"), [("viewer", ()), ("deployer", ("shop*",))]
)
def test_who_may_not(surface: Surface, role: str, packages: tuple[str, ...]) -> None:
    """It concerns all packages: a viewer may not, nor a token that is for some."""
    path = f"/nodes/{surface.host.node.id}/drain"
    answer = surface.ask("POST", path, token=surface.token_of(role, *packages))

    assert ("403 Forbidden", "200 OK") == (answer.status, probe(surface)[0])


def test_the_end_of_a_node(surface: Surface) -> None:
    """A server that is about to stop lets its nodes say so, at once."""
    surface.host.node.drain()

    assert ("503 Service Unavailable", "draining") == probe(surface)
    assert "one" == surface.say("shop")
