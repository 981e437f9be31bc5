"""Who this process is in the ledger, and which others are dead for sure.  Effects."""

from __future__ import annotations

import itertools
import os
import platform
import socket
from typing import TYPE_CHECKING

import pointsman
from pointsman.cluster import NodeRecord, NodeState
from pointsman.namespace.unpacked import started

if TYPE_CHECKING:
    from collections.abc import Iterable

_numbers = itertools.count(1)


def record(*, serves: bool) -> NodeRecord:
    """Return the record of a new node in this process, for `Ledger.join`.

    A pid is used again, a pid with its start time is not; a process may have
    several nodes.
    """
    pid, host = os.getpid(), socket.gethostname()
    since = started(pid)
    return NodeRecord(
        id=f"{host}:{pid}:{since}:{next(_numbers)}",
        host=host,
        pid=pid,
        started=since,
        release=pointsman.__version__,
        python=platform.python_version(),
        state=NodeState.JOINING,
        generation=0,
        joined_at=0.0,
        lease_until=0.0,
        serves=serves,
    )


def gone(nodes: Iterable[NodeRecord]) -> frozenset[str]:
    """Return those of ``nodes`` whose process ran on this host and is no more."""
    host = socket.gethostname()
    return frozenset(
        node.id
        for node in nodes
        if node.host == host and started(node.pid) != node.started
    )


def is_alive(node: str, nodes: Iterable[NodeRecord]) -> bool:
    """Tell whether a node may be alive: it is known, and not known dead."""
    known = [one for one in nodes if one.id == node]
    return bool(known) and not gone(known)
