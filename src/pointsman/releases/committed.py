"""Which release serves after a reboot, and which ones did before it.  Effects."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Final

from pointsman import durable
from pointsman.errors import ReleaseError
from pointsman.faults import point
from pointsman.releases.layout import Release

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pointsman.releases.layout import Root

_MOST: Final = 50  # releases that are remembered


def current(root: Root) -> Release | None:
    """Return what ``current`` names, be it there or not; None without a link.

    Raises:
        ReleaseError: it is not a link to a release of this site.

    """
    try:
        target = os.readlink(root.current)  # noqa: PTH115 - its text, and not a path
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ReleaseError(
            f"{root.current} is no link to a release ({error.strerror}); remove it, "
            "then activate one"
        ) from error
    place = root.path / target
    if place.parent != root.releases:
        raise ReleaseError(
            f"{root.current} leads to {target}, which is no release of this site; "
            "remove it, then activate one"
        )
    return Release.parse(place.name)


def before(root: Root) -> Iterator[Release]:
    """Yield the releases that were committed before the current one, newest first."""
    now, line = current(root), _line(root)
    position = line.index(now) + 1 if now in line else 0
    yield from (release for release in line[position:] if release != now)


def commit(root: Root, release: Release) -> None:
    """Let ``current`` name the release, in one moment.

    First it joins the line of those that were committed.  Killed in between, the line
    begins with one that is not current, and `before` leaves it out.

    Raises:
        OSError: the disk is full ...; ``current`` is as it was.

    """
    now = current(root)
    line = [release, *([now] if now is not None else []), *before(root)]
    names = list(dict.fromkeys(str(one) for one in line))[:_MOST]
    durable.replace(root.line, json.dumps(names, indent=1) + "\n")
    point("release.lined")
    target = root.tree(release).relative_to(root.path)
    durable.link(root.current, str(target), lambda: point("release.linking"))
    point("release.linked")


def _line(root: Root) -> list[Release]:
    try:
        return [Release.parse(name) for name in json.loads(root.line.read_bytes())]
    except FileNotFoundError:
        return []
    except (ValueError, TypeError, AttributeError, ReleaseError) as error:
        raise ReleaseError(
            f"{root.line} cannot be read ({error}); remove it: then no release is "
            "known as the previous one"
        ) from error
