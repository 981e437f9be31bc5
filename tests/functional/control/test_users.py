"""Users: a name and a password beside tokens, with the same roles."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

import pytest

from control_surface import Surface
from pointsman.control import passwords
from pointsman.control.throttle import Throttle
from site_folder import SiteFolder

if TYPE_CHECKING:
    from collections.abc import Iterator

    from site_folder import Answer

SECRET = "correct horse battery"


@pytest.fixture(name="surface")
def _surface(site: SiteFolder) -> Surface:
    return Surface(site.host())


@pytest.fixture(name="shared", scope="module")
def _shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Surface]:
    """Give a host to tests that change nothing of note."""
    site = SiteFolder(tmp_path_factory.mktemp("shared"))
    surface = Surface(site.host())
    for role in ("viewer", "deployer", "admin"):
        create(surface, role, role)
    yield surface
    site.close()


def create(surface: Surface, name: str, role: str, password: str = SECRET) -> Answer:
    """Make a user, as the machine's own token."""
    body = {"name": name, "role": role, "password": password}
    return surface.ask("POST", "/users", json_body=body)


def basic(name: str, password: str = SECRET) -> dict[str, Any]:
    """Return the header of one who signs in (RFC 7617)."""
    told = base64.b64encode(f"{name}:{password}".encode()).decode()
    return {"HTTP_AUTHORIZATION": f"Basic {told}"}


def told(answer: Answer) -> Any:
    """Return the JSON of an answer."""
    return json.loads(answer.body)


def test_a_user_signs_in(surface: Surface, site: SiteFolder) -> None:
    """With name and password; the ledger has neither the password nor its digest."""
    made = create(surface, "anna", "deployer")
    deployed = surface.put("crm", "one", **basic("anna"))
    who = surface.document("GET", "/whoami", **basic("anna"))
    (listed,) = surface.document("GET", "/users")["users"]
    ledger = (site.folder / "var" / "ledger.sqlite").read_bytes()
    ledger += (site.folder / "var" / "ledger.sqlite-wal").read_bytes()

    assert ["201 Created", "200 OK"] == [made.status, deployed.status]
    assert made.headers["Location"].endswith("/api/v1/users/anna")
    assert ("user anna", "deployer", []) == (who["name"], who["role"], who["packages"])
    assert "user anna" == told(deployed)["actor"]["name"]
    assert ("valid", "control.token") == (listed["state"], listed["created_by"])
    assert listed["used_at"] is not None
    assert {"id", "hash", "password"} & listed.keys() == {"id"}
    assert SECRET.encode() not in ledger
    assert b"$argon2id$" in ledger


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({}, 400),
        ({"name": "a", "role": "viewer"}, 400),
        ({"name": "a", "role": "god", "password": SECRET}, 400),
        ({"name": "a:b", "role": "viewer", "password": SECRET}, 400),
        ({"name": "", "role": "viewer", "password": SECRET}, 400),
        ({"name": "a", "role": "viewer", "password": "x" * 11}, 400),
        ({"name": "a", "role": "viewer", "password": "x" * 201}, 400),
        ({"name": "a", "role": "viewer", "password": "x" * 11 + "\n"}, 400),
        ({"name": "a", "role": "viewer", "password": "x" * 11 + "\ud800"}, 400),
        ({"name": "a", "role": "viewer", "password": 5}, 400),
        ({"name": "a", "role": "viewer", "password": SECRET, "admin": True}, 400),
        ({"name": "viewer", "role": "admin", "password": SECRET}, 409),
    ],
    ids=lambda value: ascii(value)[:60],
)
def test_users_that_are_not_made(shared: Surface, body: Any, status: int) -> None:
    """Each is told what is wrong, without the password."""
    answer = shared.ask("POST", "/users", json_body=body)

    assert status == int(answer.status[:3])
    assert SECRET.encode() not in answer.body


@pytest.mark.parametrize(
    ("method", "path", "needed"),
    [
        ("GET", "/packages", "viewer"),
        ("POST", "/services/crm.hello/stop", "deployer"),
        ("GET", "/tokens", "admin"),
        ("GET", "/users", "admin"),
        ("POST", "/users", "admin"),
        ("DELETE", "/users/none", "admin"),
        ("PUT", "/users/none/password", "admin"),
    ],
)
def test_roles(shared: Surface, method: str, path: str, needed: str) -> None:
    """They are those of tokens, and 403 says which one is needed."""
    roles = ["viewer", "deployer", "admin"]
    for role in roles:
        answer = shared.ask(method, path, **basic(role))
        allowed = roles.index(role) >= roles.index(needed)

        assert allowed == (not answer.status.startswith("403"))
        assert not answer.status.startswith(("401", "5"))
        if not allowed:
            assert needed in told(answer)["detail"]


def test_wrong_passwords_look_alike(surface: Surface) -> None:
    """Nobody learns who is a user: one sentence, and one comparison, for all.

    Broken on purpose: without a hash for nobody, argon2 is asked twice.
    """
    create(surface, "anna", "viewer")
    create(surface, "gone", "viewer")
    surface.ask("DELETE", "/users/gone")
    asked: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        real = passwords._HASHER

        class Counting:
            def verify(self, kept: str, password: str) -> bool:
                asked.append(kept)
                return real.verify(kept, password)

        patch.setattr(passwords, "_HASHER", Counting())
        answers = [
            surface.ask("GET", "/packages", **basic("anna", "wrong")),
            surface.ask("GET", "/packages", **basic("nobody")),
            surface.ask("GET", "/packages", **basic("gone")),
        ]

    assert ["401 Unauthorized"] * 3 == [answer.status for answer in answers]
    assert 1 == len({answer.body for answer in answers})
    assert 3 == len(asked)


def test_a_password_is_compared_once_a_minute(
    surface: Surface, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The requests between are as quick as with a token; another password is not."""
    create(surface, "anna", "admin")
    surface.ask("GET", "/packages", **basic("anna"))
    monkeypatch.setattr(passwords, "_HASHER", None)
    known = surface.ask("GET", "/packages", **basic("anna"))
    monkeypatch.undo()
    other = surface.ask("GET", "/packages", **basic("anna", SECRET + "!"))

    assert ["200 OK", "401 Unauthorized"] == [known.status, other.status]


def test_a_new_password_ends_the_old_one_at_once(surface: Surface) -> None:
    """Also one that was right a moment ago; anybody changes the own one."""
    create(surface, "anna", "viewer")
    create(surface, "berit", "viewer")
    new = {"password": "another horse battery"}
    surface.ask("GET", "/packages", **basic("anna"))
    changed = surface.ask("PUT", "/users/anna/password", json_body=new, **basic("anna"))
    others = surface.ask(
        "PUT", "/users/berit/password", json_body=new, **basic("anna", new["password"])
    )
    by_admin = surface.ask("PUT", "/users/berit/password", json_body=new)
    nobody = surface.ask("PUT", "/users/none/password", json_body=new)

    assert [200, 403, 200, 404] == [
        int(answer.status[:3]) for answer in (changed, others, by_admin, nobody)
    ]
    assert ["401 Unauthorized", "200 OK"] == [
        surface.ask("GET", "/packages", **basic("anna", word)).status
        for word in (SECRET, new["password"])
    ]


def test_a_removed_user_is_out_at_once(surface: Surface) -> None:
    """The password that was right a moment ago opens nothing; the history stays."""
    create(surface, "anna", "viewer")
    before = surface.ask("GET", "/packages", **basic("anna"))
    removed = surface.ask("DELETE", "/users/anna")
    after = surface.ask("GET", "/packages", **basic("anna"))
    again = surface.ask("DELETE", "/users/anna")
    (listed,) = surface.document("GET", "/users")["users"]
    events = [one["what"] for one in surface.document("GET", "/events")["events"]]

    assert [200, 200, 401, 404] == [
        int(answer.status[:3]) for answer in (before, removed, after, again)
    ]
    assert "removed" == listed["state"]
    assert ["user remove", "user create"] == events[:2]


def test_tokens_that_are_bound_make_no_users(surface: Surface) -> None:
    """Nobody widens the own rights by making somebody else."""
    bound = surface.token_of("admin", "crm*")
    body = {"name": "anna", "role": "admin", "password": SECRET}
    answers = [
        surface.ask("POST", "/users", json_body=body, token=bound),
        surface.ask("DELETE", "/users/anna", token=bound),
        surface.ask("PUT", "/users/anna/password", json_body=body, token=bound),
    ]

    assert [403] * 3 == [int(answer.status[:3]) for answer in answers]


def test_failures_are_slowed_down(
    site: SiteFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As those of tokens; and what comes before its time is not even compared.

    Broken on purpose: without `early`, eight threads try eight passwords at a time.
    """
    slept: list[float] = []
    now = [0.0]

    def sleep(seconds: float) -> None:
        slept.append(seconds)

    monkeypatch.setattr(Throttle.__init__, "__defaults__", (sleep, lambda: now[0]))
    surface = Surface(site.host())
    create(surface, "anna", "viewer")
    create(surface, "berit", "viewer")
    there: dict[str, Any] = {"REMOTE_ADDR": "192.0.2.1"}
    surface.ask("GET", "/packages", **basic("berit"), **there)
    for _ in range(4):
        surface.ask("GET", "/packages", **basic("anna", "wrong"), **there)
    early = surface.ask("GET", "/packages", **basic("anna"), **there)
    known = surface.ask("GET", "/packages", **basic("berit"), **there)
    token = surface.ask("GET", "/packages", **there)
    elsewhere = surface.ask("GET", "/packages", **basic("anna"))
    now[0] = 0.06
    later = surface.ask("GET", "/packages", **basic("anna"), **there)

    assert [0.05] == slept
    assert ("429 Too Many Requests", "1") == (
        early.status,
        early.headers["Retry-After"],
    )
    assert ["200 OK"] * 4 == [
        answer.status for answer in (known, token, elsewhere, later)
    ]


def test_pages_of_other_sites_deploy_nothing(surface: Surface) -> None:
    """A browser that knows the password sends it with whatever page asks.

    Broken on purpose: without the look at where it comes from, the form deploys.
    """
    create(surface, "anna", "admin")
    foreign = {"HTTP_ORIGIN": "https://evil.example", "HTTP_HOST": "localhost"}
    refused = surface.put("crm", "one", **basic("anna"), **foreign)
    token = surface.put("crm", "one", **foreign)

    assert ["403 Forbidden", "200 OK"] == [refused.status, token.status]
    assert "another site" in told(refused)["detail"]


@pytest.mark.parametrize("text", ["Basic", "Basic ", "Basic !", "Basic YW5uYQ=="])
def test_headers_that_say_nothing(shared: Surface, text: str) -> None:
    """401 says what is expected, and names both schemes to programs."""
    answer = shared.ask("GET", "/packages", HTTP_AUTHORIZATION=text)

    assert "401 Unauthorized" == answer.status
    schemes = 'Bearer realm="pointsman", Basic realm="pointsman", charset="UTF-8"'
    assert schemes == answer.headers["WWW-Authenticate"]


def test_the_document_names_both_schemes(shared: Surface) -> None:
    """Programs learn from it that there are tokens, and names with passwords."""
    found = shared.document("GET", "/openapi.json", base="/_pointsman")
    schemes = found["components"]["securitySchemes"]

    assert {"token": "bearer", "user": "basic"} == {
        name: scheme["scheme"] for name, scheme in schemes.items()
    }
    operation = found["paths"]["/api/v1/packages"]["get"]
    assert [{"token": []}, {"user": []}] == operation["security"]
