"""Tokens: who may do what, until when, on which packages; the lock; the audit log."""

from __future__ import annotations

import hashlib
import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from control_surface import Surface, form, module
from pointsman.control.throttle import Throttle
from site_folder import SiteFolder

if TYPE_CHECKING:
    from collections.abc import Iterator

    from site_folder import Answer


@pytest.fixture(name="surface")
def _surface(site: SiteFolder) -> Surface:
    return Surface(site.host())


@pytest.fixture(name="shared", scope="module")
def _shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Surface]:
    """Give a host to tests that change nothing of note."""
    site = SiteFolder(tmp_path_factory.mktemp("shared"))
    surface = Surface(site.host())
    surface.token_of("viewer", name="taken")
    yield surface
    site.close()


def told(answer: Answer) -> Any:
    """Return the JSON of an answer."""
    return json.loads(answer.body)


def test_token_is_told_once(surface: Surface, site: SiteFolder) -> None:
    """256 bits; the ledger has its SHA-256 and nothing else of it."""
    answer = surface.ask(
        "POST",
        "/tokens",
        json_body={"name": "ci", "role": "viewer", "expires_in": 3600},
    )
    made = told(answer)
    (listed,) = surface.document("GET", "/tokens")["tokens"]
    ledger = (site.folder / "var" / "ledger.sqlite").read_bytes()
    ledger += (site.folder / "var" / "ledger.sqlite-wal").read_bytes()

    assert "201 Created" == answer.status
    assert answer.headers["Location"].endswith("/api/v1/tokens/ci")
    assert re.fullmatch(r"pm_[\w-]{43}", made["token"])
    assert ("ci", "viewer", "valid", "control.token") == tuple(
        listed[key] for key in ("name", "role", "state", "created_by")
    )
    assert "token" not in listed
    assert made["token"].encode() not in ledger
    assert hashlib.sha256(made["token"].encode()).hexdigest().encode() in ledger


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({}, 400),
        ({"name": "a"}, 400),
        ({"name": "a", "role": "god"}, 400),
        ({"name": "", "role": "viewer"}, 400),
        ({"name": "<b>", "role": "viewer"}, 400),
        ({"name": "x" * 101, "role": "viewer"}, 400),
        ({"name": 1, "role": "viewer"}, 400),
        ({"name": "a", "role": "viewer", "packages": "crm"}, 400),
        ({"name": "a", "role": "viewer", "packages": [1]}, 400),
        ({"name": "a", "role": "viewer", "packages": ["a b"]}, 400),
        ({"name": "a", "role": "viewer", "packages": ["a"] * 101}, 400),
        ({"name": "a", "role": "viewer", "expires_in": 0}, 400),
        ({"name": "a", "role": "viewer", "expires_in": -1}, 400),
        ({"name": "a", "role": "viewer", "expires_in": 1e300}, 400),
        ({"name": "a", "role": "viewer", "expires_in": True}, 400),
        ({"name": "a", "role": "viewer", "expires": 5}, 400),
        ({"name": "taken", "role": "viewer"}, 409),
        ({"name": "a", "role": "viewer", "expires_in": None}, 201),
    ],
    ids=lambda value: str(value)[:60],
)
def test_tokens_that_are_not_made(shared: Surface, body: Any, status: int) -> None:
    """Each is told what is wrong, without markup."""
    answer = shared.ask("POST", "/tokens", json_body=body)

    assert status == int(answer.status[:3])
    assert b"<" not in answer.body


def test_revoked(surface: Surface) -> None:
    """A revoked token is refused at once, and told that it was."""
    token = surface.token_of("viewer", name="ci")
    before = surface.ask("GET", "/packages", token=token)
    revoked = surface.ask("DELETE", "/tokens/ci")
    after = surface.ask("GET", "/packages", token=token)

    assert ["200 OK", "200 OK", "401 Unauthorized", "404 Not Found"] == [
        before.status,
        revoked.status,
        after.status,
        surface.ask("DELETE", "/tokens/ci").status,
    ]
    assert "the token ci was revoked at 20" in told(after)["detail"]
    assert after.headers["WWW-Authenticate"].startswith('Bearer realm="pointsman"')


def test_an_id_without_end_is_nobodys(shared: Surface) -> None:
    """Python itself would refuse to read so many digits."""
    answer = shared.ask("DELETE", "/tokens/" + "1" * 5000)

    assert "404 Not Found" == answer.status


def test_expired(surface: Surface, monkeypatch: pytest.MonkeyPatch) -> None:
    """An expired token is refused, and told since when."""
    from dataclasses import replace

    ledger = surface.host.node.ledger
    token = surface.token_of("viewer", name="ci", expires_in=3600)
    real = ledger.observe

    def later(node: str) -> object:
        seen = real(node)
        return replace(seen, now=seen.now + 3601) if not node else seen

    before = surface.ask("GET", "/packages", token=token)
    monkeypatch.setattr(ledger, "observe", later)
    answer = surface.ask("GET", "/packages", token=token)

    assert ("200 OK", "401 Unauthorized") == (before.status, answer.status)
    assert "the token ci has expired at 20" in told(answer)["detail"]
    assert "expired" == surface.document("GET", "/tokens")["tokens"][0]["state"]


def test_unknown(surface: Surface) -> None:
    """One that looks like ours, and one that does not."""
    details = [
        told(surface.ask("GET", "/packages", token=token))["detail"]
        for token in ("pm_" + "x" * 43, "nonsense")
    ]

    assert [
        "this token is not known",
        "this is not the token of this host",
    ] == details


@pytest.fixture(name="tokens", scope="module")
def _tokens(shared: Surface) -> dict[str, str]:
    """Give a token of each role, the least first."""
    return {role: shared.token_of(role) for role in ("viewer", "deployer", "admin")}


CALLS = [
    ("GET", "/packages", "viewer"),
    ("GET", "/generations", "viewer"),
    ("GET", "/nodes", "viewer"),
    ("GET", "/events", "viewer"),
    ("GET", "/lock", "viewer"),
    ("GET", "/whoami", "viewer"),
    ("PUT", "/packages/crm", "deployer"),
    ("DELETE", "/packages/crm", "deployer"),
    ("POST", "/packages/crm/rollback", "deployer"),
    ("POST", "/plan", "deployer"),
    ("POST", "/generations/1/rollback", "deployer"),
    ("POST", "/services/crm.hello/stop", "deployer"),
    ("POST", "/reload", "deployer"),
    ("PUT", "/lock", "deployer"),
    ("GET", "/tokens", "admin"),
    ("POST", "/tokens", "admin"),
    ("DELETE", "/tokens/x", "admin"),
]


@pytest.mark.parametrize(("method", "path", "needed"), CALLS)
def test_roles(
    shared: Surface, tokens: dict[str, str], method: str, path: str, needed: str
) -> None:
    """Each role may do what those below it may; 403 names the one that is needed."""
    roles = list(tokens)
    for role, token in tokens.items():
        answer = shared.ask(method, path, token=token)
        allowed = roles.index(role) >= roles.index(needed)

        assert allowed == (not answer.status.startswith("403"))
        assert not answer.status.startswith(("401", "5"))
        if not allowed:
            assert f"is a {role}; this needs a {needed}" in told(answer)["detail"]


def test_metrics_are_for_viewers(surface: Surface) -> None:
    """A scraper needs no more than that."""
    token = surface.token_of("viewer")

    assert "200 OK" == (
        surface.ask("GET", "/metrics", token=token, base="/_pointsman").status
    )


def test_bound_to_packages(surface: Surface) -> None:
    """A token for crm* changes those, and nothing else by any way (403, with why)."""
    surface.put("crm", "one")
    surface.put("shop", "one")
    surface.ask("PUT", "/packages/base", b"WORD = 1\n")
    surface.ask("PUT", "/packages/crm_uses", b"import base\n" + module("u"))
    surface.ask("PUT", "/packages/shop_uses", b"import crm\n" + module("u"))
    token = surface.token_of("deployer", "crm*")
    both, headers = form(("f", "crm.py", module("x")), ("f", "shop.py", module("x")))
    allowed = [
        surface.put("crm", "two", token=token),
        surface.ask("POST", "/packages/crm/rollback", token=token),
        surface.ask("POST", "/services/crm.hello/stop", token=token),
        surface.ask("POST", "/services/crm.hello/start", token=token),
        surface.ask("GET", "/packages/shop", token=token),
    ]
    refused = [
        surface.put("shop", "two", token=token),
        surface.put("Crm", "two", token=token),
        surface.ask("DELETE", "/packages/shop", token=token),
        surface.ask("DELETE", "/packages?name=crm_uses&name=shop", token=token),
        surface.ask("DELETE", "/packages/crm?cascade=yes", token=token),
        surface.ask("POST", "/packages/shop/rollback", token=token),
        surface.ask("POST", "/packages", both, token=token, **headers),
        surface.ask("POST", "/services/shop.hello/stop", token=token),
        surface.ask(
            "POST",
            "/services/stop",
            token=token,
            json_body={"services": ["shop.hello"]},
        ),
        surface.ask("POST", "/generations/1/rollback", token=token),
        surface.ask("POST", "/reload", token=token),
        surface.ask("PUT", "/lock", token=token, json_body={"reason": "x"}),
    ]

    assert ["200 OK"] * len(allowed) == [answer.status for answer in allowed]
    assert ["403 Forbidden"] * len(refused) == [answer.status for answer in refused]
    assert "token deployer1 is bound to crm*" in told(refused[0])["detail"]
    assert "one" == surface.say("shop")


def test_an_admin_bound_to_packages_stays_bound(surface: Surface) -> None:
    """It makes no token that is not bound, and revokes nobody's."""
    other = surface.token_of("deployer", name="other")
    bound = surface.token_of("admin", "crm", name="bound")
    free = {"name": "free", "role": "admin"}
    refused = [
        surface.ask("POST", "/tokens", token=bound, json_body=free),
        surface.ask("DELETE", "/tokens/other", token=bound),
    ]

    assert ["403 Forbidden"] * 2 == [answer.status for answer in refused]
    assert "needs a token that is not bound" in told(refused[0])["detail"]
    assert "200 OK" == surface.ask("GET", "/packages", token=other).status
    assert {"other", "bound"} == {
        one["name"] for one in surface.document("GET", "/tokens")["tokens"]
    }


def test_whoami(surface: Surface) -> None:
    """Whose token it is."""
    token = surface.token_of("deployer", "crm*", name="ci")

    assert ("token ci", "deployer", ["crm*"]) == tuple(
        surface.document("GET", "/whoami", token=token)[key]
        for key in ("name", "role", "packages")
    )
    assert "control.token" == surface.document("GET", "/whoami")["name"]


def test_lock(surface: Surface) -> None:
    """Whoever locks may deploy, nobody else may; an admin can end it."""
    holder = surface.token_of("deployer", name="holder")
    other = surface.token_of("deployer", name="other")
    reason = {"reason": "incident 42"}
    free = surface.document("GET", "/lock")
    locked = surface.document("PUT", "/lock", token=holder, json_body=reason)
    statuses = [
        surface.put("crm", "one", token=other).status,
        surface.put("crm", "one", token=holder).status,
        surface.ask("PUT", "/lock", token=other, json_body=reason).status,
        surface.ask("DELETE", "/lock", token=other).status,
        surface.ask("DELETE", "/lock?force=yes", token=other).status,
        surface.ask("DELETE", "/lock").status,
        surface.ask("DELETE", "/lock?force=yes").status,
        surface.put("crm", "two", token=other).status,
    ]

    assert {"locked": False} == free
    assert (True, "incident 42", "token holder") == (
        locked["locked"],
        locked["reason"],
        locked["actor"]["name"],
    )
    assert [423, 200, 423, 423, 403, 423, 200, 200] == [int(s[:3]) for s in statuses]
    assert {"unlocked": False} == surface.document("DELETE", "/lock")


@pytest.mark.parametrize("reason", ["", "  ", "x" * 501, 1, None])
def test_lock_without_a_reason(shared: Surface, reason: Any) -> None:
    """Others want to know why."""
    answer = shared.ask("PUT", "/lock", json_body={"reason": reason})

    assert "400 Bad Request" == answer.status


def test_every_change_is_an_event(surface: Surface) -> None:
    """Who, from where, and what; the newest first."""
    token = surface.token_of("deployer", name="ci")
    given: dict[str, Any] = {"token": token, "REMOTE_ADDR": "192.0.2.9"}
    surface.put("crm", "one", **given)
    surface.ask("POST", "/services/crm.hello/stop", **given)
    surface.ask("PUT", "/lock", json_body={"reason": "x"}, **given)
    surface.ask("DELETE", "/lock", **given)
    surface.ask("POST", "/reload", **given)
    surface.ask("DELETE", "/packages/crm", **given)
    surface.ask("DELETE", "/tokens/ci")
    found = surface.document("GET", "/events")["events"]
    mine = [one for one in found if one["actor"]["name"] == "token ci"]

    assert {"deploy", "stop", "undeploy", "reload", "lock", "unlock"} <= {
        one["what"] for one in mine
    }
    assert {"192.0.2.9"} == {one["actor"]["address"] for one in mine}
    assert [one["id"] for one in found] == sorted(
        (one["id"] for one in found), reverse=True
    )
    before = surface.document("GET", f"/events?limit=1&before={found[0]['id']}")

    assert [found[1]["id"]] == [one["id"] for one in before["events"]]


def test_failures_are_slowed_down(
    site: SiteFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each failure of one address waits longer; a right token never does."""
    slept: list[float] = []
    monkeypatch.setattr(Throttle.__init__, "__defaults__", (slept.append, lambda: 0.0))
    surface = Surface(site.host())
    for _ in range(6):
        surface.ask("GET", "/packages", token="wrong", REMOTE_ADDR="192.0.2.1")
    surface.ask("GET", "/packages", REMOTE_ADDR="192.0.2.1")

    assert [0.05, 0.1, 0.2] == slept


def test_ready_tells_a_traceback_to_those_who_are_known(
    surface: Surface, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Anybody hears that it is behind; the traceback is for a token."""
    detail = {"status": "behind", "generation": 1, "reason": "crm: why\nTraceback"}
    monkeypatch.setattr(surface.host.node, "readiness", lambda: (False, detail))
    known = surface.ask("GET", "/health/ready", base="/_pointsman")
    other = surface.ask("GET", "/health/ready", base="/_pointsman", token="wrong")

    assert ["503 Service Unavailable"] * 2 == [known.status, other.status]
    assert ["crm: why\nTraceback", "crm: why"] == [
        told(known)["reason"],
        told(other)["reason"],
    ]


def test_ledger_tokens_without_the_file(site: SiteFolder) -> None:
    """Where the ini turns the file's token off, those of the ledger go on."""
    token = Surface(site.host()).token_of("viewer")
    without = Surface(site.host(control__token_file=""))

    assert ["200 OK", "401 Unauthorized"] == [
        without.ask("GET", "/packages", token=token).status,
        without.ask("GET", "/packages", token="x").status,
    ]
