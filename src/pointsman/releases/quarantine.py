"""Releases that have failed, and are not activated again unasked.  Effects."""

from __future__ import annotations

import json
import logging
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from pointsman import durable
from pointsman.errors import ReleaseError
from pointsman.faults import point
from pointsman.releases import events
from pointsman.releases.events import Event
from pointsman.releases.layout import Release

if TYPE_CHECKING:
    from pathlib import Path

    from pointsman.releases.layout import Root

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Isolated:
    """Why a release is in quarantine, since when (ISO 8601, UTC), by whom.

    ``digest`` names the content that has failed; "" when the tree was broken, and then
    every content of that version is meant.
    """

    digest: str
    reason: str
    at: str
    by: str

    def means(self, digest: str) -> bool:
        """Tell whether a tree with that digest, or with none, is the one."""
        return not self.digest or not digest or digest == self.digest

    def repeats(self, other: Isolated | None) -> bool:
        """Tell whether another record says the same, perhaps at another time."""
        if other is None:
            return False
        return (self.digest, self.reason) == (other.digest, other.reason)


def put(root: Root, release: Release, record: Isolated) -> None:
    """Put a release into quarantine, and tell; the newest reason counts.

    Raises:
        OSError: it cannot be written, and the release is as it was.

    """
    if not record.repeats(get(root, release)):
        text = json.dumps({"release": str(release), **asdict(record)}, indent=1)
        path = _path(root, release)
        durable.replace(path, text + "\n", lambda: point("release.isolating"))
        point("release.isolated")
    _tell(root, release, record)


def clear(root: Root, release: Release, now: float) -> None:
    """Tell that a release is not in quarantine any more, and take it out.

    Told first: killed in between, `catch_up` takes it out.

    Raises:
        ReleaseError: it is not in quarantine.
        OSError: it cannot be told, and the release stays there.

    """
    record = get(root, release)
    if record is None:
        raise ReleaseError(f"{release} is not in quarantine")
    if not _is_cleared(root, release, record):
        detail = {"reason": record.reason}
        event = Event.now(now, "cleared", str(release), detail)
        events.append(root.log, event)
    point("release.clearing")
    durable.remove(_path(root, release))


def catch_up(root: Root) -> None:
    """Finish what killed commands have begun: tell, or take out.

    Raises:
        ReleaseError: a record cannot be read.
        OSError: something cannot be removed.

    """
    for path in sorted(root.quarantine.glob("*.json")):
        release = Release.parse(path.stem)
        record = get(root, release)
        if record is not None and _is_cleared(root, release, record):
            durable.remove(path)
        elif record is not None:
            _tell(root, release, record)


def _tell(root: Root, release: Release, record: Isolated) -> None:
    try:
        last = events.newest(root.log, str(release), "quarantined", "cleared")
        if (last.what, last.detail.get("reason")) != ("quarantined", record.reason):
            detail = {"reason": record.reason}
            event = Event(record.at, record.by, "quarantined", str(release), detail)
            events.append(root.log, event)
    except OSError as error:  # it is in quarantine all the same
        _log.error("%s is in quarantine; the record fails: %s", release, error)


def _is_cleared(root: Root, release: Release, record: Isolated) -> bool:
    last = events.newest(root.log, str(release), "quarantined", "cleared")
    return last.what == "cleared" and last.at > record.at


def get(root: Root, release: Release) -> Isolated | None:
    """Return the record of a release; None when it is not in quarantine.

    Raises:
        ReleaseError: the file is none.

    """
    path = _path(root, release)
    try:
        document = json.loads(path.read_bytes())
        return Isolated(
            str(document["digest"]),
            str(document["reason"]),
            str(document["at"]),
            str(document["by"]),
        )
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise ReleaseError(
            f"{path} cannot be read ({error!r}); remove it to give {release} free"
        ) from error


def _path(root: Root, release: Release) -> Path:
    return root.quarantine / f"{release}.json"
