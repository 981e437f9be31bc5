"""A tree loses its name first, and is deleted then: never there by half.  Effects."""

from __future__ import annotations

import secrets
import stat
from typing import TYPE_CHECKING, Final

from pointsman import durable
from pointsman.faults import point
from pointsman.releases import events, listing, removal
from pointsman.releases.events import Event
from pointsman.releases.manifest import FILE, FOLDER_MODE

if TYPE_CHECKING:
    from pathlib import Path

    from pointsman.releases.layout import Root

LOOSE: Final = 0o755  # of a tree's folder that may be renamed


def discard(root: Root, tree: Path) -> Path:
    """Take a tree that nobody runs from its name; return its place in the trash.

    Killed before the rename, the tree is as it was but for its folder's mode, which
    `restore` mends; killed later, whoever comes next deletes the rest.  It needs no
    room: this is for full disks, too.

    Raises:
        OSError: it cannot be renamed.

    """
    # rename(2) to another folder changes `..`, so the folder must be writable.
    tree.chmod(LOOSE)
    point("release.loosened")
    place = root.trash / f"{tree.name}.{secrets.token_hex(4)}"
    tree.rename(place)
    durable.folder(root.releases)
    point("release.trashed")
    return place


def empty(root: Root, place: Path, now: float) -> int:
    """Delete what `discard` has put away; return how many bytes became free.

    Its folder goes last, so that releases.log tells of every removal.

    Raises:
        OSError: something cannot be deleted, or not be told.

    """
    name = place.name.rpartition(".")[0]
    freed = removal.clear(place)
    if events.newest(root.log, name, "built", "pruned").what != "pruned":
        events.append(root.log, Event.now(now, "pruned", name, {"freed": freed}))
    point("release.pruned")
    return freed + removal.remove(place)


def finish(root: Root, now: float) -> tuple[str, ...]:
    """Delete what is in the trash; tell what was.

    Raises:
        OSError: something cannot be deleted.

    """
    left = sorted(root.trash.iterdir()) if root.trash.is_dir() else []
    for place in left:
        empty(root, place, now)
    names = (place.name.rpartition(".")[0] for place in left)
    return tuple(f"the removal of {name} is finished" for name in names)


def restore(root: Root) -> None:
    """Let nobody write to trees whose removal was killed before it began."""
    for release in listing.present(root):
        tree = root.tree(release)
        if stat.S_IMODE(tree.lstat().st_mode) == LOOSE and (tree / FILE).exists():
            tree.chmod(FOLDER_MODE)
