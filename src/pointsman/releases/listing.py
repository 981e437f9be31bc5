"""What is known of each release without reading all of it.  Effects: reads."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from pointsman.errors import ReleaseError
from pointsman.releases import committed, manifest, quarantine
from pointsman.releases.layout import Release
from pointsman.releases.occupancy import alone, pids

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pointsman.releases.layout import Root
    from pointsman.releases.manifest import Manifest

State = Literal["active", "previous", "quarantined", "broken", "ready"]


@dataclass(frozen=True, slots=True)
class Listed:
    """One release, as `releases` found it.

    ``active`` is what `current` names; ``previous`` what was before it.  A broken one
    has no manifest, or another's (`Store.verify` looks at every file, this does not).
    An active release that is broken or in quarantine is called active, and ``reason``
    tells.
    """

    release: Release
    state: State
    in_use: bool  # a process runs from it
    pids: tuple[int, ...]  # which, as far as this user may know
    size: int  # bytes, also those that it shares with other releases
    built_at: str  # ISO 8601, UTC; "" when broken
    digest: str  # "" when broken
    reason: str  # why it is broken or in quarantine


def present(root: Root) -> tuple[Release, ...]:
    """Return the releases that have a folder, the oldest version first."""
    found = []
    for name in os.listdir(root.releases) if root.releases.is_dir() else ():  # noqa: PTH208 - only names
        try:
            found.append(Release.parse(name))
        except ReleaseError:
            continue  # somebody else's, or being built
    return tuple(sorted(found))


def releases(root: Root) -> tuple[Listed, ...]:
    """Return all releases, the oldest version first."""
    found = present(root)
    now, earlier = committed.current(root), previous(root, found)
    files = {release: root.tree(release) / manifest.FILE for release in found}
    used = pids(files.values())
    roles: dict[Release | None, State] = {earlier: "previous", now: "active"}
    return tuple(
        _listed(root, release, roles.get(release), used.get(files[release], ()))
        for release in found
    )


def previous(root: Root, there: Iterable[Release]) -> Release | None:
    """Return what was committed before the current one, if it may be activated."""
    known = set(there)
    for release in committed.before(root):
        if release in known and not reason(root, release, read(root, release)):
            return release
    return None


def read(root: Root, release: Release) -> Manifest | ReleaseError:
    """Return the manifest of a release, or why it has none."""
    try:
        return manifest.read(root.tree(release))
    except ReleaseError as error:
        return error


def reason(root: Root, release: Release, found: Manifest | ReleaseError) -> str:
    """Return why a release must not be activated, or ""."""
    if isinstance(found, ReleaseError):
        return str(found)
    record = quarantine.get(root, release)
    return record.reason if record is not None and record.means(found.digest) else ""


def _listed(
    root: Root, release: Release, role: State | None, used: tuple[int, ...]
) -> Listed:
    found = read(root, release)
    why = reason(root, release, found)
    if isinstance(found, ReleaseError):
        in_use, state = bool(used), role or "broken"
        return Listed(release, state, in_use, used, 0, "", "", why)
    in_use = bool(used) or _in_use(root, release)
    state = role or ("quarantined" if why else "ready")
    about = found.size, found.built_at, found.digest
    return Listed(release, state, in_use, used, *about, why)


def _in_use(root: Root, release: Release) -> bool:
    with alone(root.tree(release)) as free:
        return not free
