"""What a store does on a disk of a few pages; a program of the tests.

``small_disk.py FOLDER`` is run as root of a mount namespace of its own.  It mounts a
disk that grows page by page, and prints a list as JSON.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from functional.releases.sealed import build
from pointsman.errors import ReleaseError
from pointsman.releases.layout import Release
from pointsman.releases.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable

PAGE = os.sysconf("SC_PAGESIZE")
ONE, TWO, THREE = (Release("mysite", f"{n}.0") for n in (1, 2, 3))
LARGE = "x" * (8 * PAGE)


def fill(folder: Path, pages: int) -> None:
    """Leave that many pages of the disk free."""
    ballast = folder / "ballast"
    ballast.unlink(missing_ok=True)
    free = os.statvfs(folder).f_bavail
    with ballast.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, max(1, free - pages) * PAGE)


def tried(store: Store, pages: int) -> dict[str, object]:
    """Build with so much room; tell how it ended, and what is there then."""
    fill(store.root.path, pages)
    told = ""
    try:
        build(store.root.path, "2.0", page=LARGE, prices=f"BREAD = {LARGE!r}\n")
    except ReleaseError as error:
        told = str(error)
    left = sorted(path.name for path in store.root.releases.iterdir())
    return {
        "told": told,
        "left": left,
        "complete": [
            set(store.manifest(release).files) == set(store.manifest(ONE).files)
            for release in (ONE, TWO)
            if str(release) in left
        ],
        "wrong": [
            *store.verify(ONE),
            *(store.verify(TWO) if "mysite-2.0" in left else ()),
        ],
        "current": str(store.current()),
        "torn": store.root.log.read_bytes()[-1:] != b"\n",
    }


def refused(store: Store) -> dict[str, object]:
    """Try every change without any room; tell what became of each."""
    store.root.lock.unlink()
    fill(store.root.path, 0)
    told = {}
    changes: dict[str, Callable[[], object]] = {
        "commit": lambda: store.commit(TWO),
        "quarantine": lambda: store.quarantine(TWO, "crashed"),
        "log": lambda: store.log("activated", ONE, detail=LARGE),
        "journal": lambda: store.journal.write("proving", detail=LARGE),
    }
    for name, change in changes.items():
        try:
            change()
            told[name] = ""
        except ReleaseError as error:
            told[name] = str(error)
    return {
        "told": told,
        "current": str(store.current()),
        "quarantined": store.quarantined(TWO),
        "journal": store.journal.read() is not None,
        "pruned": [str(one.release) for one in store.prune(0) if one.removed],
        "hidden": sorted(path.name for path in store.root.store.glob(".*")),
    }


def main(folder: str) -> None:
    """Grow a disk until a release fits, then fill it."""
    mount(folder)
    root = Path(folder)
    build(root, "1.0")
    store = Store(root)
    store.commit(ONE)
    told = [tried(store, 0)]
    while told[-1]["told"]:
        told.append(tried(store, len(told)))
    json.dump([*told, refused(store)], sys.stdout)


def mount(folder: str) -> None:
    """Mount a small disk, where nobody else sees it."""
    options = "size=2m,mode=755"
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder]
    subprocess.run(command, check=True)


if __name__ == "__main__":
    main(sys.argv[1])
