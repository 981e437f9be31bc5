"""What the ledger knows, as JSON has it; docs/reference/http.md explains it.  Values.

Times are RFC 3339 in UTC, durations are milliseconds and say so, digests are 64 hex
digits.  The command line shows the same documents, also where it needs no server.
"""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pointsman.cluster import (
        Actor,
        DeployLock,
        Entry,
        Event,
        Generation,
        NodeRecord,
        Token,
        User,
        Vote,
    )
    from pointsman.differences import Difference
    from pointsman.model import Report
    from pointsman.outlook import Plan
    from pointsman.verdicts import Result

Document = dict[str, Any]


def time_of(seconds: float | None) -> str | None:
    """Return a moment, or None for one that has not come."""
    if seconds is None:
        return None
    moment = datetime.fromtimestamp(seconds, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def actor(one: Actor) -> Document:
    """Return who it was."""
    return {"name": one.name, "address": one.address}


def entry(one: Entry | None) -> Document | None:
    """Return one artifact of a generation."""
    if one is None:
        return None
    return {
        "package": one.package,
        "digest": one.digest,
        "kind": str(one.kind),
        "file": one.file,
        "source": one.source,
        "version": one.version,
        "size": one.size,
    }


def vote(one: Vote) -> Document:
    """Return one node's part."""
    return {
        "node": one.node,
        "loaded": one.loaded,
        "reason": one.reason,
        "failures": [dataclasses.asdict(failure) for failure in one.failures],
        "voted_at": time_of(one.voted_at),
        "duration_ms": _ms(one.duration),
        "switched_at": time_of(one.switched_at),
        "left": one.left,
    }


def generation(one: Generation) -> Document:
    """Return the record of a generation."""
    return {
        "generation": one.number,
        "state": str(one.state),
        "what": one.what,
        "actor": actor(one.actor),
        "base": one.base,
        "note": one.note,
        "reason": one.reason,
        "changes": [
            {"package": change.package, "entry": entry(change.entry)}
            for change in one.changes
        ],
        "stop": sorted(one.stop),
        "start": sorted(one.start),
        "proposed_at": time_of(one.proposed_at),
        "staged_at": time_of(one.staged_at),
        "decided_at": time_of(one.decided_at),
        "votes": [vote(each) for each in one.votes],
        "timings": timings(one),
    }


def timings(one: Generation) -> Document:
    """Return how long each part took; None for what has not happened.

    ``spread_ms`` is how far the first and the last node's switch lie apart.
    """
    switched = [each.switched_at for each in one.votes if each.switched_at is not None]
    last = max(switched, default=None)
    return {
        "queued_ms": _between(one.proposed_at, one.staged_at),
        "staging_ms": _between(one.staged_at, one.decided_at),
        "switching_ms": _between(one.decided_at, last),
        "spread_ms": _between(min(switched, default=None), last),
    }


def deployment(result: Result) -> Document:
    """Return what became of a change that was asked for."""
    return {
        **generation(result.generation),
        "unchanged": result.unchanged,
        "timed_out": result.timed_out,
        "late": list(result.late),
    }


def failures(one: Generation) -> list[Document]:
    """Return why each node refused it."""
    return [
        {"node": each.node, **dataclasses.asdict(failure)}
        for each in one.votes
        for failure in each.failures
    ]


def node(one: NodeRecord, now: float) -> Document:
    """Return a node; ``now`` is the ledger's time."""
    return {
        "node": one.id,
        "host": one.host,
        "pid": one.pid,
        "release": one.release,
        "python": one.python,
        "state": str(one.state),
        "generation": one.generation,
        "serves": one.serves,
        "alive": one.lease_until > now,
        "joined_at": time_of(one.joined_at),
        "lease_until": time_of(one.lease_until),
        "reason": one.reason,
        "report": one.report,
    }


def event(one: Event) -> Document:
    """Return a line of the audit log."""
    return {
        "id": one.id,
        "at": time_of(one.at),
        "actor": actor(one.actor),
        "what": one.what,
        "subject": one.subject,
        "generation": one.generation,
        "detail": one.detail,
    }


def token(one: Token, now: float) -> Document:
    """Return a token, without itself."""
    state = "valid"
    if one.revoked_at is not None:
        state = "revoked"
    elif one.expires_at is not None and one.expires_at <= now:
        state = "expired"
    return {
        "id": one.id,
        "name": one.name,
        "role": str(one.role),
        "packages": list(one.packages),
        "state": state,
        "created_at": time_of(one.created_at),
        "created_by": one.created_by,
        "expires_at": time_of(one.expires_at),
        "revoked_at": time_of(one.revoked_at),
        "used_at": time_of(one.used_at),
    }


def user(one: User) -> Document:
    """Return a user, without the hash of the password."""
    return {
        "id": one.id,
        "name": one.name,
        "role": str(one.role),
        "state": "valid" if one.disabled_at is None else "removed",
        "created_at": time_of(one.created_at),
        "created_by": one.created_by,
        "removed_at": time_of(one.disabled_at),
        "used_at": time_of(one.used_at),
    }


def lock(one: DeployLock | None) -> Document:
    """Return whether deployments are locked, and by whom."""
    if one is None:
        return {"locked": False}
    return {
        "locked": True,
        "actor": actor(one.actor),
        "reason": one.reason,
        "since": time_of(one.since),
    }


def difference(one: Difference) -> Document:
    """Return what is different in one package."""
    return {
        "package": one.package,
        "status": one.status,
        "old": entry(one.old),
        "new": entry(one.new),
        "files": [dataclasses.asdict(file) for file in one.files],
    }


def plan(one: Plan) -> Document:
    """Return what a deployment would do."""
    return {
        "generation": one.base,
        "packages": [
            {
                **difference(each.difference),
                "importers": list(each.importers),
                "mounts": list(each.mounts),
                "clash": each.clash,
            }
            for each in one.packages
        ],
    }


def report(one: Report) -> Document:
    """Return what a reload did in one process; ``packages`` are its outcomes."""
    document = dataclasses.asdict(one)
    document["packages"] = document.pop("outcomes")
    for each in document["directories"]:
        each["path"] = str(each["path"])
        each["packages"] = each.pop("outcomes")
    return document


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 3)


def _between(first: float | None, last: float | None) -> float | None:
    """Return milliseconds; a clock that was set back makes none of them negative."""
    if first is None or last is None:
        return None
    return max(0.0, _ms(last - first))
