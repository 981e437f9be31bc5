"""What the author of a service is promised."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any

import pytest
from webob import Response
from webob.exc import HTTPFound, HTTPNotFound

from pointsman import Service
from pointsman.errors import ServiceError
from pointsman.service import as_response, kebab
from site_folder import SiteFolder, get, outcomes

if TYPE_CHECKING:
    from webob import Request

JSON = "application/json"
TEXT = "text/plain; charset=utf-8"
BYTES = "application/octet-stream"


def answering(result: object) -> Service:
    """Return a service that returns, or raises, one thing."""

    class Answering(Service):
        def handle(self, request: Request) -> object:
            if isinstance(result, BaseException):
                raise result
            return result

    return Answering()


# RESULTS


@pytest.mark.parametrize(
    ("result", "status", "content_type", "body"),
    [
        ({"a": "é"}, "200 OK", JSON, '{"a":"é"}'.encode()),
        ([1, None], "200 OK", JSON, b"[1,null]"),
        ({}, "200 OK", JSON, b"{}"),
        ("é", "200 OK", TEXT, "é".encode()),
        ("", "200 OK", TEXT, b""),
        (b"\x00\xff", "200 OK", BYTES, b"\x00\xff"),
        (iter([b"a", b"b"]), "200 OK", BYTES, b"ab"),
        ((c for c in (b"x", b"y")), "200 OK", BYTES, b"xy"),
        (None, "204 No Content", None, b""),
        (
            Response(b"t", status=418, content_type="x/y"),
            "418 I'm a teapot",
            "x/y",
            b"t",
        ),
    ],
)
def test_results(
    result: object, status: str, content_type: str | None, body: bytes
) -> None:
    """Each kind of result has its status, type and bytes."""
    answer = get(answering(result), "/")

    assert (status, content_type, body) == (
        answer.status,
        answer.headers.get("Content-Type"),
        answer.body,
    )


def test_raised_response() -> None:
    """A raised webob.exc is the response."""
    answer = get(answering(HTTPNotFound("no such customer")), "/")

    assert "404 Not Found" == answer.status
    assert "no such customer" in answer.text


def test_returned_response_of_an_exception() -> None:
    """A returned webob.exc is the response too."""
    answer = get(answering(HTTPFound(location="/x")), "/")

    assert ("302 Found", "http://localhost/x") == (
        answer.status,
        answer.headers["Location"],
    )


def test_head_has_no_body() -> None:
    """HEAD is answered with the headers of GET."""
    answer = get(answering({"a": 1}), "/", REQUEST_METHOD="HEAD")

    assert (b"", "7") == (answer.body, answer.headers["Content-Length"])


@pytest.mark.parametrize(
    "result", [1, 2.5, (1, 2), {1}, object(), True, bytearray(b"x")]
)
def test_nonsense(result: object) -> None:
    """What is none of the kinds is an error that names the service and the kinds."""
    with pytest.raises(ServiceError) as raised:
        as_response(result, Service)
    kind = type(result).__name__

    assert (
        f"the service Service (pointsman.service) returned {kind}; return Response, "
        "dict, list, str, bytes, an iterator of bytes, or None"
    ) == str(raised.value)


@pytest.mark.parametrize("evil", ["a\r\nX: y", "a\nX: y", "a\rb", "a\x00b", "a\x7f"])
@pytest.mark.parametrize("where", ["name", "value", "status"])
def test_header_injection(evil: str, where: str) -> None:
    """A control character in status or headers is an error, on every server."""
    response = Response("x")
    if where == "status":
        response.status = f"200 {evil}"
    elif where == "name":
        response.headers[evil] = "x"
    else:
        response.headers["X-A"] = evil
    with pytest.raises(ServiceError, match="has a control character in its"):
        as_response(response, Service)


def test_tab_in_a_header_is_allowed() -> None:
    """RFC 9110 allows tabs in values."""
    response = Response("x")
    response.headers["X-A"] = "a\tb"

    assert response is as_response(response, Service)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("GetCustomer", "get-customer"),
        ("GetCSVExport", "get-csv-export"),
        ("CSV", "csv"),
        ("Crm2Api", "crm2-api"),
        ("get_customer", "get-customer"),
        ("X", "x"),
    ],
)
def test_kebab(name: str, expected: str) -> None:
    """The default name of a service is its class's, as URLs are written."""
    assert expected == kebab(name)


# IN A HOST


def errors_of(caplog: pytest.LogCaptureFixture) -> str:
    """Return what was logged of failed requests."""
    names = [r for r in caplog.records if r.name == "pointsman.requests"]
    return "\n".join(record.getMessage() for record in names)


HOOKS = """
    from pointsman import Service

    CALLS = []

    class Hooked(Service):
        path = "/hooked"

        def __init__(self):
            CALLS.append("init " + self.settings["colour"])

        def check(self):
            CALLS.append("check")

        def start(self):
            CALLS.append("start")

        def stop(self):
            CALLS.append("stop")

        def handle(self, request):
            CALLS.append("handle")
            return CALLS
"""


def test_hooks_are_called_in_order(site: SiteFolder) -> None:
    """Made with its settings, checked, started once, asked, and stopped at the end."""
    site.write("shop.py", HOOKS)
    host = site.host(service__shop__hooked__colour="red")
    get(host, "/hooked")
    get(host, "/hooked")
    space = host.node.traffic.versions["shop"].loaded.space
    assert space is not None
    calls: list[str] = vars(space.modules["shop"])["CALLS"]
    host.node.close()

    expected = ["init red", "check", "start", "handle", "handle", "stop"]
    assert expected == calls


@pytest.mark.parametrize("hook", ["__init__", "check", "start"])
def test_hook_that_raises_refuses(site: SiteFolder, hook: str) -> None:
    """An exception before the first request leaves the old version serving."""
    site.write("shop.py", HOOKS)
    settings = {"service__shop__hooked__colour": "red"}
    host = site.host(**settings)
    site.write(
        "shop.py",
        HOOKS.replace(
            f"def {hook}(self):",
            f"def {hook}(self):\n            raise RuntimeError('no colour')",
        ),
    )
    outcome = outcomes(host.node.reload())["shop"]

    assert "failed" == outcome.status
    assert "RuntimeError: no colour" in outcome.reason
    assert f"in {hook}" in outcome.traceback
    assert "200 OK" == get(host, "/hooked").status


def test_stop_that_raises_is_logged(
    site: SiteFolder, caplog: pytest.LogCaptureFixture
) -> None:
    """A service that fails in `stop()` does not hinder the others' end."""
    failing = HOOKS.replace('CALLS.append("stop")', "raise RuntimeError('too late')")
    site.write("shop.py", failing)
    host = site.host(service__shop__hooked__colour="red")
    with caplog.at_level(logging.ERROR):
        host.node.close()

    assert "shop.hooked failed in stop()" in caplog.text


FAILING = """
    import sys

    from webob import Response

    from pointsman import Service

    class Failing(Service):
        path = "/failing"

        def handle(self, request):
            how = request.path_info.strip("/")
            if how == "raises":
                raise RuntimeError("secret")
            if how == "exits":
                sys.exit("secret")
            if how == "stops":
                raise KeyboardInterrupt("secret")
            if how == "nonsense":
                return 42
            if how == "header":
                return Response("secret", headers={"X-A": "a\\r\\nX-Evil: yes"})
            if how == "first":
                return self.chunks(0)
            return self.chunks(1)

        def chunks(self, good):
            for n in range(good):
                yield b"good"
            raise RuntimeError("secret")

    def application(environ, start_response):
        how = environ["PATH_INFO"]
        if how == "/none":
            start_response("200 OK", [])
            return None
        if how == "/status":
            start_response(200, [])
            return [b"secret"]
        if how == "/list":
            return Body()
        raise RuntimeError("secret")

    class Body:
        def __iter__(self):
            raise RuntimeError("secret")
"""


@pytest.fixture(name="failing")
def _failing(site: SiteFolder) -> Any:
    site.write("shop.py", FAILING)
    return site.host()


def in_another_thread(call: Any) -> Any:
    """Return what a call returns on a thread as servers have them."""
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(call).result()


@pytest.mark.parametrize(
    "path",
    [
        "/failing/raises",
        "/failing/exits",
        "/failing/stops",
        "/failing/nonsense",
        "/failing/header",
        "/failing/first",
        "/shop/none",
        "/shop/raises",
        "/shop/list",
    ],
)
def test_failure_is_a_problem_document(
    failing: Any, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    """500 with a request id, which the log has with the traceback; nothing leaks."""
    answer = in_another_thread(lambda: get(failing, path))
    document = json.loads(answer.body)
    logged = errors_of(caplog)

    assert "500 Internal Server Error" == answer.status
    assert "application/problem+json" == answer.headers["Content-Type"]
    assert 500 == document["status"]
    assert document["request_id"] == answer.headers["X-Request-ID"]
    assert f"request {document['request_id']}: " in logged
    assert f"failed on GET {path}" in logged
    assert "secret" not in answer.text
    assert "Traceback" not in answer.text
    assert {} == {n: v for n, v in answer.headers.items() if n == "X-Evil"}
    assert 0 == failing.node.in_flight()


def test_log_has_the_authors_file(
    failing: Any, site: SiteFolder, caplog: pytest.LogCaptureFixture
) -> None:
    """The traceback leads to the file that the author edits, with its line."""
    get(failing, "/failing/raises")
    line = textwrap_line(FAILING, 'raise RuntimeError("secret")')

    assert f'File "{site.services}/shop.py", line {line}, in handle' in errors_of(
        caplog
    )


def textwrap_line(source: str, text: str) -> int:
    """Return the number of the first line that has a text."""
    return next(n for n, line in enumerate(source.splitlines(), 1) if text in line)


def test_failure_at_a_later_chunk_cuts(failing: Any) -> None:
    """What fails when headers are sent cannot become a 500: the server must cut."""
    sent: list[str] = []

    def start_response(status: str, headers: Any, exc_info: Any = None) -> Any:
        if exc_info is not None and sent:
            raise exc_info[1].with_traceback(exc_info[2])
        sent.append(status)

    environ = {"PATH_INFO": "/failing/later", "REQUEST_METHOD": "GET"}
    body = iter(failing(environ, start_response))
    first = next(body)
    with pytest.raises(RuntimeError, match="secret"):
        next(body)
    body.close()

    assert (b"good", ["200 OK"], 0) == (first, sent, failing.node.in_flight())


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("abc-123._X", True),
        ("a" * 64, True),
        ("a" * 65, False),
        ("a b", False),
        ("", False),
    ],
)
def test_request_id_of_the_client(failing: Any, given: str, *, kept: bool) -> None:
    """A sensible X-Request-ID is kept, any other is replaced."""
    answer = get(failing, "/failing/raises", HTTP_X_REQUEST_ID=given)

    assert kept == (given == answer.headers["X-Request-ID"])


def test_abstract_and_private_classes_are_not_offered(site: SiteFolder) -> None:
    """Only what a module defines, names publicly and can handle is a service."""
    site.write(
        "base.py",
        """
        from pointsman import Service

        class Base(Service):
            def handle(self, request):
                return type(self).__name__
        """,
    )
    site.write(
        "shop.py",
        """
        import abc
        from base import Base
        from pointsman import Service

        class _Private(Base): pass
        class Without(Service): pass
        class Abstract(Service, abc.ABC):
            @abc.abstractmethod
            def handle(self, request): ...
        class Public(Base): pass
        Again = Public
        """,
    )
    host = site.host()

    assert ("shop.public",) == outcomes(host.node.last)["shop"].services  # type: ignore[arg-type]
    assert "Public" == get(host, "/shop/public").text
