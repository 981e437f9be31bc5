"""Deploying, undeploying and rolling back over HTTP, in this process."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from control_surface import Surface, form, module
from site_folder import SiteFolder, get

if TYPE_CHECKING:
    from collections.abc import Iterator

    from site_folder import Answer


@pytest.fixture(name="surface")
def _surface(site: SiteFolder) -> Surface:
    return Surface(site.host())


@pytest.fixture(name="shared", scope="module")
def _shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Surface]:
    """Give a host to tests that change nothing, with one package."""
    site = SiteFolder(tmp_path_factory.mktemp("shared"))
    surface = Surface(site.host())
    surface.put("crm", "one")
    yield surface
    site.close()


def told(answer: Answer) -> Any:
    """Return the JSON of an answer."""
    return json.loads(answer.body)


def uploads(surface: Surface) -> list[str]:
    """Return what lies in the folder of uploads."""
    folder = surface.host.node.settings.work_dir / "uploads"
    return [path.name for path in folder.iterdir()] if folder.exists() else []


# ONE PACKAGE


def test_put(surface: Surface) -> None:
    """The new one answers as soon as the deployment is answered, on each node."""
    answer = surface.put("crm", "one", REMOTE_ADDR="192.0.2.7")
    found = told(answer)
    digest = hashlib.sha256(module("one")).hexdigest()

    assert ("200 OK", '"1"') == (answer.status, answer.headers["ETag"])
    assert (1, "active", False, []) == tuple(
        found[key] for key in ("generation", "state", "unchanged", "late")
    )
    assert {"name": "control.token", "address": "192.0.2.7"} == found["actor"]
    assert [(surface.host.node.id, True)] == [
        (vote["node"], vote["loaded"]) for vote in found["votes"]
    ]
    assert answer.headers["Location"].endswith("/_pointsman/api/v1/generations/1")

    hello = get(surface.host, "/crm/hello")

    assert ("one", "1", f"sha256:{digest}") == (
        hello.text,
        hello.headers["Pointsman-Generation"],
        hello.headers["Pointsman-Digest"],
    )


def test_put_again(surface: Surface) -> None:
    """The same digest again makes no generation, and says so."""
    surface.put("crm", "one")
    answer = surface.put("crm", "one")

    assert ("200 OK", 1, True) == (
        answer.status,
        told(answer)["generation"],
        told(answer)["unchanged"],
    )


def test_put_of_nothing(surface: Surface) -> None:
    """A body that was forgotten is no empty module: the package stays."""
    surface.put("crm", "one")
    answer = surface.ask("PUT", "/packages/crm", b"")

    assert "400 Bad Request" == answer.status
    assert "the body is empty; send the artifact of crm" in answer.text
    assert "one" == surface.say("crm")


def test_put_that_fails(surface: Surface) -> None:
    """422 has the traceback in the author's file; the old one serves."""
    surface.put("crm", "one")
    answer = surface.ask("PUT", "/packages/crm", b"import no_such_module\n")
    found = told(answer)

    assert "422 Unprocessable" in answer.status
    assert "application/problem+json" == answer.headers["Content-Type"]
    assert ("failed", ["crm"]) == (
        found["state"],
        [failure["package"] for failure in found["failures"]],
    )
    assert (
        "ModuleNotFoundError: No module named 'no_such_module'"
        in (found["failures"][0]["traceback"])
    )
    assert "one" == surface.say("crm")


def test_put_without_waiting(surface: Surface) -> None:
    """202 at once; the generation can be asked for."""
    answer = surface.put("crm?wait=0", "one")
    number = told(answer)["generation"]
    surface.host.node.deployments.wait(number, 20)

    assert "202 Accepted" == answer.status
    assert "active" == surface.document("GET", f"/generations/{number}")["state"]


def test_put_that_is_not_decided(surface: Surface) -> None:
    """504 once the time is over: it is taken back, and nothing comes of it later."""
    slow = b"import time\ntime.sleep(1)\n" + module("slow")
    surface.put("crm", "one")
    answer = surface.ask("PUT", "/packages/crm?wait=0.05", slow)

    assert "504 Gateway" in answer.status
    assert (True, "failed") == (told(answer)["timed_out"], told(answer)["state"])
    surface.put("crm", "two")

    assert "two" == surface.say("crm")


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"CONTENT_LENGTH": ""}, 411),
        ({"CONTENT_LENGTH": "-1"}, 400),
        ({"CONTENT_LENGTH": "x"}, 400),
        ({"CONTENT_LENGTH": "999"}, 400),
        ({"CONTENT_LENGTH": str(2**60)}, 413),
        ({"CONTENT_LENGTH": "", "wsgi.input_terminated": True}, 200),
        ({"HTTP_CONTENT_ENCODING": "gzip"}, 415),
        ({"HTTP_CONTENT_DIGEST": "sha-256=:AAAA:"}, 400),
        ({"HTTP_CONTENT_DIGEST": "nonsense"}, 400),
        ({"HTTP_CONTENT_DIGEST": "md5=:AAAA:"}, 200),
        ({"HTTP_CONTENT_DISPOSITION": 'attachment; filename="crm.py"'}, 200),
        ({"HTTP_CONTENT_DISPOSITION": 'attachment; filename="shop.py"'}, 422),
        ({"HTTP_CONTENT_DISPOSITION": 'attachment; filename="crm.sar"'}, 415),
        ({"HTTP_CONTENT_DISPOSITION": "=;;\x80"}, 200),
        ({"QUERY_STRING": "file=crm.exe"}, 415),
        ({"QUERY_STRING": "wait=soon"}, 400),
        ({"QUERY_STRING": "wait=%ff"}, 400),
        ({"QUERY_STRING": "note=" + "x" * 501}, 400),
        ({"QUERY_STRING": "nobody=knows"}, 400),
        ({"QUERY_STRING": "wiat=0"}, 400),
        ({"QUERY_STRING": "note=%C3%BC&wait=20&wait=30"}, 200),
    ],
    ids=str,
)
def test_headers_and_parameters(
    shared: Surface, headers: dict[str, Any], status: int
) -> None:
    """Each is as HTTP says, or refused by name; what is refused changes nothing."""
    shared.put("crm", "one")
    answer = shared.put("crm", "two", **headers)

    assert status == int(answer.status[:3])
    assert ("two" if status == 200 else "one") == shared.say("crm")
    assert [] == uploads(shared)


def test_if_match(surface: Surface) -> None:
    """Only who has seen the last generation changes it."""
    surface.put("crm", "one")
    tags = ('"0"', 'W/"1"', '"x"', "1", '"1', '"1"', "*", '"0", "3"')
    statuses = [
        surface.put("crm", f"by {tag!a}".replace('"', ""), HTTP_IF_MATCH=tag).status
        for tag in tags
    ]

    assert [412, 412, 412, 400, 400, 200, 200, 200] == [int(s[:3]) for s in statuses]


@pytest.mark.parametrize("name", ["Content-Digest", "Repr-Digest"])
@pytest.mark.parametrize("kind", ["sha256", "sha512"])
@pytest.mark.parametrize("right", [True, False])
def test_digest(shared: Surface, name: str, kind: str, *, right: bool) -> None:
    """What comes is compared with what was announced; a wrong one leaves nothing."""
    word = f"{name} {kind} {right}"
    content = module(word) if right else b"other"
    digest = base64.b64encode(hashlib.new(kind, content).digest()).decode()
    key = f"HTTP_{name.upper().replace('-', '_')}"
    header = f"{kind[:3]}-{kind[3:]}=:{digest}:"
    answer = shared.put("crm", word, **{key: header})

    assert (200 if right else 400) == int(answer.status[:3])
    assert [] == uploads(shared)
    if not right:
        assert name in told(answer)["detail"]
        assert not shared.host.node.ledger.has(hashlib.sha256(module(word)).hexdigest())


def test_too_large(site: SiteFolder) -> None:
    """413 when it is announced, and when it only comes; nothing of it stays."""
    surface = Surface(site.host(control__max_upload_mb="1"))
    large = b"#" * (1024 * 1024 + 1)
    endless: dict[str, Any] = {"CONTENT_LENGTH": "", "wsgi.input_terminated": True}
    answers = [
        surface.ask("PUT", "/packages/crm", large),
        surface.ask(
            "PUT",
            "/packages/crm",
            large,
            **endless,
        ),
    ]
    body, headers = form(("f", "crm.py", large))
    answers.append(surface.ask("POST", "/packages", body, **headers))

    assert [413, 413, 413] == [int(answer.status[:3]) for answer in answers]
    assert [] == uploads(surface)


class Cut(io.RawIOBase):
    """A client that goes away in the middle, as servers tell it."""

    def __init__(self, error: type[Exception] | None) -> None:
        self._error = error
        self._left = 3

    def read(self, size: int = -1) -> bytes:
        self._left -= 1
        if self._left > 0:
            return b"#" * min(size, 100)
        if self._error is not None:
            raise self._error
        return b""


@pytest.mark.parametrize("error", [None, OSError, ConnectionResetError, EOFError])
def test_cut_in_the_middle(shared: Surface, error: type[Exception] | None) -> None:
    """400, and nothing of it stays."""
    given: dict[str, Any] = {"wsgi.input": Cut(error), "CONTENT_LENGTH": "10000"}
    answer = shared.ask("PUT", "/packages/crm", **given)

    assert "400 Bad Request" == answer.status
    assert "the body was cut after 200 of 10000 bytes" in told(answer)["detail"]
    assert [] == uploads(shared)


def test_one_byte_at_a_time(surface: Surface) -> None:
    """However slowly it comes, it is taken as it is."""
    rest = io.BytesIO(module("slow"))

    class Slow:
        def read(self, size: int) -> bytes:
            return rest.read(min(size, 1))

    size = str(len(module("slow")))
    given: dict[str, Any] = {"wsgi.input": Slow(), "CONTENT_LENGTH": size}

    assert "200 OK" == surface.ask("PUT", "/packages/crm", **given).status
    assert "slow" == surface.say("crm")


def test_uploads_at_once(surface: Surface) -> None:
    """Fifty clients at once: each has its generation, and an answer that is true."""
    found: dict[str, str] = {}

    def put(number: int) -> None:
        found[f"p{number}"] = surface.put(f"p{number}", str(number)).status

    threads = [threading.Thread(target=put, args=(n,)) for n in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert {"200 OK"} == set(found.values())
    assert [str(n) for n in range(50)] == [surface.say(f"p{n}") for n in range(50)]


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("a%00b", 404),
        ("..%2f..%2fetc", 404),
        ("../../health/live", 404),
        ("..", 400),
        (".hidden", 400),
        ("%D1%81rm", 400),
        ("%ff", 404),
        ("x" * 300, 400),
        ("a%20b", 400),
        ("%3Cscript%3E", 400),
        ("", 404),
    ],
)
def test_names(shared: Surface, path: str, status: int) -> None:
    """What cannot be a name is refused, shown in ASCII and without markup."""
    answer = shared.put(path, "x")

    assert status == int(answer.status[:3])
    assert answer.body.isascii()
    assert b"<" not in answer.body
    assert "application/problem+json" == answer.headers["Content-Type"]
    for method, rest in (("GET", ""), ("DELETE", ""), ("POST", "/rollback")):
        other = shared.ask(method, f"/packages/{path}{rest}")

        assert int(other.status[:3]) in {404, 405}


# SEVERAL


def test_post(surface: Surface) -> None:
    """Several files are one generation; packages can go in it, too."""
    surface.put("going", "x")
    body, headers = form(
        ("file", "crm.py", module("c")),
        ("file", "shop.py", module("s")),
        ("remove", None, b"going"),
        ("note", None, "für alle".encode()),
    )
    answer = surface.ask("POST", "/packages", body, **headers)
    found = told(answer)

    assert ("200 OK", 2, "für alle") == (
        answer.status,
        found["generation"],
        found["note"],
    )
    assert ["crm", "going", "shop"] == sorted(c["package"] for c in found["changes"])
    assert ["c", "s"] == [surface.say("crm"), surface.say("shop")]
    assert "404 Not Found" == get(surface.host, "/going/hello").status


def test_post_is_all_or_nothing(surface: Surface) -> None:
    """One that cannot be loaded takes the others back."""
    body, headers = form(
        ("file", "crm.py", module("c")), ("file", "shop.py", b"import no_such\n")
    )
    answer = surface.ask("POST", "/packages", body, **headers)

    assert "422 Unprocessable" in answer.status
    assert {} == surface.host.node.deployments.active().entries


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ([], 400),
        ([("note", None, b"only")], 400),
        ([("f", "crm.py", b"a = 1\n"), ("note", None, b"x" * 501)], 400),
        ([("f", "crm.py", b"a = 1\n"), ("f", "crm.py", b"a = 2\n")], 400),
        ([("f", "crm.py", b"a = 1\n"), ("remove", None, b"crm")], 400),
        ([("remove", None, b"a"), ("remove", None, b"a")], 400),
        ([("file", None, b"a = 1\n")], 400),
        ([("<b>", None, b"x")], 400),
        ([("f", "", b"a = 1\n")], 400),
        ([("f", "crm.exe", b"a = 1\n")], 415),
        ([("f", "../../c\\rm.py", b"a = 1\n")], 200),
        ([("remove", None, b"nobody")], 409),
    ],
    ids=str,
)
def test_forms(
    surface: Surface, fields: list[tuple[str, str | None, bytes]], status: int
) -> None:
    """What a form may not have is refused by name."""
    body, headers = form(*fields)
    answer = surface.ask("POST", "/packages", body, **headers)

    assert status == int(answer.status[:3]), answer.text
    assert b"<" not in answer.body
    assert [] == uploads(surface)


def test_form_that_is_cut(surface: Surface) -> None:
    """What is cut in the second file deploys none."""
    body, headers = form(("f", "a.py", module("a")), ("f", "b.py", module("b")))
    answers = [
        surface.ask("POST", "/packages", body[:-60], **headers),
        surface.ask("POST", "/packages", body[:-60], CONTENT_LENGTH="900", **headers),
        surface.ask("POST", "/packages", b"", CONTENT_TYPE="application/json"),
    ]

    assert [400, 400, 415] == [int(answer.status[:3]) for answer in answers]
    assert [] == uploads(surface)
    assert {} == surface.host.node.deployments.active().entries


@pytest.mark.parametrize("path", ["/plan", "/packages?dry_run=1"])
def test_plan(surface: Surface, path: str) -> None:
    """It tells what would change, line by line, and changes nothing."""
    surface.put("crm", "one")
    body, headers = form(
        ("f", "crm.py", module("two")), ("f", "shop.py", module("new"))
    )
    found = surface.document("POST", path, body, **headers)

    assert 1 == found["generation"]
    assert [("crm", "updated"), ("shop", "added")] == [
        (each["package"], each["status"]) for each in found["packages"]
    ]
    diff = found["packages"][0]["files"][0]["diff"]

    assert '-        return "one"\n+        return "two"\n' in diff
    assert ["/crm/hello", "crm.hello"] == found["packages"][0]["mounts"]
    assert "one" == surface.say("crm")


# WHAT IS THERE


def test_listing(surface: Surface, site: SiteFolder) -> None:
    """Active, static and shadowed ones, each with where it is from."""
    site.write("static.py", module("s").decode())
    site.write("both.py", module("old").decode())
    surface.ask("POST", "/reload")
    surface.put("both", "new")
    answer = surface.ask("GET", "/packages")
    found = {(p["package"], p["status"]): p for p in told(answer)["packages"]}

    assert [("both", "active"), ("both", "shadowed"), ("static", "static")] == sorted(
        found
    )
    assert '"1"' == answer.headers["ETag"]
    active, shadowed = found["both", "active"], found["both", "shadowed"]

    assert (
        hashlib.sha256(module("new")).hexdigest(),
        "push",
        "both.py",
        ["both.hello"],
    ) == tuple(active[key] for key in ("digest", "source", "file", "services"))
    assert (f"{site.services}/both.py", []) == (shadowed["file"], shadowed["services"])
    assert "new" == surface.say("both")
    assert active == surface.document("GET", "/packages/both")


def test_artifact(surface: Surface) -> None:
    """What was deployed can be fetched again, with its digest."""
    surface.put("crm", "one")
    answer = surface.ask("GET", "/packages/crm/artifact")
    digest = base64.b64encode(hashlib.sha256(module("one")).digest()).decode()

    assert module("one") == answer.body
    assert f"sha-256=:{digest}:" == answer.headers["Content-Digest"]
    assert 'attachment; filename="crm.py"' == answer.headers["Content-Disposition"]
    assert "404 Not Found" == surface.ask("GET", "/packages/shop/artifact").status


# AWAY AND BACK


def test_delete(surface: Surface) -> None:
    """It answers no more; a second time there is nothing to take away."""
    surface.put("crm", "one")

    assert ["200 OK", "404 Not Found"] == [
        surface.ask("DELETE", "/packages/crm").status,
        surface.ask("DELETE", "/packages/crm").status,
    ]
    assert "404 Not Found" == get(surface.host, "/crm/hello").status


def test_delete_several(surface: Surface) -> None:
    """They go in one generation; without a name nothing goes."""
    surface.put("crm", "one")
    surface.put("shop", "one")

    assert "400 Bad Request" == surface.ask("DELETE", "/packages").status
    assert "200 OK" == surface.ask("DELETE", "/packages?name=crm&name=shop").status
    assert {} == surface.host.node.deployments.active().entries


def test_delete_what_others_import(surface: Surface) -> None:
    """409 with their names, unless they may go too."""
    surface.ask("PUT", "/packages/base", b"WORD = 'b'\n")
    surface.ask("PUT", "/packages/crm", b"import base\n" + module("c"))
    refused = surface.ask("DELETE", "/packages/base")

    assert "409 Conflict" == refused.status
    assert "crm import from base" in told(refused)["detail"]
    assert "200 OK" == surface.ask("DELETE", "/packages/base?cascade=yes").status
    assert {} == surface.host.node.deployments.active().entries


@pytest.mark.parametrize("body", [None, {}, {"to": None}, {"to": 1}, {"to": "1"}])
def test_rollback(surface: Surface, body: Any) -> None:
    """The artifact before this one, or that of a generation."""
    surface.put("crm", "one")
    surface.put("crm", "two")
    answer = surface.ask("POST", "/packages/crm/rollback", json_body=body)

    assert ("200 OK", "rollback") == (answer.status, told(answer)["what"])
    assert "one" == surface.say("crm")


def test_a_host_that_came_up_behind_is_brought_back(site: SiteFolder) -> None:
    """What is active does not load after a start: a rollback does, and is voted on.

    Mutant: nobody is called up where all are behind; it fails after its time then.
    """
    needed = site.folder / "needed"
    needed.touch()
    first = Surface(site.host())
    first.put("crm", "one")
    needing = b"open(%r).close()\n" % str(needed) + module("two")
    assert "200 OK" == first.ask("PUT", "/packages/crm", needing).status
    first.host.node.close()
    needed.unlink()

    second = Surface(site.host())
    health = "/_pointsman/health/ready"
    assert ("503 Service Unavailable", True) == (
        (answer := get(second.host, health)).status,
        "No such file" in answer.text,
    )
    assert "200 OK" == second.ask("POST", "/packages/crm/rollback").status
    assert ("one", "200 OK") == (second.say("crm"), get(second.host, health).status)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"{", 400),
        (b"[]", 400),
        (b"\xff", 400),
        (b'{"too": 1}', 400),
        (b'{"to": true}', 400),
        (b'{"to": 1.5}', 400),
        (b'{"to": "<b>"}', 400),
        (b'{"to": 99}', 404),
        (b'{"to": -1}', 404),
        (b'{"to": 1e400}', 400),
        (b'{"note": "' + b"x" * 501 + b'"}', 400),
        (b'{"to": ' + b"9" * 100 + b"}", 404),
        (b"[" * 60_000, 400),
        (b"{" + b" " * 70_000 + b"}", 413),
    ],
    ids=lambda value: str(value)[:20],
)
def test_rollback_bodies(shared: Surface, body: bytes, status: int) -> None:
    """What is no JSON of ours is refused, and never a fault of ours."""
    answer = shared.ask("POST", "/packages/crm/rollback", body)

    assert status == int(answer.status[:3])
    assert b"<" not in answer.body


def test_generations(surface: Surface) -> None:
    """Who, what and when; what changed; and back to a whole one."""
    surface.put("crm?note=first", "one")
    surface.put("crm", "two")
    surface.put("shop", "one")
    newest = surface.document("GET", "/generations?limit=2")["generations"]
    older = surface.document("GET", "/generations?before=2")["generations"]
    diff = surface.document("GET", "/generations/2/diff")["packages"]
    answer = surface.ask("POST", "/generations/1/rollback")
    first = surface.document("GET", "/generations/1")

    assert ([3, 2], [(1, "first")]) == (
        [each["generation"] for each in newest],
        [(each["generation"], each["note"]) for each in older],
    )
    assert ["crm"] == [each["package"] for each in diff]
    assert '-        return "one"\n+        return "two"' in diff[0]["files"][0]["diff"]
    assert "200 OK" == answer.status
    assert ("retired", ["crm"]) == (
        first["state"],
        [each["package"] for each in first["packages"]],
    )
    assert first["timings"]["spread_ms"] == 0
    assert ("one", "404 Not Found") == (
        surface.say("crm"),
        get(surface.host, "/shop/hello").status,
    )


@pytest.mark.parametrize(
    "path", ["0", "99", "-1", "x", "1.0", "9" * 30, "%D9%A3", "99/diff"]
)
def test_generations_that_are_not_there(shared: Surface, path: str) -> None:
    """404, whatever is asked for."""
    answer = shared.ask("GET", f"/generations/{path}")

    assert "404 Not Found" == answer.status


def test_stop_and_start(surface: Surface) -> None:
    """A stopped service answers 503 with Retry-After, and comes back."""
    surface.put("crm", "one")
    surface.put("shop", "one")
    stopped = surface.ask("POST", "/services/crm.hello/stop")
    answer = get(surface.host, "/crm/hello")
    states = {
        one["name"]: one["state"]
        for one in surface.document("GET", "/services")["services"]
    }
    both = {"services": ["crm.hello", "shop.hello"]}
    started = [
        surface.ask("POST", "/services/crm.hello/start").status,
        surface.ask("POST", "/services/stop", json_body=both).status,
        surface.ask("POST", "/services/start", json_body=both).status,
    ]

    assert ("200 OK", "503 Service Unavailable") == (stopped.status, answer.status)
    assert int(answer.headers["Retry-After"]) > 0
    assert {"crm.hello": "stopped", "shop.hello": "running"} == states
    assert ["200 OK"] * 3 == started
    assert ["one", "one"] == [surface.say("crm"), surface.say("shop")]


def test_start_before_the_first_generation(site: SiteFolder) -> None:
    """A static service that runs is the first generation's; again makes no second."""
    site.write("hello.py", module("hi").decode())
    surface = Surface(site.host())
    answers = [surface.ask("POST", "/services/hello.hello/start") for _ in range(2)]

    assert ["200 OK"] * 2 == [answer.status for answer in answers]
    assert [(1, False), (1, True)] == [
        (told["generation"], told["unchanged"])
        for told in (json.loads(answer.body) for answer in answers)
    ]
    assert "hi" == surface.say("hello")


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("crm.helo/stop", None, 404),
        ("%3Cb%3E/start", None, 404),
        ("stop", {}, 400),
        ("stop", {"services": []}, 400),
        ("stop", {"services": [1]}, 400),
        ("start", {"services": "crm.hello"}, 400),
    ],
)
def test_services_that_are_not_there(
    shared: Surface, path: str, body: Any, status: int
) -> None:
    """404 for names, 400 for bodies."""
    answer = shared.ask("POST", f"/services/{path}", json_body=body)

    assert status == int(answer.status[:3])
    assert b"<" not in answer.body


def test_nodes(surface: Surface) -> None:
    """Host, pid, release, Python, state, generation, lease, and what it says."""
    surface.put("crm", "one")
    (node,) = surface.document("GET", "/nodes?leaks=yes")["nodes"]
    threads = surface.document("GET", f"/nodes/{node['node']}/threads")

    assert (surface.host.node.id, "ready", 1, True, []) == tuple(
        node[key] for key in ("node", "state", "generation", "alive", "leaks")
    )
    assert "pointsman-node" in {one["name"] for one in threads["threads"]}
    assert "404 Not Found" == surface.ask("GET", "/nodes/nobody/threads").status


def test_a_change_needs_the_ledger(
    surface: Surface, monkeypatch: pytest.MonkeyPatch
) -> None:
    """503 with Retry-After, and the services go on."""
    from pointsman.errors import LedgerError

    surface.put("crm", "one")

    def fails(*_: object, **__: object) -> None:
        raise LedgerError("sqlite:///x", "locked")

    monkeypatch.setattr(surface.host.node.ledger, "propose", fails)
    answer = surface.put("crm", "two")

    assert ("503 Service Unavailable", "5") == (
        answer.status,
        answer.headers["Retry-After"],
    )
    assert "one" == surface.say("crm")


def test_a_fault_of_ours(
    surface: Surface,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """500 tells nothing but where to look; the log has the traceback."""

    def fails(*_: object, **__: object) -> None:
        raise ZeroDivisionError("<secret>")

    monkeypatch.setattr(surface.host.node.ledger, "events", fails)
    answer = surface.ask("GET", "/events")

    assert "500 Internal Server Error" == answer.status
    assert "secret" not in answer.text
    assert "ZeroDivisionError: <secret>" in caplog.text


def test_options(shared: Surface) -> None:
    """It tells the methods of a path, to everybody."""
    answer = shared.ask("OPTIONS", "/packages/crm", token="")

    assert ("204 No Content", "DELETE, GET, HEAD, OPTIONS, PUT") == (
        answer.status,
        answer.headers["Allow"],
    )
    assert "404 Not Found" == shared.ask("OPTIONS", "/nothing").status


def test_metrics(surface: Surface) -> None:
    """Deployments and uploads by how they ended; what is active, and who is there."""
    surface.put("crm", "one")
    surface.put("crm", "one")
    surface.ask("PUT", "/packages/crm", b"import no_such\n")
    surface.ask("PUT", "/packages/crm", b"\0")
    text = surface.ask("GET", "/metrics", base="/_pointsman").text

    for line in (
        "pointsman_generation 1.0",
        'pointsman_deployments_total{outcome="active"} 1.0',
        'pointsman_deployments_total{outcome="failed"} 1.0',
        'pointsman_deployments_total{outcome="unchanged"} 1.0',
        'pointsman_uploads_total{outcome="accepted"} 3.0',
        'pointsman_uploads_total{outcome="refused"} 1.0',
        "pointsman_lingering 0.0",
        "pointsman_directories_held 0.0",
        f'pointsman_node{{node="{surface.host.node.id}",state="ready"}} 1.0',
        "pointsman_staging_seconds ",
    ):
        assert line in text
    page = (Path(__file__).parents[3] / "docs/operating/metrics.md").read_text("utf-8")
    names = re.findall(r"# TYPE (pointsman_\w+) (?:counter|gauge)", text)
    assert set() == {name for name in names if f"`{name}`" not in page}
