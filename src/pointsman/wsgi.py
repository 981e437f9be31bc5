"""The paste factories and the request path, and nothing else.  Edge.

On the request path there is no I/O, no lock, no log line and no look-up of a
setting: one attribute, ``traffic.table``, is the whole world of a request.
"""

from __future__ import annotations

import logging
import re
import sys
import threading
import uuid
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Any

from pointsman import inclusion, tracebacks
from pointsman import settings as settings_module
from pointsman.answers import stamped
from pointsman.bodies import pinned_body, wrap_file
from pointsman.conformance import checked
from pointsman.control.application import Control
from pointsman.forks import refuse_unfit_server
from pointsman.node import Node
from pointsman.problems import problem
from pointsman.traffic import Pin

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

    from pointsman.traffic import Route

_log = logging.getLogger("pointsman.requests")
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}\Z")


def app_factory(global_conf: Mapping[str, str], **local_conf: str) -> Host:
    """Make the application of an ini section (``paste.app_factory``).

    Raises:
        ConfigError: the section, or what it names, cannot be used.

    """
    return _host(global_conf, local_conf, None)


def filter_factory(global_conf: Mapping[str, str], **local_conf: str) -> Any:
    """Make a filter (``paste.filter_factory``): what no service has goes through."""

    def wrap(application: WSGIApplication) -> Host:
        return _host(global_conf, local_conf, application)

    return wrap


def _host(
    global_conf: Mapping[str, str],
    local_conf: Mapping[str, str],
    fallback: WSGIApplication | None,
) -> Host:
    refuse_unfit_server()
    file = global_conf.get("__file__", "")
    section, over = "app:main", None
    if local_conf.get(settings_module.INCLUDE, "").strip():
        section = inclusion.section_of(local_conf, file)
        over = inclusion.included(local_conf, file, section, global_conf)
    found = settings_module.parse(
        local_conf,
        file=file,
        section=section,
        here=global_conf.get("here", "."),
        included=over,
    )
    node = Node(found, global_conf)
    node.reserve(found.control_path, Control(node))
    node.start()
    return Host(node, fallback)


class Host:
    """The WSGI application (PEP 3333) that leads each request to its service.

    Any thread.  ``node`` is what serves behind it.
    """

    def __init__(self, node: Node, fallback: WSGIApplication | None = None) -> None:
        """Take a started node; ``fallback`` answers what no service has."""
        self.node = node
        self._traffic = node.traffic
        self._fallback = fallback
        self._counted = node.settings.metrics
        self._stamped = node.settings.headers
        self._unchecked = "uwsgi" in sys.modules  # it sends whatever it is given
        self._wrapped = self._stamped or self._unchecked

    def __call__(  # noqa: C901, PLR0912 - one function: a call more is a tenth of its cost
        self, environ: WSGIEnvironment, start_response: StartResponse
    ) -> Iterable[bytes]:
        """Answer one request with one version, from its first line to its last."""
        path = environ.get("PATH_INFO", "")
        pin = Pin()
        traffic = self._traffic
        while True:
            table = traffic.table
            found = table.match(path)
            if found is None:
                return self._other(environ, start_response)
            route, cut = found
            pins = route.pins
            pins[pin] = (path, monotonic())
            if traffic.table is table:
                break
            # Published in between: this version may be going already.
            del pins[pin]
        if cut:
            environ["SCRIPT_NAME"] = environ.get("SCRIPT_NAME", "") + path[:cut]
            environ["PATH_INFO"] = path[cut:]
        if self._counted:
            next(route.requests)
        if self._wrapped:
            if self._unchecked:
                start_response = partial(checked, start_response)
            stamp = route.stamp
            if stamp and self._stamped:
                header = table.header
                if stamp[0] is not header:
                    route.stamp = stamp = (header, *stamp[1:])
                start_response = partial(stamped, start_response, stamp)
        server_wrapper = environ.get("wsgi.file_wrapper")
        if server_wrapper is not None:
            environ["wsgi.file_wrapper"] = partial(wrap_file, server_wrapper, pin)
        try:
            try:
                body = route.call(environ, start_response)
            finally:
                if server_wrapper is not None:  # servers compare bodies with it
                    environ["wsgi.file_wrapper"] = server_wrapper
            kind = type(body)
            if kind is list or kind is tuple:
                del pins[pin]
                return body  # type: ignore[no-any-return]
            if body is None:
                message = "returned None for a body; return an iterable of bytes"
                raise TypeError(message)  # noqa: TRY301
        except BaseException as error:  # noqa: BLE001 - the service's own code
            pins.pop(pin, None)
            return [_failed(route, environ, start_response, error)]
        failed = partial(_failed, route, environ, start_response)
        return pinned_body(body, route, pin, failed)

    def _other(
        self, environ: WSGIEnvironment, start_response: StartResponse
    ) -> Iterable[bytes]:
        if self._fallback is not None:
            return self._fallback(environ, start_response)
        detail = f"no service is mounted at {_path(environ)}"
        status, headers, content = problem(404, detail)
        start_response(status, headers)
        return [content]


def _failed(
    route: Route,
    environ: WSGIEnvironment,
    start_response: StartResponse,
    error: BaseException,
) -> bytes:
    """Log what a service raised; answer 500, if nothing was sent yet.

    Raises:
        BaseException: ``error`` itself, when headers were sent already (then the
            server must cut the response off), or when it is meant for the process.

    """
    if not isinstance(error, Exception) and _for_the_process(error):
        raise error
    request_id = _request_id(environ)
    mount = route.mount
    _log.error(
        "request %s: %s (%s) failed on %s %s\n%s",
        request_id,
        mount.service,
        mount.origin,
        environ.get("REQUEST_METHOD"),
        ascii(_path(environ))[1:-1],  # a log line stays one line
        tracebacks.text(error, route.version.loaded.origins),
    )
    status, headers, content = problem(
        500, f"the service {mount.service} failed", request_id=request_id
    )
    headers.append(("X-Request-ID", request_id))
    start_response(status, headers, sys.exc_info())
    return content


def _for_the_process(error: BaseException) -> bool:
    """Tell whether a signal handler of the server raised this, not the service."""
    is_main = threading.current_thread() is threading.main_thread()
    return isinstance(error, (KeyboardInterrupt, SystemExit)) and is_main


def _request_id(environ: WSGIEnvironment) -> str:
    given = environ.get("HTTP_X_REQUEST_ID", "")
    return given if _REQUEST_ID.match(given) else uuid.uuid4().hex


def _path(environ: WSGIEnvironment) -> str:
    path: str = environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")
    return path.encode("latin-1", "replace").decode("utf-8", "replace")
