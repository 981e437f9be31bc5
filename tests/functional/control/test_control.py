"""The control surface: who may, what it answers, and the file with the token."""

from __future__ import annotations

import json
import os
import re
import stat
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest

from pointsman.control.application import ROUTES
from pointsman.control.basic import challenges
from pointsman.control.token import TokenFile
from pointsman.errors import ConfigError
from site_folder import Answer, SiteFolder, get

if TYPE_CHECKING:
    from pathlib import Path

    from pointsman.control.routes import Route
    from pointsman.wsgi import Host

SERVICE = """
from pointsman import Service

class Hello(Service):
    def handle(self, request):
        return "hello"
"""

API = "/_pointsman/api/v1"


@pytest.fixture(name="host")
def _host(site: SiteFolder) -> Host:
    site.write("shop.py", SERVICE)
    return site.host()


def token_of(host: Host) -> str:
    """Return the token of a host."""
    file = host.node.settings.control_token_file
    assert file is not None
    return file.read_text().strip()


def ask(host: Host, path: str, method: str = "GET", **environ: Any) -> Answer:
    """Ask the control surface, with the token unless one is given."""
    environ.setdefault("HTTP_AUTHORIZATION", f"Bearer {token_of(host)}")
    return get(host, path, REQUEST_METHOD=method, **environ)


def document(answer: Answer) -> Any:
    """Return the JSON of an answer."""
    return json.loads(answer.body)


# WHO MAY


@pytest.mark.parametrize(
    "given", ["", "Bearer", "Bearer ", "Bearer wrong", "Basic dTpw", "bearer \xe9", "x"]
)
def test_without_the_token(host: Host, given: str) -> None:
    """401, with the schemes to use (RFC 9110), and nothing is reloaded."""
    generation = host.node.last
    answer = ask(host, f"{API}/reload", "POST", HTTP_AUTHORIZATION=given)

    assert ("401 Unauthorized", ", ".join(challenges({})), 401) == (
        answer.status,
        answer.headers["WWW-Authenticate"],
        document(answer)["status"],
    )
    assert generation is host.node.last


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_with_the_token(host: Host, scheme: str) -> None:
    """The scheme's case does not matter (RFC 9110)."""
    given = f"{scheme} {token_of(host)}"

    assert (
        "200 OK" == ask(host, f"{API}/reload", "POST", HTTP_AUTHORIZATION=given).status
    )


@pytest.mark.parametrize(
    ("path", "method"),
    [
        ("/api/v1/reload", "POST"),
        ("/api/v1/packages", "GET"),
        ("/api/v1/services", "GET"),
        ("/api/v1/leaks", "GET"),
        ("/metrics", "GET"),
    ],
)
def test_what_is_guarded(host: Host, path: str, method: str) -> None:
    """Each of these needs the token."""
    path = f"/_pointsman{path}"
    statuses = [
        ask(host, path, method, HTTP_AUTHORIZATION="").status,
        ask(host, path, method).status,
    ]

    assert ["401 Unauthorized", "200 OK"] == statuses


@pytest.mark.parametrize("path", ["/health/live", "/health/ready"])
def test_probes_are_open(host: Host, path: str) -> None:
    """A load balancer has no token."""
    assert "200 OK" == get(host, f"/_pointsman{path}").status


@pytest.mark.parametrize("route", ROUTES, ids=lambda r: f"{r.method} {r.path}")
def test_every_route_is_guarded(host: Host, route: Route) -> None:
    """Without a token only the probes and the description answer, and not one more."""
    path = re.sub(r"{\w+}", "1", route.path)
    answer = get(host, f"/_pointsman{path}", REQUEST_METHOD=route.method)
    is_open = route.path.startswith(("/health/", "/openapi"))

    assert is_open == (route.role is None)
    assert ("200 OK" if is_open else "401 Unauthorized") == answer.status


def test_no_token_file(site: SiteFolder) -> None:
    """Where the ini turns the token off, there is none for this host; probes go on."""
    host = site.host(control__token_file="")
    given = {"HTTP_AUTHORIZATION": "Bearer x"}

    assert ("401 Unauthorized", "200 OK") == (
        get(host, f"{API}/reload", REQUEST_METHOD="POST", **given).status,
        get(host, "/_pointsman/health/live").status,
    )


def test_token_file_that_others_can_read(
    host: Host, caplog: pytest.LogCaptureFixture
) -> None:
    """A token that is known is refused, even the right one; the log says what to do."""
    file = host.node.settings.control_token_file
    assert file is not None
    file.chmod(0o644)
    answer = ask(host, f"{API}/reload", "POST")

    assert "403 Forbidden" == answer.status
    assert str(file) not in answer.text
    assert f"{file}: others can read it (mode 0644)" in caplog.text
    assert f"chmod 600 {file}" in caplog.text


def test_replaced_token(host: Host) -> None:
    """Replacing the file replaces the token, without a restart."""
    old = f"Bearer {token_of(host)}"
    file = host.node.settings.control_token_file
    assert file is not None
    file.write_text("another-token-of-this-host\n")
    statuses = [
        ask(host, f"{API}/services", HTTP_AUTHORIZATION=old).status,
        ask(host, f"{API}/services").status,
    ]

    assert ["401 Unauthorized", "200 OK"] == statuses


# WHAT IS THERE


@pytest.mark.parametrize("path", ["", "/", "/api", "/api/v1/reload/", "/api/v2/reload"])
def test_nothing_there(host: Host, path: str) -> None:
    """404 names what there is."""
    answer = ask(host, f"/_pointsman{path}")

    assert "404 Not Found" == answer.status
    assert "/api/v1/reload" in document(answer)["detail"]


@pytest.mark.parametrize(
    ("path", "method", "allow"),
    [
        ("/api/v1/reload", "GET", "OPTIONS, POST"),
        ("/api/v1/reload", "DELETE", "OPTIONS, POST"),
        ("/api/v1/services", "POST", "GET, HEAD, OPTIONS"),
        ("/health/live", "PUT", "GET, HEAD, OPTIONS"),
    ],
)
def test_wrong_method(host: Host, path: str, method: str, allow: str) -> None:
    """405 names the method that is right, in the header too (RFC 9110)."""
    answer = ask(host, f"/_pointsman{path}", method)

    assert ("405 Method Not Allowed", allow) == (answer.status, answer.headers["Allow"])
    assert method in document(answer)["detail"]


def test_head(host: Host) -> None:
    """HEAD is GET without a body."""
    answer = ask(host, f"{API}/services", "HEAD")

    assert ("200 OK", b"") == (answer.status, answer.body)


def test_own_path(site: SiteFolder) -> None:
    """The control surface is where the ini wants it, and only there."""
    host = site.host(control__path="/admin/host/")

    assert ["200 OK", "404 Not Found", "404 Not Found"] == [
        get(host, path).status
        for path in (
            "/admin/host/health/live",
            "/_pointsman/health/live",
            "/admin/hostile",
        )
    ]


def test_services(host: Host, site: SiteFolder) -> None:
    """Each service has its path, package, digest, origin and load."""
    package = host.node.traffic.versions["shop"].loaded.package

    assert [
        {
            "name": "shop.hello",
            "path": "/shop/hello",
            "package": "shop",
            "digest": package.artifact.digest,
            "origin": f"{site.services}/shop.py",
            "state": "running",
            "in_flight": 0,
        }
    ] == document(ask(host, f"{API}/services"))["services"]


def test_metrics(host: Host) -> None:
    """Requests are counted by service, beside what services count themselves."""
    get(host, "/shop/hello")
    get(host, "/shop/hello")
    text = ask(host, "/_pointsman/metrics").text

    assert 'pointsman_requests_total{service="shop.hello"} 2.0' in text
    assert "pointsman_generation 0.0" in text
    assert "pointsman_switches_total 1.0" in text
    assert "pointsman_ledger_up 1.0" in text
    assert 'pointsman_requests_in_flight{digest="' in text


# RELOAD


def by_package(answer: Answer) -> dict[str, Any]:
    """Return what became of each package."""
    return {one["package"]: one for one in document(answer)["packages"]}


def test_reload_tells_all(host: Host, site: SiteFolder) -> None:
    """Added, updated, unchanged, removed and host: each with what belongs to it."""
    site.write("kept.py", SERVICE)
    site.write("going.py", SERVICE)
    site.list.write_text("services\nwsgiref.util\n")
    ask(host, f"{API}/reload", "POST")
    site.write("shop.py", SERVICE + "# changed\n")
    site.write("coming.py", SERVICE)
    (site.services / "going.py").unlink()
    answer = ask(host, f"{API}/reload", "POST")
    found = by_package(answer)

    assert {
        "coming": "added",
        "going": "removed",
        "kept": "unchanged",
        "shop": "updated",
        "wsgiref": "host",
    } == {name: one["status"] for name, one in found.items()}
    assert "200 OK" == answer.status
    assert (os.getpid(), 0, 3, [], []) == tuple(
        document(answer)[key]
        for key in ("pid", "generation", "switches", "problems", "stuck")
    )
    digest = host.node.traffic.versions["shop"].loaded.package.artifact.digest
    assert {
        "package": "shop",
        "status": "updated",
        "reason": "",
        "traceback": "",
        "origin": f"{site.services}/shop.py",
        "digest": digest,
        "services": ["shop.hello"],
    } == found["shop"]


@pytest.mark.parametrize("rehearse", ["no", "yes"])
@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("def broken(:\n", "SyntaxError"),
        ("import no_such_module\n", "ModuleNotFoundError"),
        ("raise RuntimeError('why')\n", "RuntimeError: why"),
        ("import sys\nsys.exit('out')\n", "SystemExit: out"),
        ("raise KeyboardInterrupt\n", "KeyboardInterrupt"),
    ],
)
def test_reload_that_fails(
    site: SiteFolder, rehearse: str, source: str, reason: str
) -> None:
    """422 with reason and traceback in the author's file; the old version serves."""
    site.write("shop.py", SERVICE)
    host = site.host(rehearse=rehearse)
    site.write("shop.py", source)
    site.write("other.py", SERVICE)
    answer = ask(host, f"{API}/reload", "POST")
    found = by_package(answer)

    assert "422 Unprocessable" in answer.status
    assert "application/problem+json" == answer.headers["Content-Type"]
    assert "shop" in document(answer)["detail"]
    assert {"shop": "failed", "other": "added"} == {
        name: one["status"] for name, one in found.items()
    }
    assert reason in found["shop"]["reason"]
    assert f'File "{site.services}/shop.py", line' in found["shop"]["traceback"]
    assert "hello" == get(host, "/shop/hello").text


def test_reload_with_a_problem(host: Host, site: SiteFolder) -> None:
    """A line of the list that cannot be used is told with its place."""
    site.list.write_text("services\n?!\n")
    answer = ask(host, f"{API}/reload", "POST")

    assert "422 Unprocessable" in answer.status
    assert [f"{site.list}:2"] == [one["where"] for one in document(answer)["problems"]]


def test_reload_tells_of_all_nodes(host: Host, site: SiteFolder) -> None:
    """Every node reads its sources, and the answer waits for all of them."""
    other = site.host()
    site.write("coming.py", SERVICE)
    found = document(ask(host, f"{API}/reload", "POST"))
    packages = {
        one["node"]: [each["package"] for each in one["reload"]["packages"]]
        for one in found["nodes"]
    }

    assert {host.node.id: ["coming"], other.node.id: ["coming"]} == packages
    assert [] == found["late"]
    assert "hello" == get(other, "/coming/hello").text


def test_reloads_that_come_together(host: Host, site: SiteFolder) -> None:
    """Each gets an answer of its own, one after the other."""
    site.write("shop.py", SERVICE + "# changed\n")
    found: list[str] = []

    def reload() -> None:
        answer = ask(host, f"{API}/reload", "POST")
        found.append(by_package(answer)["shop"]["status"])

    threads = [threading.Thread(target=reload) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert ["unchanged"] * 7 + ["updated"] == sorted(found)


def test_packages_tell_the_last_reload(host: Host) -> None:
    """What the last reload has answered can be asked for again."""
    first = document(ask(host, f"{API}/reload", "POST"))
    again = document(ask(host, f"{API}/packages"))["reload"]

    assert again == {key: first[key] for key in again}
    assert "nodes" in first.keys() - again.keys()


# THE FILE WITH THE TOKEN


def test_token_is_made(tmp_path: Path) -> None:
    """256 random bits, for the owner's eyes only; nothing else is left behind."""
    files = [TokenFile(tmp_path / name / "control.token") for name in "ab"]
    for file in files:
        file.ensure()
    one, two = (file.path.read_text().strip() for file in files)

    assert one != two
    assert 43 == len(one)
    assert 0o600 == stat.S_IMODE(files[0].path.stat().st_mode)
    assert 0o700 == stat.S_IMODE(files[0].path.parent.stat().st_mode)
    assert [files[0].path] == list(files[0].path.parent.iterdir())


def test_token_is_kept(tmp_path: Path) -> None:
    """A file that is there is not replaced."""
    file = TokenFile(tmp_path / "control.token")
    file.ensure()
    before = file.path.read_text()
    file.ensure()

    assert before == file.path.read_text()


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o620, 0o601])
def test_token_that_is_not_private(tmp_path: Path, mode: int) -> None:
    """Any right of others is refused at start, with what to do."""
    file = TokenFile(tmp_path / "control.token")
    file.ensure()
    file.path.chmod(mode)
    with pytest.raises(ConfigError, match=rf"mode {mode:04o}\).*chmod 600 {file.path}"):
        file.ensure()


@pytest.mark.parametrize("content", ["", "\n", "short\n"])
def test_token_that_is_none(tmp_path: Path, content: str) -> None:
    """A file without a token of some length opens nothing."""
    file = TokenFile(tmp_path / "control.token")
    file.path.touch(0o600)
    file.path.write_text(content)
    with pytest.raises(ConfigError, match="no token of 16 or more"):
        file.ensure()
    with pytest.raises(ConfigError, match="no token of 16 or more"):
        file.matches(content.strip())


def test_token_that_cannot_be_made(tmp_path: Path) -> None:
    """A path below a file is an error that names the key."""
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"^control\.token_file = .*: cannot be made"):
        TokenFile(tmp_path / "file" / "control.token").ensure()


MAKES = """
import sys
from pathlib import Path
from pointsman.control.application import ROUTES
from pointsman.control.token import TokenFile
print("ready", flush=True)
sys.stdin.readline()
file = TokenFile(Path(sys.argv[1]))
file.ensure()
print(file.path.read_text().strip())
"""


def test_processes_that_make_it_at_once(tmp_path: Path) -> None:
    """All go on with one token, and leave only that."""
    path = tmp_path / "var" / "control.token"
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", MAKES, str(path)],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    for process in processes:
        assert process.stdout is not None
        process.stdout.readline()
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    tokens = {process.communicate()[0].strip() for process in processes}

    assert {path.read_text().strip()} == tokens
    assert [path] == list(path.parent.iterdir())


def test_threads_that_make_it_at_once(tmp_path: Path) -> None:
    """Two hosts in one process do not stumble over each other's half-made file."""
    path = tmp_path / "control.token"
    barrier = threading.Barrier(8)
    failed: list[Exception] = []

    def make() -> None:
        barrier.wait()
        try:
            TokenFile(path).ensure()
        except ConfigError as error:
            failed.append(error)

    threads = [threading.Thread(target=make) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert ([], [path]) == (failed, list(tmp_path.iterdir()))
