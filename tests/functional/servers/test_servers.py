"""The host under each of the WSGI servers that it is made for, with real sockets."""

from __future__ import annotations

import socket
import subprocess
from contextlib import closing
from hashlib import sha256
from typing import TYPE_CHECKING

import pytest

from functional.servers.running import (
    HOST,
    RunningServer,
    environment,
    uwsgi,
)
from waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SHOP = """
import hashlib
import os

from webob import Response

from pointsman import Service

CHUNKS = 300

class Version(Service):
    path = "/version"

    def handle(self, request):
        return {"version": "VERSION", "pid": os.getpid()}

class Stream(Service):
    path = "/stream"

    def handle(self, request):
        return (b"VERSION%04d" % n * 200 for n in range(CHUNKS))

class Upload(Service):
    path = "/upload"

    def handle(self, request):
        return hashlib.sha256(request.body_file.read()).hexdigest()

class Inject(Service):
    path = "/inject"

    def handle(self, request):
        response = Response("not this", content_type="text/plain")
        if request.path_info == "/status":
            response.status = "200 OK\\r\\nX-Evil: yes"
        elif request.path_info == "/name":
            response.headers["X-Ok: 1\\r\\nX-Evil"] = "yes"
        else:
            response.headers["X-Ok"] = "1\\r\\nX-Evil: yes"
        return response
"""

FILES = """
import os

def application(environ, start_response):
    file = open(os.path.join(os.path.dirname(FOLDER), "large.bin"), "rb")
    size = os.fstat(file.fileno()).st_size
    start_response("200 OK", [
        ("Content-Type", "application/octet-stream"),
        ("Content-Length", str(size)),
    ])
    return environ["wsgi.file_wrapper"](file)
"""

RAW = """
def application(environ, start_response):
    status, headers = "200 OK", [("Content-Type", "text/plain")]
    if environ["PATH_INFO"] == "/type":
        status = 200
    elif environ["PATH_INFO"] == "/none":
        start_response(status, headers)
        return None
    elif environ["PATH_INFO"] == "/status":
        status += "\\r\\nX-Evil: yes"
    elif environ["PATH_INFO"] == "/name":
        headers.append(("X-Ok: 1\\r\\nX-Evil", "yes"))
    else:
        headers.append(("X-Ok", "1\\r\\nX-Evil: yes"))
    start_response(status, headers)
    return [b"not this"]
"""

LARGE = bytes(range(256)) * 8192  # 2 MiB


@pytest.fixture(
    name="server",
    scope="module",
    params=["paster", "waitress", "gunicorn", "gunicorn --preload", "uwsgi"],
)
def _server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningServer]:
    folder = tmp_path_factory.mktemp(request.param.replace(" ", ""))
    running = RunningServer(request.param, folder)
    running.site.write("shop.py", SHOP.replace("VERSION", "1"))
    running.site.write("files.py", FILES.replace("FOLDER", repr(str(running.ini))))
    running.site.write("raw.py", RAW)
    (folder / "large.bin").write_bytes(LARGE)
    try:
        running.start()
        yield running
    finally:
        running.stop()


def test_service_answers(server: RunningServer) -> None:
    """A service of the list answers at its path."""
    answer = server.ask("/version")

    assert (200, "1") == (answer.status, answer.document["version"])


def test_filter_passes_on_what_no_service_has(server: RunningServer) -> None:
    """The filter leads a path without a service to the application behind it."""
    answer = server.ask("/no/service?x=1")

    assert (200, b"elsewhere /no/service") == (answer.status, answer.body)


def test_answers_say_who_answered(server: RunningServer) -> None:
    """A service's answers name generation and artifact, and those of the host do not.

    Also a stream, a file, and what a service is answered for that has failed.
    """
    source = {path: server.site.services / path for path in ("shop.py", "files.py")}
    digest = {
        name: f"sha256:{sha256(path.read_bytes()).hexdigest()}"
        for name, path in source.items()
    }
    asked = ("/version", "/stream", "/files", "/inject/value")

    answers = [server.ask(path).headers for path in asked]
    others = [server.ask(path).headers for path in ("/no", "/_pointsman/health/live")]

    assert [
        digest["files.py" if path == "/files" else "shop.py"] for path in asked
    ] == [headers.get("Pointsman-Digest") for headers in answers]
    assert ["0"] * 4 == [headers.get("Pointsman-Generation") for headers in answers]
    assert not any("Pointsman-Digest" in headers for headers in others)
    assert not any("Pointsman-Generation" in headers for headers in others)


def test_streaming_body(server: RunningServer) -> None:
    """A generator's chunks arrive whole and in order."""
    expected = b"".join(b"1%04d" % n * 200 for n in range(300))

    assert expected == server.ask("/stream").body


def test_file_wrapper_body(server: RunningServer) -> None:
    """A file sent by the server itself arrives whole, and is let go of."""
    body = server.ask("/files").body

    def in_flight() -> int:
        found = server.control("/api/v1/services").document["services"]
        return sum(one["in_flight"] for one in found if one["name"] == "files")

    assert LARGE == body
    wait_for(lambda: in_flight() == 0, "the file's request is over")


def test_upload(server: RunningServer) -> None:
    """A request's body reaches the service."""
    answer = server.ask("/upload", "POST", LARGE)

    assert sha256(LARGE).hexdigest() == answer.body.decode()


@pytest.mark.parametrize("service", ["inject", "raw"])
@pytest.mark.parametrize("where", ["status", "name", "value"])
def test_header_injection_is_refused(
    server: RunningServer, service: str, where: str
) -> None:
    """What would make a header of its own is an error that the client sees as 500."""
    answer = server.ask(f"/{service}/{where}")

    assert (500, False, False) == (
        answer.status,
        "X-Evil" in answer.headers,
        b"not this" in answer.body,
    )


@pytest.mark.parametrize("how", ["type", "none"])
def test_nonsense_is_refused(server: RunningServer, how: str) -> None:
    """A status that is no string, and None for a body, are a 500 for that client."""
    answer = server.ask(f"/raw/{how}")

    assert (500, b"") == (answer.status, answer.body[:0])


def test_reload(server: RunningServer) -> None:
    """One call of the endpoint reloads all processes; after it, none has the old."""
    server.site.write("shop.py", SHOP.replace("VERSION", "22"))
    document = server.reload().document
    answers = [server.ask("/version").document for _ in range(20)]

    packages = {one["package"]: one["status"] for one in document["packages"]}
    assert {"shop": "updated", "files": "unchanged", "raw": "unchanged"} == packages
    assert {"22"} == {answer["version"] for answer in answers}
    assert [[("shop", "updated")]] * server.processes == [
        [(one["package"], one["status"]) for one in node["reload"]["packages"]]
        for node in document["nodes"]
    ]
    assert [] == document["late"]


def test_failed_reload_keeps_serving(server: RunningServer) -> None:
    """A syntax error is 422 with its traceback; what served goes on serving."""
    before = server.ask("/version").document["version"]
    source = (server.site.services / "shop.py").read_text()
    server.site.write("shop.py", "def broken(:\n")
    answer = server.control("/api/v1/reload", "POST")
    after = server.ask("/version").document["version"]
    server.site.write("shop.py", source)

    failed = {one["package"]: one for one in answer.document["packages"]}["shop"]
    assert (422, "failed", before) == (answer.status, failed["status"], after)
    assert "SyntaxError" in failed["traceback"]


def test_hang_up_lets_go(server: RunningServer) -> None:
    """A client that hangs up in the middle of a stream leaves nothing in flight."""
    with closing(socket.create_connection((HOST, server.port))) as link:
        link.sendall(b"GET /stream HTTP/1.1\r\nHost: x\r\n\r\n")
        link.recv(100)

    def in_flight() -> int:
        found = server.control("/api/v1/services").document["services"]
        return sum(one["in_flight"] for one in found if one["name"] == "shop.stream")

    wait_for(lambda: in_flight() == 0, "the cut stream has been let go of")


def test_uwsgi_without_threads_is_refused(tmp_path: Path) -> None:
    """Without threads nothing could be loaded beside requests: one sentence says so."""
    running = RunningServer("uwsgi", tmp_path)
    arguments = ["--http-socket", f"{HOST}:{running.port}", "--ini-paste"]
    done = subprocess.run(
        [*uwsgi(), *arguments, str(running.ini)],
        env=environment(tmp_path),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=60,
        check=False,
    )

    assert done.returncode != 0
    assert b"uWSGI runs without threads" in done.stdout
    assert b"add enable-threads = true" in done.stdout
