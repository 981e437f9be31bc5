"""The WSGI application of the control surface.  Edge.

Routes are in `Control.routes`; each needs the bearer token except the probes.
"""

from __future__ import annotations

import dataclasses
import json
import logging
from typing import TYPE_CHECKING, Any

from webob import Request, Response

from pointsman.control.metrics import exposition
from pointsman.control.token import TokenFile
from pointsman.errors import ConfigError, Refused
from pointsman.problems import problem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from wsgiref.types import StartResponse, WSGIEnvironment

    from pointsman.model import Report
    from pointsman.node import Node

_log = logging.getLogger(__name__)

_MULTIPROCESS = (
    "this server has several processes, and this reload was for the one with this "
    "pid only; send it until every process has answered, or restart the server"
)


class Control:
    """Answers for one node.  Any thread; a reload blocks the thread that asks."""

    def __init__(self, node: Node) -> None:
        """Make the token file if it is missing.

        Raises:
            ConfigError: the token file cannot be made, or others can read it.

        """
        self._node = node
        path = node.settings.control_token_file
        self._token = TokenFile(path) if path is not None else None
        if self._token is not None:
            self._token.ensure()
        self.routes: dict[str, tuple[str, bool, Callable[[Request], Response]]] = {
            "/api/v1/reload": ("POST", True, self._reload),
            "/api/v1/packages": ("GET", True, self._packages),
            "/api/v1/services": ("GET", True, self._services),
            "/api/v1/leaks": ("GET", True, self._leaks),
            "/health/live": ("GET", False, self._live),
            "/health/ready": ("GET", False, self._ready),
            "/metrics": ("GET", True, self._metrics),
        }

    def __call__(
        self, environ: WSGIEnvironment, start_response: StartResponse
    ) -> Iterable[bytes]:
        """Be a WSGI application (PEP 3333)."""
        request = Request(environ)
        try:
            response = self._answer(request)
        except Refused as refused:
            response = _problem(refused.status, refused.detail)
            if refused.status == 401:  # noqa: PLR2004
                response.headers["WWW-Authenticate"] = 'Bearer realm="pointsman"'
            if refused.status == 405:  # noqa: PLR2004 - RFC 9110, section 15.5.6
                method = self.routes[request.path_info][0]
                response.headers["Allow"] = "GET, HEAD" if method == "GET" else method
        except Exception:  # noqa: BLE001 - the top of a request: it must be told
            _log.exception("%s %s failed", request.method, request.path_info)
            detail = "this is an error of pointsman itself; its log has the traceback"
            response = _problem(500, detail)
        return response(environ, start_response)

    def _answer(self, request: Request) -> Response:
        route = self.routes.get(request.path_info)
        if route is None:
            known = ", ".join(sorted(self.routes))
            detail = f"there is nothing at {request.path_info!r}; there are {known}"
            raise Refused(404, "Not Found", detail)
        method, guarded, handle = route
        if guarded:
            self._authorize(request)
        if request.method != method and (request.method, method) != ("HEAD", "GET"):
            detail = f"{request.path_info} takes {method}, not {request.method}"
            raise Refused(405, "Method Not Allowed", detail)
        return handle(request)

    def _authorize(self, request: Request) -> None:
        if self._token is None:
            detail = "control.token_file is empty in the ini, so nobody may"
            raise Refused(403, "Forbidden", detail)
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            detail = "send the header Authorization: Bearer with the token of this host"
            raise Refused(401, "Unauthorized", detail)
        try:
            known = self._token.matches(token.strip())
        except ConfigError as error:
            _log.error("%s", error)
            raise Refused(
                403, "Forbidden", "the token file is not usable; see the log"
            ) from error
        if not known:
            raise Refused(401, "Unauthorized", "this is not the token of this host")

    # THE ROUTES

    def _reload(self, request: Request) -> Response:
        report = self._node.reload()
        document = report_document(report)
        if request.environ.get("wsgi.multiprocess"):
            document["warning"] = _MULTIPROCESS
        if report.failed:
            failed = [o.package for o in report.outcomes if o.status == "failed"]
            failed += [problem.where for problem in report.problems]
            detail = f"not all was loaded, and goes on as it was: {', '.join(failed)}"
            return _problem(422, detail, **document)
        return _json(document)

    def _packages(self, _: Request) -> Response:
        last = self._node.last
        return _json(report_document(last) if last else {})

    def _services(self, _: Request) -> Response:
        return _json({"services": services(self._node)})

    def _leaks(self, request: Request) -> Response:
        found = self._node.leaks(collect="collect" in request.GET)
        return _json({"leaks": [dataclasses.asdict(leak) for leak in found]})

    def _live(self, _: Request) -> Response:
        return _json({"status": "live"})

    def _ready(self, _: Request) -> Response:
        ready = self._node.last is not None
        response = _json({"status": "ready" if ready else "starting"})
        response.status_int = 200 if ready else 503
        return response

    def _metrics(self, _: Request) -> Response:
        content, content_type = exposition(self._node)
        response = Response(content)
        response.headers["Content-Type"] = content_type
        return response


def report_document(report: Report) -> dict[str, Any]:
    """Return a report as JSON has it; ``packages`` are its outcomes."""
    document = dataclasses.asdict(report)
    document["packages"] = document.pop("outcomes")
    return document


def services(node: Node) -> list[dict[str, Any]]:
    """Return what each service is, where it is mounted, and what it is doing."""
    found = [
        {
            "name": one.mount.service,
            "path": one.mount.path or "/",
            "package": version.loaded.package.name,
            "digest": version.loaded.package.artifact.digest,
            "origin": one.mount.origin,
            "in_flight": len(version.pins),
        }
        for version in node.traffic.versions.values()
        for one in version.loaded.services
    ]
    return sorted(found, key=lambda entry: str(entry["path"]))


def _json(document: Any) -> Response:
    body = json.dumps(document, ensure_ascii=False, indent=1).encode() + b"\n"
    response = Response(body, content_type="application/json")
    response.headers["Cache-Control"] = "no-store"
    return response


def _problem(status: int, detail: str, **members: Any) -> Response:
    line, headers, body = problem(status, detail, **members)
    return Response(body, status=line, headerlist=headers)
