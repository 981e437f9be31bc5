"""``--daemon``: a server in the background, and the truth about its start.  Effects.

It writes into the log file.  The command waits until the server has answered a request,
or failed, or the time is up; while it waits it shows what the server writes there.
"""

from __future__ import annotations

import logging
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pointsman.errors import Error, LoadError, ReleaseError
from pointsman.serving import background, ini, pidfile, process

if TYPE_CHECKING:
    from pathlib import Path

    from pointsman.serving.arguments import Order
    from pointsman.serving.background import Reports, Teller

log = logging.getLogger(__name__)


def start(order: Order) -> int:
    """Start the server in the background; return in both processes.

    In the command: 0 when the server answers.  In the server: when it has ended.

    Raises:
        Error: the server did not start; said by the server itself.

    """
    ini.check(order)
    _refuse_second(order)
    shown = _Shown(order.log_file) if order.verbosity >= 0 else None
    end = background.divide()
    if isinstance(end, background.Reports):
        return _wait(end, order, shown)
    return _serve(order, end)


def _refuse_second(order: Order) -> None:
    recorded = pidfile.read(order.pid_file) if order.pid_file else None
    if recorded is not None and recorded.alive():
        raise ReleaseError(
            f"a server is running already with the pid file {order.pid_file} "
            f"(pid {recorded.pid}); stop it with --stop-daemon or give this one "
            "another --pid-file"
        )


def _serve(order: Order, command: Teller) -> int:
    try:
        return process.run(
            order, on_ready=lambda addresses: command.say(ready=list(addresses))
        )
    except Error as error:
        trace = error.traceback if isinstance(error, LoadError) else ""
        command.say(failed=str(error), trace=trace)
        log.error("not started: %s\n%s", error, trace)  # noqa: TRY400 - it is in trace
        return 1
    except BaseException:
        log.exception("not started")
        raise


# -- the command's side


@dataclass(slots=True)
class _Shown:
    """Copies what is appended to the log file to standard error."""

    path: Path | None
    offset: int = 0

    def __post_init__(self) -> None:
        with suppress(OSError):
            self.offset = self.path.stat().st_size if self.path else 0

    def more(self) -> None:
        with suppress(OSError):
            if self.path is None:
                return
            with self.path.open("rb") as file:
                file.seek(self.offset)
                text = file.read()
            self.offset += len(text)
            sys.stderr.write(text.decode(errors="replace"))
            sys.stderr.flush()


def _wait(reports: Reports, order: Order, shown: _Shown | None) -> int:
    end = time.monotonic() + order.start_timeout
    try:
        while time.monotonic() < end:
            reports.receive()
            if "failed" in reports.said:
                said = reports.said
                raise _Failed(said["failed"], said["trace"])
            if shown is not None:
                shown.more()
            if "ready" in reports.said:
                return _say_ready(reports, order)
            if _has_died(reports):
                raise _died(order)
    except KeyboardInterrupt:
        reports.kill()
        return 130
    reports.kill()
    raise ReleaseError(
        f"the server did not answer within {order.start_timeout:g} s and was stopped; "
        f"see {order.log_file}, or give it longer with --start-timeout"
    )


class _Failed(Error):
    """What the server said when it failed, with the traceback of its application."""

    def __init__(self, sentence: str, trace: str) -> None:
        super().__init__(sentence)
        self.traceback = trace


def _has_died(reports: Reports) -> bool:
    return reports.is_over() and not reports.said.keys() & {"ready", "failed"}


def _died(order: Order) -> ReleaseError:
    message = f"the server died while it started; see the end of {order.log_file}"
    return ReleaseError(message)


def _say_ready(reports: Reports, order: Order) -> int:
    if order.verbosity >= 0:
        addresses = ", ".join(reports.said["ready"])
        sys.stdout.write(
            f"serving on {addresses} (pid {reports.said['pid']}, {order.pid_file}; "
            f"log {order.log_file})\n"
        )
    return 0
