"""A server below the supervisor of ``--reload``: the first code that it runs."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
import traceback
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pointsman.errors import Error, LoadError
from pointsman.serving import arguments, process, sockets, watching

if TYPE_CHECKING:
    from pointsman.serving.arguments import Order

_BEAT = 0.5


def main(handed: dict[str, Any]) -> int:
    """Serve on the supervisor's sockets; report to it.  Returns the exit code."""
    order = arguments.parse(handed["words"])
    reports = _Reports(handed["reports"])
    os.set_inheritable(handed["reports"], False)  # noqa: FBT003 - no keyword
    threading.Thread(target=reports.beat, name="reports", daemon=True).start()
    try:
        return process.run(
            _child_order(order),
            listening=sockets.adopted(handed["sockets"], "the supervisor"),
            desk_file=order.pid_file,
            on_ready=lambda _addresses: reports.send(ready=True),
        )
    except Error as error:
        reports.add(watching.of_error(error))
        reports.report_files()
        trace = error.traceback if isinstance(error, LoadError) else ""
        sys.stderr.write(f"{trace}{error}\n")
        return 1
    except BaseException as error:  # noqa: BLE001 - the top of a process
        reports.add(watching.of_error(error))
        reports.report_files()
        traceback.print_exc()
        return 1


def _child_order(order: Order) -> Order:
    """Return the order without what the supervisor does itself."""
    return replace(order, pid_file=None, reload=False)


class _Reports:
    """Tells the supervisor what we run from; :meth:`beat` has its own thread."""

    def __init__(self, writer: int) -> None:
        self._writer = writer
        self._lock = threading.Lock()  # guards _told and the pipe
        self._told: set[str] = set()
        self._more: set[str] = set()

    def beat(self) -> None:
        """Report new files now and then; stop serving when nobody listens."""
        while True:
            try:
                self.report_files()
            except BrokenPipeError:
                os.kill(os.getpid(), signal.SIGTERM)
                return
            time.sleep(_BEAT)

    def add(self, files: set[str]) -> None:
        """Report these as well."""
        self._more |= files

    def report_files(self) -> None:
        """Report the files that were not reported yet."""
        with self._lock:
            new = (watching.imported() | self._more) - self._told
            self._told |= new
            self._write(files=sorted(new))

    def send(self, **words: Any) -> None:
        """Report something."""
        self.report_files()
        with self._lock:
            self._write(**words)

    def _write(self, **words: Any) -> None:
        left = json.dumps(words).encode() + b"\n"
        while left:
            left = left[os.write(self._writer, left) :]
