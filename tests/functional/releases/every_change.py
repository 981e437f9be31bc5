"""Kills a change of a store before each of its steps; a program of the tests.

A step is a change of the file system: an open for writing, a rename, a mode ...
``every_change.py once CHANGE ROOT`` makes one change.  ``every_change.py all CHANGE``
makes it in as many children as it has steps, and kills each before another one;
afterwards the change is made again, and the store must be as if nothing had happened.
It prints a JSON object: ``killed`` (how many), ``failures`` (texts).
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
import signal
import sys
import tempfile
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from functional.releases.sealed import build
from pointsman.errors import ReleaseError
from pointsman.releases import listing
from pointsman.releases.layout import Release
from pointsman.releases.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ONE, TWO, THREE = (Release("mysite", f"{n}.0") for n in (1, 2, 3))
OF_TREES: Final = {"built", "pruned"}
State = dict[str, Any]

_WRITE = os.O_WRONLY | os.O_RDWR
_CHANGES = {
    *("os.chmod", "os.link", "os.mkdir", "os.remove", "os.rename", "os.rmdir"),
    *("os.symlink", "os.truncate", "fcntl.flock"),
}


def _replace(root: Path) -> None:
    build(root, "1.0", page="one")


def _clear(root: Path) -> None:
    store = Store(root)
    with store.locked("clear"):
        if store.quarantined(ONE):  # what a killed one has begun is finished now
            store.clear(ONE)


#: What is done to a site; each may be done again.
CHANGES: Final[dict[str, Callable[[Path], object]]] = {
    "build": lambda root: build(root, "4.0"),
    "replace": _replace,  # what `Site.begun` has damaged
    "commit": lambda root: Store(root).commit(TWO),
    "quarantine": lambda root: Store(root).quarantine(THREE, "crashed"),
    "prune": lambda root: Store(root).prune(2, quarantined=True),
    "clear": _clear,
    "note": lambda root: Store(root).journal.write("switching", before=str(ONE)),
}


@dataclass(frozen=True)
class Site:
    """A site with three releases: the third is committed, and the first is damaged."""

    root: Path

    @classmethod
    def begun(cls, root: Path) -> Site:
        """Make it."""
        for release, page in ((ONE, "one"), (TWO, "two"), (THREE, "three")):
            build(root, release.version, page=page)
        store = Store(root)
        store.commit(THREE)
        store.quarantine(ONE, "slow")
        store.journal.write("proving", release=str(TWO))
        path = store.root.tree(ONE) / "lib/shop/page.html"
        path.chmod(0o644)
        path.write_text("bad")
        return cls(root)

    def copy(self, root: Path) -> Site:
        """Return another one that is the same."""
        shutil.copytree(self.root, root, symlinks=True)
        return Site(root)

    def after(self, change: str) -> State:
        """Return what the change makes of it, when nobody is killed."""
        other = self.copy(self.root.with_name("other"))
        CHANGES[change](other.root)
        return other.state()

    def tidy(self) -> None:
        """Do what the next command does."""
        Store(self.root).recover()

    def damage(self) -> list[str]:
        """Return what must not be there, whenever one looks."""
        store = Store(self.root)
        there = listing.present(store.root)
        found = []
        for release in there:
            # A folder that is about to be removed may be renamed, by its owner.
            lines = [line for line in store.verify(release) if "mode 755" not in line]
            if lines not in ([], ["lib/shop/page.html: has been changed"]):
                found.append(f"{release}: {lines}")
        current = store.current()
        serves = (self.root / "current/lib").is_dir()
        if current not in (TWO, THREE) or not serves:
            found.append(f"current: {current}")
        if store.previous() not in (None, THREE):
            found.append(f"previous: {store.previous()}")
        told = {e.release: e.what for e in store.history() if e.what in OF_TREES}
        built = {name for name, what in told.items() if what == "built"}
        trash = {path.name.rpartition(".")[0] for path in store.root.trash.glob("*")}
        gone = built - {str(release) for release in there} - trash
        return [*found, *(f"built, and not there: {name}" for name in gone)]

    def state(self) -> State:
        """Return all that counts, without times."""
        store = Store(self.root)
        entry = store.journal.read()
        return {
            "releases": {str(o.release): (o.state, o.digest) for o in store.releases()},
            "whole": {
                str(o.release): store.verify(o.release) for o in store.releases()
            },
            "previous": str(store.previous()),
            "reasons": [store.quarantined(release) for release in (ONE, TWO, THREE)],
            "history": [(event.what, event.release) for event in store.history()],
            "journal": (entry.step, dict(entry.facts)) if entry is not None else None,
            "files": sorted(
                str(path.relative_to(self.root))
                for place in ("*", "releases/*", ".store/*", ".store/*/*")
                for path in self.root.glob(place)
                if path.name != "lock"
            ),
        }


def killed_at(number: int, change: Callable[[], object]) -> bool:
    """Make a change in a child that is killed before one of its steps.

    False when it has less of them, and has come to its end.
    """
    child = os.fork()
    if child == 0:
        left = itertools.count(number, -1)
        sys.addaudithook(lambda event, arguments: _count(left, event, arguments))
        change()
        os._exit(0)
    ended = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert ended in (0, -signal.SIGKILL), ended
    return ended != 0


def _count(left: Iterator[int], event: str, arguments: tuple[Any, ...]) -> None:
    """Hear what is about to be done (PEP 578)."""
    writes = event == "open" and isinstance(arguments[2], int) and arguments[2] & _WRITE
    if (writes or event in _CHANGES) and next(left) == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    if writes and isinstance(arguments[0], str) and next(left) == 0:
        next(left)  # it is there then, and empty
        os.open(arguments[0], arguments[2], 0o600)
        os.kill(os.getpid(), signal.SIGKILL)


def failure(site: Site, change: str, before: State, after: State) -> str:
    """Return what is wrong with a site on which a change was killed, or "".

    Another command comes, or the same one again, or both.
    """
    again = site.copy(site.root.with_name("again"))
    try:
        if site.damage():
            return f"halfway {site.damage()}"
        site.tidy()
        found = site.state()
        torn = differences(found, before) and differences(found, after)
        # What is damaged goes first: there is no room for both under one name.
        if torn and (change != "replace" or str(ONE) in found["releases"]):
            return f"it is neither old nor new: {torn}"
        CHANGES[change](again.root)
        again.tidy()
        return differences(again.state(), after)
    except (ReleaseError, OSError) as error:
        return repr(error)
    finally:
        shutil.rmtree(again.root)


def differences(found: State, expected: State) -> str:
    """Return where two states differ."""
    keys = [key for key in expected if expected[key] != found[key]]
    return "; ".join(f"{key}: {found[key]} for {expected[key]}" for key in keys)


def kill_everywhere(change: str, folder: Path) -> dict[str, Any]:
    """Kill a change before each of its steps."""
    begun = Site.begun(folder / "site")
    before, after = begun.state(), begun.after(change)
    failures = []
    for number in itertools.count():
        site = begun.copy(folder / str(number))
        killed = killed_at(number, partial(CHANGES[change], site.root))
        wrong = failure(site, change, before, after)
        if wrong:
            failures.append(f"step {number}: {wrong}")
        if not killed:
            return {"killed": number, "failures": failures}
        shutil.rmtree(site.root)
    raise AssertionError


def main(how: str, change: str, *root: str) -> None:
    """Make a change, once or with a kill at every line."""
    if how == "once":
        CHANGES[change](Path(root[0]))
        return
    # In memory: waiting for a disk thousands of times shows nothing here.
    memory = "/dev/shm" if Path("/dev/shm").is_dir() else None
    with tempfile.TemporaryDirectory(prefix="pointsman-", dir=memory) as folder:
        json.dump(kill_everywhere(change, Path(folder)), sys.stdout)


if __name__ == "__main__":
    main(*sys.argv[1:])
