"""``--status``: what runs, told with the exit codes of the LSB.

Effects: reads the pid file and asks the server.  The codes are those of "Init Script
Actions" in the Linux Standard Base: 0 runs, 1 dead with a pid file, 3 does not run,
4 unknown.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from pointsman.errors import ReleaseError
from pointsman.serving import pidfile, status
from pointsman.serving.arguments import DEFAULT_PID_FILE
from pointsman.serving.processes import uptime

if TYPE_CHECKING:
    from pathlib import Path

    from pointsman.serving.arguments import Order
    from pointsman.serving.pidfile import Recorded

RUNS, DEAD, STOPPED, UNKNOWN = 0, 1, 3, 4


def show(order: Order) -> int:
    """Print the status; return its code."""
    path = order.pid_file
    try:
        recorded = pidfile.read(path) if path else None
    except ReleaseError as error:
        sys.stderr.write(f"unknown: {error}\n")
        return UNKNOWN
    code, lines = _told(path, recorded)
    sys.stdout.write("\n".join(lines) + "\n")
    return code


def _told(path: Path | None, recorded: Recorded | None) -> tuple[int, list[str]]:
    if path is None or recorded is None:
        return STOPPED, [f"not running: no server in {path or DEFAULT_PID_FILE}"]
    if recorded.doubtful():
        sentence = f"{path} names pid {recorded.pid} without its start time"
        return UNKNOWN, [f"unknown: {sentence}; another program wrote it"]
    identity = recorded.identity()
    if identity is None or not identity.alive():
        return DEAD, [f"dead: the server of {path} was pid {recorded.pid}"]
    with status.reached(path) as line:
        known = line.ask("status") if line else {}
    if not known:
        since = _duration(uptime(identity))
        silent = f"it does not answer on {status.path_beside(path)}"
        return RUNS, [f"running: pid {recorded.pid}, for {since}; {silent}"]
    return RUNS, _lines(known, recorded.pid)


def _lines(known: dict[str, Any], pid: int) -> list[str]:
    in_flight = f"{known['in_flight']}"
    if known["in_services"] is not None:
        in_flight += f", {known['in_services']} of them in services"
    supervised = f", serving pid {known['pid']}" if known["pid"] != pid else ""
    return [
        f"running ({known['state']})",
        f"release    {known['release']}, {known['tree']}",
        f"pid        {pid}{supervised}",
        f"uptime     {_duration(known['uptime'])}",
        f"in flight  {in_flight}",
        *_of_switch(known.get("switch")),
        # A server of an older release may be the one that answers.
        *(line for node in known.get("nodes", ()) for line in _of_node(node)),
        *(f"address    {address}" for address in known["addresses"]),
    ]


def _of_switch(switch: dict[str, Any] | None) -> list[str]:
    if not switch:
        return []
    release = f", release {switch['release']}" if switch["release"] else ""
    return [f"switch     {switch['step']}: to pid {switch['pid']}{release}"]


def _of_node(node: dict[str, Any]) -> list[str]:
    reason = f": {node['reason']}" if node.get("reason") else ""
    lines = [f"generation {node['generation']} ({node['status']}{reason})"]
    if node.get("ledger"):
        lines.append(f"ledger     not reached: {node['ledger']}")
    return lines


def _duration(seconds: float) -> str:
    """Return for example ``3 d 4 h 05 min 06 s``; leading zeros are left out."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    parts = [(days, "d"), (hours, "h"), (minutes, "min"), (rest, "s")]
    while len(parts) > 1 and not parts[0][0]:
        parts.pop(0)
    return " ".join(f"{number} {unit}" for number, unit in parts)
