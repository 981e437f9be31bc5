"""``restart``: the running server starts its successor, and no connection is refused.

Effects on another process.  What serves is only replaced by what has proved that it
can; where that is impossible, a stop and a start do.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from pointsman.errors import Error, ReleaseError
from pointsman.serving import handover, rights, stopping
from pointsman.serving.handover import Result

if TYPE_CHECKING:
    from pointsman.serving.arguments import Order
    from pointsman.serving.handover import Outcome, Serving


class _Failed(Error):
    """Why the new server cannot serve; the old one does."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(f"not restarted, the former server goes on: {outcome.reason}")
        self.traceback = outcome.traceback


def done(order: Order) -> bool:
    """Let the server with the pid file hand over to this very command line.

    Returns False when nobody serves any more, and the caller is to start: because
    nobody did, or because the one who did could only be stopped.  It is when it is
    deaf, has no sockets to give, or when somebody else is to serve.

    Raises:
        Error: the new server does not get ready, or the old one cannot be stopped.

    """
    serving = _able(order)
    if serving is None or order.pid_file is None:
        stopping.stop_if_running(order)
        return False
    words = [sys.executable, *sys.orig_argv[1:]]
    outcome = handover.switch(
        order.pid_file,
        words,
        env=os.environ,
        cwd=Path.cwd(),
        probation=0,
        ready_timeout=order.start_timeout,
    )
    if outcome.result is not Result.COMMITTED:
        raise _Failed(outcome)
    if order.verbosity >= 0:
        sys.stdout.write(
            f"pid {outcome.pid} serves on {', '.join(serving.addresses)}; pid "
            f"{serving.pid} answers what it has begun, and ends\n"
        )
    return True


def _able(order: Order) -> Serving | None:
    """Return who can hand over to a server of this order, if anybody can."""
    if order.pid_file is None:
        return None
    try:
        serving = handover.current(order.pid_file)
        who = rights.wanted(order.user, order.group)
    except ReleaseError:
        return None
    if serving is None or not serving.can_switch:
        return None
    same = (serving.user, serving.group) == (
        serving.user if who.user is None else who.user.pw_uid,
        serving.group if who.group is None else who.group,
    )
    return serving if same else None
