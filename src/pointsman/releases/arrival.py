"""A sealed tree gets its name, where nothing or the same may be already.  Effects."""

from __future__ import annotations

import errno
import logging
import os
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from pointsman import durable
from pointsman.errors import ReleaseError
from pointsman.faults import point
from pointsman.releases import contents, disposal, events, listing, manifest
from pointsman.releases.events import Event
from pointsman.releases.occupancy import alone

if TYPE_CHECKING:
    from pathlib import Path

    from pointsman.releases.layout import Release, Root
    from pointsman.releases.manifest import Manifest

_log = logging.getLogger(__name__)

_TAKEN: Final = {errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR}
_TOLD = 3  # paths that a sentence names


def is_there(root: Root, new: Manifest, now: float) -> bool:
    """Tell whether the release is there, with the same content, and whole.

    One with the same manifest that is damaged loses its name, if nobody runs from it.

    Raises:
        ReleaseError: it is there with other content, or is damaged and in use, or
            has no manifest that could tell.

    """
    tree = root.tree(new.release)
    if not os.path.lexists(tree):
        return False
    try:
        old = manifest.read(tree)
    except ReleaseError as error:  # nor can it be known whether somebody runs from it
        raise ReleaseError(
            f"{error}; when nothing runs from it, move {tree} away first"
        ) from error
    if old.digest != new.digest:
        raise ReleaseError(
            f"{new.release} is there already, with other content"
            f" ({_differences(old, new)}); give the new one another version"
        )
    damage = contents.differences(old, tree)
    if damage:
        _make_room(root, tree, damage, now)
    return not damage


def appear(root: Root, part: Path, new: Manifest, now: float) -> bool:
    """Give a sealed folder the name of its release, in one moment.

    False when another process was faster, with the same content.

    Raises:
        ReleaseError: ... with other content.

    """
    while True:
        try:
            part.rename(root.tree(new.release))
        except OSError as error:
            if error.errno not in _TAKEN:
                raise
            if is_there(root, new, now):
                return False
        else:
            point("release.appeared")
            durable.folder(root.releases)
            return True


def tell(root: Root, release: Release) -> None:
    """Append to releases.log that a release is built, as its manifest says, once."""
    new, name = manifest.read(root.tree(release)), str(release)
    detail = {"digest": new.digest, "size": new.size}
    try:
        last = events.newest(root.log, name, "built", "pruned")
        if (last.what, last.detail.get("digest")) == ("built", new.digest):
            return
        event = Event(new.built_at, new.built_by, "built", name, detail)
        events.append(root.log, event)
    except OSError as error:  # the release is there all the same
        _log.error("%s is built; the record cannot be written: %s", release, error)
    point("release.built")


def catch_up(root: Root) -> None:
    """Tell of releases whose builders were killed before they did."""
    for release in listing.present(root):
        with suppress(ReleaseError):
            tell(root, release)


def _make_room(root: Root, tree: Path, damage: tuple[str, ...], now: float) -> None:
    with alone(tree) as free:
        if not free:
            raise ReleaseError(
                f"{tree} is damaged ({_some(damage)}), and a process runs from it; "
                "activate another release, then build this one again"
            )
        place = disposal.discard(root, tree)
    disposal.empty(root, place, now)


def _differences(old: Manifest, new: Manifest) -> str:
    """Return where two manifests differ, in a few words."""
    before, after = old.document(), new.document()
    for derived in {**old.bytecode(), **new.bytecode()}:
        before["files"].pop(derived, None)
        after["files"].pop(derived, None)
    found = [
        key
        for part in ("files", "links", "requires")
        for key in sorted({*before[part], *after[part]})
        if before[part].get(key) != after[part].get(key)
    ]
    return _some(
        found or [key for key in ("python", "platform") if before[key] != after[key]]
    )


def _some(what: list[str] | tuple[str, ...]) -> str:
    more = f" and {len(what) - _TOLD} more" if len(what) > _TOLD else ""
    return ", ".join(what[:_TOLD]) + more
