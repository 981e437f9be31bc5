"""The files of one folder, sent by the server itself (``wsgi.file_wrapper``).

    curl http://127.0.0.1:8080/downloads/timetable.txt

Setting: ``directory``.  Answers conditional requests and ranges; hidden files and what
lies outside of the directory are not there.
"""

from __future__ import annotations

import mimetypes
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from webob import Response
from webob.exc import HTTPMethodNotAllowed, HTTPNotFound
from webob.static import FileIter

from pointsman import Service

if TYPE_CHECKING:
    from webob import Request

_BLOCK = 64 * 1024


class Downloads(Service):
    """``GET /downloads/`` lists the files, ``GET /downloads/{name}`` sends one."""

    name = "downloads"
    path = "/downloads"

    def __init__(self) -> None:
        """Read the setting."""
        self._directory = Path(self.settings["directory"]).resolve()

    def check(self) -> None:
        """Refuse a deployment without its directory."""
        if not self._directory.is_dir():
            raise NotADirectoryError(f"{self._directory} is no directory")

    def handle(self, request: Request) -> object:
        """Send a file, or the list of all."""
        if request.method not in {"GET", "HEAD"}:
            raise HTTPMethodNotAllowed(headers={"Allow": "GET, HEAD"})
        name = request.path_info.lstrip("/")
        return self._file(name, request) if name else self._list()

    def _list(self) -> list[dict[str, object]]:
        return [
            {
                "name": path.relative_to(self._directory).as_posix(),
                "size": path.stat().st_size,
            }
            for path in sorted(self._directory.rglob("*"))
            if self._is_shown(path)
        ]

    def _file(self, name: str, request: Request) -> Response:
        path = self._directory / name
        if "\0" in name or not self._is_shown(path):
            raise HTTPNotFound(f"there is no file {name!r}")
        return _sent(path, request)

    def _is_shown(self, path: Path) -> bool:
        """Tell whether this is a file of ours, wherever links and dots lead."""
        real = path.resolve()
        inside = real.is_relative_to(self._directory) and real.is_file()
        parts = real.relative_to(self._directory).parts if inside else ()
        return inside and not any(part.startswith(".") for part in parts)


class _Part(FileIter):
    """A file whose answer may be empty (304, HEAD): then nothing iterates over it."""

    def close(self) -> None:
        """Close the file."""
        self.file.close()


def _sent(path: Path, request: Request) -> Response:
    kind, encoding = mimetypes.guess_type(path.name)
    unknown = "application/octet-stream"
    file = path.open("rb")
    about = os.fstat(file.fileno())
    response = Response(
        content_type=unknown if encoding else kind or unknown,
        conditional_response=True,
        etag=f"{about.st_mtime_ns:x}-{about.st_size:x}",
    )
    response.last_modified = datetime.fromtimestamp(about.st_mtime, UTC)
    response.accept_ranges = "bytes"
    wrapper = request.environ.get("wsgi.file_wrapper")
    if wrapper is None or "Range" in request.headers:
        response.app_iter = _Part(file)  # it can begin in the middle
    else:
        response.app_iter = wrapper(file, _BLOCK)
    response.content_length = about.st_size
    return response
