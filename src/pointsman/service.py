"""What the author of a service imports.  Values.

::

    from pointsman import Service

    class GetCustomer(Service):
        path = "/crm/customer"

        def handle(self, request):
            return {"id": request.path_info_pop()}
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar

from webob import Request, Response
from webob.exc import HTTPException

from pointsman.errors import ServiceError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from wsgiref.types import StartResponse, WSGIEnvironment

#: What `Service.handle` may return.
type_names = "Response, dict, list, str, bytes, an iterator of bytes, or None"

_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


class Service:
    """One WSGI service.  One instance serves all requests, from many threads.

    Override `handle`, and the hooks that you need.  ``settings``, ``resources``
    and ``log`` are there already when ``__init__`` runs, which takes no arguments.
    """

    #: Unique name; by default ``<package>.<class-name-in-kebab-case>``.
    name: ClassVar[str] = ""

    #: Where it is mounted; by default ``/<package>/<class-name-in-kebab-case>``.
    path: ClassVar[str] = ""

    #: The ``service.<name>.<key>`` settings of the ini, as text.
    settings: Mapping[str, str] = MappingProxyType({})

    #: The ``resource.<name>`` of the ini, opened when they are first asked for.
    resources: Mapping[str, Any] = MappingProxyType({})

    #: A logger of the service's own name.
    log: logging.Logger = logging.getLogger("pointsman.service")

    def handle(self, request: Request) -> object:
        """Answer one request.

        Returns a ``webob.Response``; a dict or list (JSON); a str (plain text,
        UTF-8); bytes; an iterator of bytes (streamed); or None (204).  What is
        raised becomes a 500; a ``webob.exc`` exception becomes its response.
        """
        raise NotImplementedError

    def check(self) -> None:
        """Raise to refuse the deployment; called while the old version serves."""

    def start(self) -> None:
        """Get ready; called once, before the first request."""

    def stop(self) -> None:
        """Let go of everything; called once, after the last request."""

    def __call__(
        self, environ: WSGIEnvironment, start_response: StartResponse
    ) -> Iterable[bytes]:
        """Be a WSGI application (PEP 3333)."""
        request = Request(environ)
        try:
            result = self.handle(request)
        except HTTPException as raised:
            result = raised
        response = as_response(result, type(self))
        return response(environ, start_response)


def as_response(result: object, origin: type) -> Response:
    """Make a response of what a handler returned.

    Raises:
        ServiceError: it is none of the kinds that `Service.handle` names, or has
            a header that would end the headers early.

    """
    if isinstance(result, Response):
        response = result
    elif result is None:
        response = Response(status=204)
        del response.content_type
    elif isinstance(result, (dict, list)):
        body = json.dumps(result, ensure_ascii=False, separators=(",", ":"))
        response = Response(body.encode(), content_type="application/json")
    elif isinstance(result, str):
        response = Response(result.encode(), content_type="text/plain", charset="utf-8")
    elif isinstance(result, bytes):
        response = Response(result, content_type="application/octet-stream")
    elif isinstance(result, Iterator):
        response = Response(app_iter=result, content_type="application/octet-stream")
    else:
        raise _nonsense(
            origin, f"returned {type(result).__name__}; return {type_names}"
        )
    if _CONTROL.search(response.status):
        raise _nonsense(
            origin,
            "has a control character in its status; take line ends out of it",
        )
    for header, value in response.headerlist:
        if _CONTROL.search(header) or _CONTROL.search(value):
            raise _nonsense(
                origin,
                f"has a control character in its header {header!r}; take line ends "
                "out of what goes into headers",
            )
    return response


def _nonsense(origin: type, reason: str) -> ServiceError:
    return ServiceError(origin.__qualname__, origin.__module__, reason)


def kebab(class_name: str) -> str:
    """Return ``GetCSVExport`` as ``get-csv-export``."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "-", class_name)
    return words.replace("_", "-").lower()
