"""A ZEO server in the background, and the truth about its start.  Effects.

The command waits until the server has answered a client's question, or has failed, or
the time is up.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from pointsman.errors import Error, ReleaseError
from pointsman.serving import background, logs, pidfile
from pointsman.zeo import asking
from pointsman.zeo.server import log_file, run

if TYPE_CHECKING:
    from pointsman.serving.background import Reports, Teller
    from pointsman.zeo.configured import Configured

_log = logging.getLogger(__name__)
_ANSWER = 5.0  # seconds for one


def start(server: Configured, timeout: float) -> int:
    """Start the server; return its pid when it answers.

    Returns -1 in the server, when that has ended.

    Raises:
        ReleaseError: it did not start, and why; nothing of it is left.

    """
    _refuse_second(server)
    end = background.divide()
    if isinstance(end, background.Reports):
        return _answering(server, end, timeout)
    _serve(server, end)
    return -1


def _refuse_second(server: Configured) -> None:
    recorded = pidfile.read(server.pid_file)
    if recorded is not None and recorded.alive():
        message = f"it is running already, with pid {recorded.pid} ({server.pid_file})"
        raise ReleaseError(message)


def _serve(server: Configured, command: Teller) -> None:
    try:
        logs.redirect(log_file(server))
        run(server, lambda: command.say(listening=True))
    except Error as error:
        command.say(failed=str(error))
        _log.error("not started: %s", error)
    except BaseException as error:
        command.say(failed=f"{type(error).__name__}: {error}")
        raise


def _answering(server: Configured, reports: Reports, timeout: float) -> int:
    end = time.monotonic() + timeout
    while time.monotonic() < end:
        reports.receive()
        if "failed" in reports.said:
            raise ReleaseError(reports.said["failed"])
        # Only after it has bound the address: before that, a stranger could answer.
        if "listening" in reports.said and asking.asked(server, _ANSWER) is not None:
            return int(reports.said["pid"])
        if reports.is_over() and "failed" not in reports.said:
            message = f"it died while it started; see {log_file(server)}"
            raise ReleaseError(message)
    reports.kill()
    raise ReleaseError(
        f"it did not answer within {timeout:g} s and was stopped; see "
        f"{log_file(server)}, or give it longer with --start-timeout"
    )
