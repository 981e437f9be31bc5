"""The nodes of this process, if its application is made of services.

Effects.  Any thread may call these.  An application that is not ours has no nodes,
and nothing of ours is imported on its account.
"""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

log = logging.getLogger(__name__)


class Node(Protocol):
    """What serving needs of ``pointsman.node.Node``."""

    def reload(self) -> object:
        """Look at all sources again; logs and reports, may take long."""

    def close(self) -> None:
        """Stop what the node runs."""

    def in_flight(self) -> int:
        """Count the requests that are in services."""

    def readiness(self) -> tuple[bool, Mapping[str, object]]:
        """Tell whether it should get requests, and the details, as JSON has them."""


def running() -> tuple[Node, ...]:
    """Return the nodes that were started in this process."""
    if "pointsman.node" not in sys.modules:
        return ()
    from pointsman.node import running as of_this_process  # noqa: PLC0415 - see above

    return tuple(of_this_process())


def in_flight() -> int | None:
    """Count the requests in services; None when this process has no node."""
    found = running()
    return sum(node.in_flight() for node in found) if found else None


def readiness() -> list[dict[str, object]]:
    """Return the details of each node: status, generation, what is the matter."""
    return [dict(node.readiness()[1]) for node in running()]


def unready() -> str:
    """Return what keeps this process's nodes from being ready; "" when nothing does."""
    for node in running():
        ready, details = node.readiness()
        if not ready:
            return str(details.get("reason") or details.get("status") or "not ready")
    return ""


def reload_all() -> None:
    """Reload every node; an error of one is logged and stops none of the others."""
    found = running()
    if not found:
        log.warning("reload: this application has no services of pointsman to reload")
    for node in found:
        try:
            node.reload()
        except Exception:
            log.exception("reload of %r failed; it goes on as before", node)


def close_all() -> None:
    """Close every node, the last one first; an error is logged and stops nothing."""
    for node in reversed(running()):
        try:
            node.close()
        except Exception:
            log.exception("closing %r failed", node)
