"""A pointsman in a process of its own, as ``paster serve`` starts it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
import threading
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from perf.sources import environment, write
from waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

_PASTER = "import sys; from pointsman.serving.paster import main; sys.exit(main())"

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
        self._folder = folder
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.port = wait_for(self._port, "the server says its address", 30)
        token = (folder / "var" / "control.token").read_text("ascii").strip()
        self._headers = {"Authorization": f"Bearer {token}"}
        self._connection = HTTPConnection("127.0.0.1", self.port, timeout=60)

    def _read(self) -> None:
        if self.process.stderr is not None:
            self.log.extend(iter(self.process.stderr.readline, ""))

    def _port(self) -> int:
        if self.process.poll() is not None:
            message = f"the server ended: {''.join(self.log)}"
            raise AssertionError(message)
        found = re.search(r"serving on http://[\d.]+:(\d+)", "".join(self.log))
        return int(found[1]) if found else 0

    def get(self, path: str) -> str:
        """Return the text of an answer."""
        self._connection.request("GET", path)
        return self._connection.getresponse().read().decode()

    def reload(self) -> dict[str, Any]:
        """Reload, and return the answer's document.

        Raises:
            AssertionError: not everything was loaded.

        """
        path = "/_pointsman/api/v1/reload"
        self._connection.request("POST", path, headers=self._headers)
        response = self._connection.getresponse()
        document: dict[str, Any] = json.loads(response.read())
        if response.status != 200:
            raise AssertionError(json.dumps(document, indent=1))
        return document

    def inspect(self) -> dict[str, Any]:
        """Return what `inspection` sees from inside."""
        found: dict[str, Any] = json.loads(self.get("/perf"))
        return found

    def resident(self) -> int:
        """Return the resident memory in bytes."""
        status = Path(f"/proc/{self.process.pid}/status").read_text("ascii")
        found = re.search(r"VmRSS:\s+(\d+) kB", status)
        return int(found[1]) * 1024 if found else 0

    def stop(self) -> None:
        """Let it drain and end."""
        self._connection.close()
        self.process.terminate()
        self.process.wait(60)
        self._reader.join(10)
        if self.process.stderr is not None:
            self.process.stderr.close()


@contextmanager
def hosting(
    sources: Path, *, rehearse: bool, threads: int = 8, settings: str = ""
) -> Iterator[HostProcess]:
    """Serve a service list in a process of its own, until the end of the block."""
    with tempfile.TemporaryDirectory(prefix="pointsman-") as name:
        folder = Path(name)
        ini = _INI.format(
            sources=sources,
            rehearse="yes" if rehearse else "no",
            threads=threads,
            settings=settings,
        )
        write(folder / "bench.ini", ini)
        process = subprocess.Popen(
            [sys.executable, "-c", _PASTER, "serve", str(folder / "bench.ini")],
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
