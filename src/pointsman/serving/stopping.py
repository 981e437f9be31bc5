"""``--stop-daemon``: one graceful stop, and its true outcome.

Effects on another process, never on a namesake of it.  Nothing is removed: the
server removes its own files.
"""

from __future__ import annotations

import signal
import sys
import time
from typing import TYPE_CHECKING

from pointsman.errors import ReleaseError
from pointsman.serving import pidfile, processes, status
from pointsman.serving.settings import DRAIN_TIMEOUT

if TYPE_CHECKING:
    from pathlib import Path

    from pointsman.serving.arguments import Order
    from pointsman.serving.processes import Handle, Identity
    from pointsman.serving.status import Line

# What a server may need beyond its drain: to close its services and its threads.
_MARGIN = 15.0
_TELL_EVERY = 5.0


def stop(order: Order) -> int:
    """Stop the server that the pid file names; return 0 when nobody serves there.

    A server that hands over in this very moment ends anyway; then its successor is
    stopped as well.  Returns 1, with the reason on standard error, when one did not
    end in time or had to cut requests.

    Raises:
        ReleaseError: nothing runs, or it may not be stopped.

    """
    path = _pid_file(order)
    code = 0
    identity: Identity | None = _running(path)
    while identity is not None:
        code |= _stop_one(order, path, identity)
        identity = _successor_of(identity, path)
    return code


def _stop_one(order: Order, path: Path, identity: Identity) -> int:
    with processes.hold(identity) as handle, status.reached(path) as line:
        if handle is None:
            return _say(order, f"pid {identity.pid} has just ended", 0)
        return _stop(order, identity, handle, line)


def _successor_of(former: Identity, path: Path) -> Identity | None:
    """Return who serves in place of the one that has ended."""
    recorded = pidfile.read(path)
    identity = recorded.identity() if recorded else None
    if identity is None or identity == former or not identity.alive():
        return None
    return identity


def stop_if_running(order: Order) -> None:
    """Stop the server before a restart; none is as good as a stopped one.

    Raises:
        ReleaseError: it did not end, or may not be stopped.

    """
    recorded = pidfile.read(_pid_file(order))
    if recorded is not None and (recorded.alive() or recorded.doubtful()):
        stop(order)


def _pid_file(order: Order) -> Path:
    if order.pid_file is None:
        raise ReleaseError("no pid file is named; use --pid-file")
    return order.pid_file


def _running(path: Path) -> Identity:
    recorded = pidfile.read(path)
    if recorded is None:
        raise ReleaseError(
            f"nothing to stop: there is no pid file {path}; name the server's with "
            "--pid-file"
        )
    identity = recorded.identity()
    if identity is not None and identity.alive():
        return identity
    if recorded.doubtful():
        raise ReleaseError(
            f"{path} names pid {recorded.pid} without its start time: whether that "
            "is the server cannot be known; stop it yourself if it is"
        )
    raise ReleaseError(
        f"nothing to stop: the server of {path} (pid {recorded.pid}) is gone; its "
        "next start replaces the file"
    )


def _stop(order: Order, identity: Identity, handle: Handle, line: Line | None) -> int:
    known = line.ask("status") if line else {}
    if "can_switch" in known and known["pid"] != identity.pid:
        known, line = {}, None  # it has just been replaced, and ends anyway
    allowed = float(known.get("drain_timeout") or DRAIN_TIMEOUT)
    if line is not None:
        line.ask("farewell")
    _say(
        order,
        f"stopping pid {identity.pid}: {known.get('in_flight', 'unknown')} requests in "
        f"flight may take up to {allowed:g} s",
    )
    try:
        handle.send(signal.SIGTERM)
    except PermissionError as error:
        message = f"pid {identity.pid} belongs to another user; stop it as that user"
        raise ReleaseError(message) from error
    if not _gone(order, handle, allowed + _MARGIN):
        raise ReleaseError(
            f"pid {identity.pid} still runs {allowed + _MARGIN:g} s after SIGTERM; see "
            "its log, then kill it yourself"
        )
    return _outcome(order, identity, line)


def _gone(order: Order, handle: Handle, timeout: float) -> bool:
    """Wait for the end, and say now and then that we do."""
    began = time.monotonic()
    while (passed := time.monotonic() - began) < timeout:
        if handle.gone(min(_TELL_EVERY, timeout - passed)):
            return True
        _say(order, f"still waiting, {time.monotonic() - began:.0f} s")
    return False


def _outcome(order: Order, identity: Identity, line: Line | None) -> int:
    unanswered = int((line.next() if line else {}).get("unanswered", 0))
    if unanswered:
        sys.stderr.write(
            f"pid {identity.pid} has ended, but {unanswered} requests took longer than "
            "drain_timeout and were cut\n"
        )
        return 1
    return _say(order, f"pid {identity.pid} has ended, no request was cut", 0)


def _say(order: Order, sentence: str, code: int = 0) -> int:
    if order.verbosity >= 0:
        sys.stdout.write(f"{sentence}\n")
        sys.stdout.flush()
    return code
