"""The WSGI application of the control surface.  Edge.

Its calls are in `ROUTES`; each but the probes needs a bearer token, or a user.
"""

from __future__ import annotations

import logging
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import webob.exc
from webob import Request, Response

from pointsman.control import (
    basic,
    generations,
    inventory,
    nodes,
    openapi,
    packages,
    people,
    probes,
    responses,
    services,
    users,
)
from pointsman.control.authentication import Authentication
from pointsman.control.call import Call, Principal
from pointsman.control.documents import report as report_document
from pointsman.control.figures import Figures
from pointsman.control.routes import Route, WrongMethod, allowed, find, value
from pointsman.control.throttle import Throttle
from pointsman.control.token import TokenFile
from pointsman.errors import (
    ArtifactError,
    ClashError,
    Error,
    KindError,
    LedgerError,
    LoadError,
    Refused,
    ReleaseError,
    did_you_mean,
)

if TYPE_CHECKING:
    from collections.abc import Iterable
    from wsgiref.types import StartResponse, WSGIEnvironment

    from pointsman.node import Node

__all__ = ["ROUTES", "Control", "report_document"]

_log = logging.getLogger(__name__)

#: What Retry-After says while the ledger cannot be used, in seconds.
_AGAIN = "5"


def _openapi(call: Call) -> Response:
    """Return this description of all calls (OpenAPI 3.1)."""
    return responses.of_json(openapi.document(ROUTES, call.request.script_name))


ROUTES: tuple[Route, ...] = (
    *inventory.ROUTES,
    *packages.ROUTES,
    *generations.ROUTES,
    *services.ROUTES,
    *nodes.ROUTES,
    *people.ROUTES,
    *users.ROUTES,
    *probes.ROUTES,
    Route("GET", "/openapi.json", None, _openapi, {200: "OpenAPI"}),
)


class Control:
    """Answers for one node.  Any thread; a change blocks the thread that asks."""

    def __init__(self, node: Node) -> None:
        """Make the token file if it is missing.

        Raises:
            ConfigError: the token file cannot be made, or others can read it.

        """
        self._node = node
        path = node.settings.control_token_file
        file = TokenFile(path) if path is not None else None
        if file is not None:
            file.ensure()
        self._authentication = Authentication(lambda: node.ledger, file, Throttle())
        self._figures = Figures()
        self.routes = ROUTES

    def __call__(
        self, environ: WSGIEnvironment, start_response: StartResponse
    ) -> Iterable[bytes]:
        """Be a WSGI application (PEP 3333)."""
        request = Request(environ)
        try:
            response = self._answer(request)
        except Exception as error:  # noqa: BLE001 - the top of a request
            response = _refusal(request, error)
        return response(environ, start_response)

    def _answer(self, request: Request) -> Response:
        path = _path(request)
        if request.method == "OPTIONS":
            segments = tuple(path.split("/"))
            fitting = [r for r in ROUTES if r.match(segments) is not None]
            if fitting:
                return Response(status=204, headerlist=[("Allow", allowed(fitting))])
        route, parts = find(ROUTES, request.method, path)
        principal = self._principal(request, route)
        call = Call(
            self._node, request, parts, _query(request, route), principal, self._figures
        )
        return route.handle(call)

    def _principal(self, request: Request, route: Route) -> Principal | None:
        if route.role is not None:
            return self._authentication.principal(request, route.role)
        if "HTTP_AUTHORIZATION" not in request.environ:
            return None
        try:  # a probe goes on without, and tells less
            return self._authentication.known(request)
        except (Refused, LedgerError):
            return None


def _path(request: Request) -> str:
    """Return the decoded path.

    Raises:
        Refused: 404, it is no UTF-8, or has a NUL.

    """
    raw = request.environ.get("PATH_INFO", "")
    try:
        path: str = raw.encode("latin-1").decode("utf-8")
    except UnicodeError:
        path = "\0"
    if "\0" in path:
        detail = "there is nothing at a path that is no text"
        raise Refused(HTTPStatus.NOT_FOUND, "Not Found", detail)
    return path


def _query(request: Request, route: Route) -> dict[str, Any]:
    """Return the parameters of a route.

    Raises:
        Refused: 400, the query is no text, a value is not accepted, or there is no
            such parameter: whoever writes cascde=yes shall not think it was heard.

    """
    try:
        given = request.GET.mixed() if request.environ.get("QUERY_STRING") else {}
    except UnicodeDecodeError:
        detail = "the query is not UTF-8"
        raise Refused(HTTPStatus.BAD_REQUEST, "Bad Request", detail) from None
    found: dict[str, Any] = {}
    known = [field.name for field in route.query]
    for name in given:
        if name not in known and route.role is not None:
            near = did_you_mean(name, known)
            detail = f"there is no parameter {name[:80]!a}{near}; there are {known}"
            raise Refused(HTTPStatus.BAD_REQUEST, "Bad Request", detail)
    for field in route.query:
        texts = given.get(field.name, [])
        texts = texts if isinstance(texts, list) else [texts]
        values = [value(field, text) for text in texts]
        if field.repeated:
            found[field.name] = values
        else:
            found[field.name] = values[-1] if values else field.default
    return found


# REFUSALS


def _refusal(request: Request, error: Exception) -> Response:
    status, detail, members = _told(error)
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR and not isinstance(error, Error):
        _log.error("%s %a failed", request.method, request.path_info, exc_info=error)
    response = responses.of_problem(status, detail, **members)
    if status == HTTPStatus.UNAUTHORIZED:
        for challenge in basic.challenges(request.environ):
            response.headers.add("WWW-Authenticate", challenge)
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        response.headers["Retry-After"] = "1"
    if isinstance(error, WrongMethod):
        response.headers["Allow"] = error.allow
    if isinstance(error, LedgerError):
        response.headers["Retry-After"] = _AGAIN
    return response


def _told(error: Exception) -> tuple[int, str, dict[str, Any]]:
    """Return status and detail of a problem document, and its further members."""
    if isinstance(error, Refused):
        return error.status, error.detail, {}
    if isinstance(error, webob.exc.WSGIHTTPException):
        return error.code, str(error.detail or error.explanation), {}
    for kind, status in _STATUSES:
        if isinstance(error, kind):
            members = {
                name: getattr(error, name)
                for name in ("package", "traceback")
                if hasattr(error, name)
            }
            return status, str(error), members
    detail = "this is an error of pointsman itself; its log has the traceback"
    return HTTPStatus.INTERNAL_SERVER_ERROR, detail, {}


# The first that fits, so the special ones come first.
_STATUSES: tuple[tuple[type[Error], HTTPStatus], ...] = (
    (LedgerError, HTTPStatus.SERVICE_UNAVAILABLE),
    (ReleaseError, HTTPStatus.INSUFFICIENT_STORAGE),
    (LoadError, HTTPStatus.UNPROCESSABLE_ENTITY),
    (KindError, HTTPStatus.UNSUPPORTED_MEDIA_TYPE),
    (ClashError, HTTPStatus.CONFLICT),
    (ArtifactError, HTTPStatus.UNPROCESSABLE_ENTITY),
)
