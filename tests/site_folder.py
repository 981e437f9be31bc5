"""A folder with services, a list, and hosts that serve it in this process."""

from __future__ import annotations

import io
import textwrap
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_to_bytes

from pointsman.wsgi import Host, app_factory

if TYPE_CHECKING:
    from pathlib import Path

    from pointsman.model import Outcome, Report


class Answer:
    """What came back for one request."""

    def __init__(
        self, status: str, headers: list[tuple[str, str]], body: bytes
    ) -> None:
        """Hold the parts."""
        self.status = status
        self.headers: dict[str, str] = {}
        for name, value in headers:  # RFC 9110, section 5.3
            before = f"{self.headers[name]}, " if name in self.headers else ""
            self.headers[name] = before + value
        self.body = body

    @property
    def text(self) -> str:
        """Return the body as text."""
        return self.body.decode()


class SiteFolder:
    """Writes services below a folder, and calls the hosts that serve them."""

    def __init__(self, folder: Path) -> None:
        """Start with an empty directory of services, which the list names."""
        self.folder = folder
        self.services = folder / "services"
        self.services.mkdir()
        self.list = folder / "service-sources.txt"
        self.list.write_text("./services\n")
        self.hosts: list[Host] = []

    def write(self, name: str, source: str) -> Path:
        """Write a module or any other file below the services."""
        path = self.services / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(source))
        return path

    def host(self, **settings: str) -> Host:
        """Start a host; without rehearsal and warm versions unless told otherwise."""
        given = {
            "service_sources": str(self.list),
            "rehearse": "no",
            "keep_warm": "0",
            **{key.replace("__", "."): text for key, text in settings.items()},
        }
        made = app_factory({"here": str(self.folder)}, **given)
        self.hosts.append(made)
        return made

    def close(self) -> None:
        """Close every host that was started."""
        for host in self.hosts:
            host.node.close()


def get(application: Any, path: str, **environ: Any) -> Answer:
    """Call a WSGI application as a server would; ``path`` as it is in a URL."""
    path, _, query = path.partition("?")
    answer: dict[str, Any] = {}

    def start_response(status: str, headers: Any, exc_info: Any = None) -> Any:
        answer.update(status=status, headers=headers)
        return lambda chunk: None

    given = {
        "REQUEST_METHOD": "GET",
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote_to_bytes(path).decode("latin-1"),
        "QUERY_STRING": query,
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(),
        "wsgi.errors": io.StringIO(),
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
        **environ,
    }
    body = application(given, start_response)
    try:
        content = b"".join(body)
    finally:
        if hasattr(body, "close"):
            body.close()
    return Answer(answer["status"], answer["headers"], content)


def outcomes(report: Report) -> dict[str, Outcome]:
    """Return what became of each package."""
    return {outcome.package: outcome for outcome in report.outcomes}


def statuses(report: Report) -> dict[str, str]:
    """Return the word for what became of each package."""
    return {outcome.package: outcome.status for outcome in report.outcomes}
