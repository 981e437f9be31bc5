"""A pointsman in a process of its own, as ``paster serve`` starts it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
import threading
import uuid
from contextlib import ExitStack, contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from perf import processes
from perf.sources import environment, write
from waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

API = "/_pointsman/api/v1"

_PASTER = "import sys; from pointsman.serving.paster import main; sys.exit(main())"
_GUNICORN = "import sys; from gunicorn.app.wsgiapp import run; sys.exit(run())"

_INI = """\
[composite:main]
use = egg:Paste#urlmap
/ = host
/perf = inspection

[app:host]
use = egg:pointsman
service_sources = {sources}
rehearse = {rehearse}
{settings}

[app:inspection]
paste.app_factory = perf.inspection:app_factory

[server:main]
use = egg:pointsman#server
port = 0
threads = {threads}

[loggers]
keys = root
[handlers]
keys = console
[formatters]
keys = plain
[logger_root]
level = INFO
handlers = console
[handler_console]
class = StreamHandler
args = (sys.stderr,)
formatter = plain
[formatter_plain]
format = %(asctime)s %(levelname)s %(name)s: %(message)s
"""


class HostProcess:
    """A serving process; one thread may call it at a time."""

    def __init__(self, process: subprocess.Popen[str], folder: Path) -> None:
        self.process = process
        self.log: list[str] = []
        self.folder = folder
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.port = wait_for(self._port, "the server says its address", 120)
        file = folder / "var" / "control.token"
        wait_for(file.exists, "gunicorn's first worker has made the token", 60)
        token = file.read_text("ascii").strip()
        self._headers = {"Authorization": f"Bearer {token}"}
        self._connection = HTTPConnection("127.0.0.1", self.port, timeout=300)

    def _read(self) -> None:
        if self.process.stderr is not None:
            self.log.extend(iter(self.process.stderr.readline, ""))

    def _port(self) -> int:
        if self.process.poll() is not None:
            message = f"the server ended: {''.join(self.log)}"
            raise AssertionError(message)
        says = r"(?:serving on|Listening at:) http://[\d.]+:(\d+)"
        found = re.search(says, "".join(self.log))
        return int(found[1]) if found else 0

    # WHAT IT SERVES

    def get(self, path: str) -> str:
        """Return the text of an answer."""
        self._connection.request("GET", path)
        return self._connection.getresponse().read().decode()

    def is_ready(self) -> bool:
        """Tell whether it says that it is."""
        self._connection.request("GET", "/_pointsman/health/ready")
        response = self._connection.getresponse()
        response.read()
        return response.status == 200

    # WHAT IT IS TOLD

    def call(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        """Ask the control surface; return the document of a good answer.

        Raises:
            AssertionError: it is none.

        """
        sent = {**self._headers, **(headers or {})}
        self._connection.request(method, f"{API}/{path}", body, sent)
        response = self._connection.getresponse()
        document: dict[str, Any] = json.loads(response.read())
        if response.status != 200:
            raise AssertionError(json.dumps(document, indent=1)[:4000])
        return document

    def reload(self) -> dict[str, Any]:
        """Reload, and return the answer's document."""
        return self.call("POST", "reload")

    def put(self, package: str, artifact: bytes, file: str = "") -> dict[str, Any]:
        """Deploy one package, and wait until it is active."""
        headers = {"Content-Type": "application/octet-stream"}
        if file:
            headers["Content-Disposition"] = f'attachment; filename="{file}"'
        return self.call("PUT", f"packages/{package}?wait=120", artifact, headers)

    def post(self, files: Mapping[str, bytes], wait: float = 300) -> dict[str, Any]:
        """Deploy several files as one generation (multipart, RFC 7578)."""
        mark = uuid.uuid4().hex
        parts = [_part(mark, name, content) for name, content in files.items()]
        headers = {"Content-Type": f"multipart/form-data; boundary={mark}"}
        body = b"".join([*parts, f"--{mark}--\r\n".encode()])
        return self.call("POST", f"packages?wait={wait:g}", body, headers)

    # WHAT IT IS

    def inspect(self) -> dict[str, Any]:
        """Return what `inspection` sees from inside."""
        found: dict[str, Any] = json.loads(self.get("/perf"))
        return found

    def resident(self) -> int:
        """Return the resident memory in bytes."""
        return processes.resident(self.process.pid)

    def stop(self) -> None:
        """Let it drain and end."""
        self._connection.close()
        self.process.terminate()
        self.process.wait(60)
        self._reader.join(10)
        if self.process.stderr is not None:
            self.process.stderr.close()


def _part(mark: str, name: str, content: bytes) -> bytes:
    head = (
        f"--{mark}",
        f'Content-Disposition: form-data; name="file"; filename="{name}"',
        "Content-Type: application/octet-stream",
        "\r\n",
    )
    return "\r\n".join(head).encode() + content + b"\r\n"


def configure(
    folder: Path,
    *,
    sources: Path | None = None,
    rehearse: bool,
    threads: int = 8,
    settings: str = "",
) -> None:
    """Write the ini of a host that shall live in a folder."""
    ini = _INI.format(
        sources=sources or "",
        rehearse="yes" if rehearse else "no",
        threads=threads,
        settings=settings,
    )
    write(folder / "bench.ini", ini)


@contextmanager
def serving(folder: Path, workers: int = 0) -> Iterator[HostProcess]:
    """Serve what `configure` has written; with ``workers``, by gunicorn."""
    ini = str(folder / "bench.ini")
    command = [_PASTER, "serve", ini]
    if workers:
        told = ("--bind=127.0.0.1:0", "--threads=4", "--no-control-socket")
        command = [_GUNICORN, f"--workers={workers}", *told, "--paste", ini]
    process = subprocess.Popen(
        [sys.executable, "-c", *command],
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
        cwd=folder,
    )
    with process:
        try:
            made = HostProcess(process, folder)
        except BaseException:
            process.kill()
            raise
        try:
            yield made
        finally:
            made.stop()


@contextmanager
def hosting(
    sources: Path | None = None,
    *,
    rehearse: bool,
    threads: int = 8,
    settings: str = "",
) -> Iterator[HostProcess]:
    """Serve a service list in a process of its own, until the end of the block."""
    with tempfile.TemporaryDirectory(prefix="pointsman-") as name:
        folder = Path(name)
        configure(
            folder,
            sources=sources,
            rehearse=rehearse,
            threads=threads,
            settings=settings,
        )
        with serving(folder) as host:
            yield host


@contextmanager
def cluster(
    number: int, *, rehearse: bool, gunicorn: bool = False, settings: str = ""
) -> Iterator[Sequence[HostProcess]]:
    """Serve from several processes with one ledger, when all of them are ready.

    Each is a ``paster serve`` on a port of its own; or all are gunicorn's, and come
    as one.
    """
    with tempfile.TemporaryDirectory(prefix="pointsman-") as name, ExitStack() as stack:
        folder = Path(name)
        configure(folder, rehearse=rehearse, settings=settings)
        workers = number if gunicorn else 0
        hosts = [
            stack.enter_context(serving(folder, workers))
            for _ in range(1 if gunicorn else number)
        ]
        wait_for(lambda: number == _ready(hosts[0]), "all nodes are ready", 60)
        yield hosts


def _ready(host: HostProcess) -> int:
    nodes = host.call("GET", "nodes")["nodes"]
    return sum(node["state"] == "ready" and node["alive"] for node in nodes)
