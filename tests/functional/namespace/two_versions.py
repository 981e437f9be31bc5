"""Two versions of the same services alive at once, and questions to each of them."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

from site_folder import statuses

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pointsman.model import Report
    from pointsman.wsgi import Host
    from site_folder import SiteFolder

#: Added to a module that is asked: each chunk of one response is one answer.
ANSWERING = """

def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return _answers(environ)


def _answers(environ):
    while True:
        name, arguments = environ["test.question"]
        try:
            environ["test.answer"] = (globals()[name](*arguments), None)
        except Exception as error:
            environ["test.answer"] = (None, error)
        yield b''
"""


def write_asked(site: SiteFolder, name: str, source: str) -> None:
    """Write a module that answers questions."""
    path = site.write(name, source)
    with path.open("a") as file:
        file.write(ANSWERING)


class Held:
    """A request in flight: its version lives until `close`."""

    def __init__(self, application: Any, path: str) -> None:
        """Begin the request; ask nothing yet."""
        self._environ: dict[str, Any] = {
            "REQUEST_METHOD": "GET",
            "SCRIPT_NAME": "",
            "PATH_INFO": path,
            "QUERY_STRING": "",
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
        }
        told: list[str] = []
        self._body = application(
            self._environ, lambda status, headers, exc_info=None: told.append(status)
        )
        assert ["200 OK"] == told, told

    def ask(self, function: str, *arguments: Any) -> Any:
        """Return what a function of the service's module answers, or raise."""
        self._environ["test.question"] = (function, arguments)
        self._environ.pop("test.answer", None)
        chunk = next(self._body)
        assert b"" == chunk, chunk
        answer, error = self._environ.pop("test.answer")
        if error is not None:
            raise error
        return answer

    def close(self) -> None:
        """End the request, as a server does."""
        self._body.close()


class TwoVersions:
    """Version 1 in a request that is still in flight, and version 2 that serves.

    ``first`` says which of them is asked first: what is looked up late, cached or
    bound once must be right in both orders.
    """

    def __init__(self, site: SiteFolder, first: str) -> None:
        """Serve nothing yet."""
        self._site = site
        self._first = first
        self.host: Host | None = None

    def serve(
        self,
        files: Mapping[str, str],
        changed: Mapping[str, str] | None = None,
        *,
        asked: str = "app",
        entries: tuple[str, ...] = (),
    ) -> None:
        """Serve ``files``, hold a request, and serve the second version beside it.

        In version 2 every ``VERSION = 1`` is ``VERSION = 2``, or the files are
        those in ``changed``.  ``asked`` is the module whose functions are called.
        """
        asking = asked.replace(".", "/") + ".py"
        self._path = "/" + asked.replace(".", "/")
        self._site.list.write_text("\n".join(("./services", *entries)) + "\n")
        for name, source in files.items():
            self._write(name, source, asking)
        self.host = self._site.host()
        serving = self._state(self.host.node.last)
        assert "failed" not in serving.values(), self.host.node.last
        self.old = Held(self.host, self._path)
        for name, source in files.items():
            newer = source.replace("VERSION = 1", "VERSION = 2")
            self._write(name, (changed or {}).get(name, newer), asking)
        for name in (changed or {}).keys() - files.keys():
            self._write(name, (changed or {})[name], asking)
        report = self.host.node.reload()
        assert "updated" in statuses(report).values(), report
        assert "failed" not in statuses(report).values(), report
        self.new = Held(self.host, self._path)

    def ask(self, function: str, *arguments: Any) -> tuple[Any, Any]:
        """Return what version 1 and version 2 answer; ask both twice, in turns."""
        turns = [self.old, self.new] if self._first == "old" else [self.new, self.old]
        answers = {id(held): held.ask(function, *arguments) for held in turns}
        for held in turns:
            again = held.ask(function, *arguments)
            assert answers[id(held)] == again
        return answers[id(self.old)], answers[id(self.new)]

    def close(self) -> None:
        """End both requests."""
        for held in (getattr(self, "old", None), getattr(self, "new", None)):
            if held is not None:
                held.close()

    def _write(self, name: str, source: str, asking: str) -> None:
        if name == asking:
            write_asked(self._site, name, source)
        else:
            self._site.write(name, source)

    @staticmethod
    def _state(report: Report | None) -> dict[str, str]:
        return statuses(report) if report is not None else {}
