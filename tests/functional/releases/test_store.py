"""What the store knows of its releases, and how it changes what is committed."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from functional.releases.sealed import build, environment, python, running_from
from pointsman.errors import ReleaseError
from pointsman.releases.layout import Release
from pointsman.releases.occupancy import hold, own_tree
from pointsman.releases.store import Store
from waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ONE, TWO, THREE = (Release("mysite", f"{n}.0") for n in (1, 2, 3))


@pytest.fixture(name="store")
def _store(tmp_path: Path) -> Store:
    """Give a store with three releases."""
    for release in (ONE, TWO, THREE):
        build(tmp_path / "site", release.version, page=f"<p>{release}</p>")
    return Store(tmp_path / "site")


def states(store: Store) -> dict[str, str]:
    """Return the state of each release."""
    return {one.release.version: one.state for one in store.releases()}


# LISTING


def test_nothing_is_there(tmp_path: Path) -> None:
    """A root that is not there has no releases, and nothing is made by looking."""
    store = Store(tmp_path / "site")

    assert ((), None, None, (), None) == (
        store.releases(),
        store.current(),
        store.previous(),
        store.history(),
        store.journal.read(),
    )
    assert not store.root.path.exists()


def test_states(store: Store) -> None:
    """Each release is told what it is, and the oldest version comes first."""
    build(store.root.path, "0.9")
    build(store.root.path, "10.0")
    store.commit(ONE)
    store.commit(TWO)
    store.quarantine(THREE, "crashed")
    (store.root.tree(Release("mysite", "0.9")) / "MANIFEST.json").unlink()
    (store.root.releases / "notes.txt").write_text("")
    found = store.releases()

    assert {
        "0.9": "broken",
        "1.0": "previous",
        "2.0": "active",
        "3.0": "quarantined",
        "10.0": "ready",
    } == states(store)
    assert ["0.9", "1.0", "2.0", "3.0", "10.0"] == [
        one.release.version for one in found
    ]
    assert ["", "", "crashed", ""] == [one.reason for one in found[1:]]
    assert "it is no sealed release" in found[0].reason


def test_what_is_told_of_one(store: Store) -> None:
    """Its size, its digest and when it was built are those of its manifest."""
    manifest = store.manifest(ONE)
    (found,) = (one for one in store.releases() if one.release == ONE)

    assert (manifest.size, manifest.built_at, manifest.digest, False, ()) == (
        found.size,
        found.built_at,
        found.digest,
        found.in_use,
        found.pids,
    )
    age = datetime.now(UTC) - datetime.fromisoformat(found.built_at)
    assert 0 <= age.total_seconds() < 600


def test_who_runs_from_a_tree(store: Store) -> None:
    """A process that holds a tree is named, as long as it lives, and its forks are."""
    tree = store.root.tree(TWO)
    with running_from(tree) as pid:
        while_it_runs = {
            one.release: (one.in_use, one.pids) for one in store.releases()
        }
    descriptor = hold(tree)
    own = {one.release: (one.in_use, one.pids) for one in store.releases()}
    os.close(descriptor)
    after = {one.release: (one.in_use, one.pids) for one in store.releases()}
    nobody = {ONE: (False, ()), TWO: (False, ()), THREE: (False, ())}

    assert {**nobody, TWO: (True, (pid,))} == while_it_runs
    assert {**nobody, TWO: (True, (os.getpid(),))} == own
    assert nobody == after


FORKED = """
import os, signal, sys
from pathlib import Path
from pointsman.releases.occupancy import hold
kept = hold(Path(sys.argv[1]))
child = os.fork()
if child == 0:
    os.close(1)
    signal.pause()
print(child, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_worker_that_outlives_its_server(store: Store) -> None:
    """It was forked, and serves from the tree although nobody else does."""
    tree = store.root.tree(ONE)
    done = subprocess.run(
        [sys.executable, "-c", FORKED, str(tree)],
        stdout=subprocess.PIPE,
        env=environment(),
        check=False,
    )
    child = int(done.stdout)
    used = store.releases()[0].pids
    removed = store.prune(0)[0].removed
    os.kill(child, 9)

    assert ((child,), False) == (used, removed)
    wait_for(lambda: not store.releases()[0].in_use, "the worker has ended")


def test_a_program_that_is_executed_does_not_hold(store: Store) -> None:
    """The next release is started by the one before, and does not keep that."""
    descriptor = hold(store.root.tree(ONE))
    with python("import sys; print(1, flush=True); sys.stdin.read()"):
        os.close(descriptor)
        used = store.releases()[0].in_use

    assert not used


def test_what_cannot_be_held(store: Store, tmp_path: Path) -> None:
    """A folder that is no release, and one that is just being removed."""
    store.commit(THREE)
    path = store.root.tree(ONE)
    code = (
        "import sys, os; from pathlib import Path; import pointsman.releases.occupancy "
        "as o\nreal = o._locked\n"
        "def slow(*arguments):\n"
        "    print('opened', flush=True); sys.stdin.readline()\n"
        "    return real(*arguments)\n"
        "o._locked = slow\n"
        "try: o.hold(Path(sys.argv[1]))\n"
        "except o.ReleaseError as error: print(error, flush=True)"
    )
    with python(code, path) as late:
        store.prune(0)
        assert late.stdin is not None
        assert late.stdout is not None
        late.stdin.write("\n")
        late.stdin.flush()
        told = late.stdout.readline()
    with pytest.raises(ReleaseError, match="is no release to run from"):
        hold(tmp_path)

    assert f"{path} has been removed; start another release\n" == told


def test_the_tree_of_this_program() -> None:
    """These tests run from no release."""
    assert None is own_tree()


@pytest.mark.parametrize("place", ["lib", "lib/pointsman-1.0-py3.11.egg"])
def test_the_tree_of_a_released_program(tmp_path: Path, place: str) -> None:
    """A program that is in a sealed tree finds it, wherever below it lies."""
    tree = tmp_path / "releases/mysite-1.0"
    package = tree / place / "pointsman"
    package.parent.mkdir(parents=True)
    package.symlink_to(next(iter(__import__("pointsman").__path__)))
    (tree / "MANIFEST.json").write_text("{}")
    code = (
        "import sys; import pointsman.releases.occupancy as o; "
        "o.__file__ = sys.argv[1]; print(o.own_tree())"
    )
    module = package.parent / "x" / "releases" / "occupancy.py"
    told = subprocess.check_output(
        [sys.executable, "-c", code, str(module)], env=environment(), text=True
    )

    assert f"{tree}\n" == told


def test_finding_one(store: Store) -> None:
    """By its whole name, or by its version where that is enough."""
    other = build_other(store.root.path)

    assert (ONE, TWO, other) == (
        store.find("mysite-1.0"),
        store.find("2.0"),
        store.find("other-1.0"),
    )
    with pytest.raises(ReleaseError, match=r"1\.0 may be mysite-1.0, other-1.0; write"):
        store.find("1.0")
    with pytest.raises(
        ReleaseError, match=r"no release 4\.0; it has mysite-1\.0, mysi"
    ):
        store.find("4.0")
    with pytest.raises(ReleaseError, match="it has no release"):
        Store(store.root.path / "x").find("1.0")


def build_other(root: Path) -> Release:
    """Seal a release of another name."""
    from pointsman.releases.tree import Building

    with Building(root, "other", "1.0") as building:
        return building.seal(requires={})


# VERIFYING


def _append(tree: Path) -> None:
    with (tree / "lib/shop/prices.py").open("a") as file:
        file.write("# more\n")


def _flip(tree: Path) -> None:
    path = tree / "lib/shop/prices.py"
    path.write_bytes(path.read_bytes()[:-1] + b" ")


def _out(tree: Path) -> None:
    (tree / "etc/deploy.ini").unlink()
    (tree / "etc/deploy.ini").symlink_to("/etc/passwd")


def _pipe(tree: Path) -> None:
    (tree / "etc/deploy.ini").unlink()
    os.mkfifo(tree / "etc/deploy.ini", 0o444)


def _folder(tree: Path) -> None:
    (tree / "etc/deploy.ini").unlink()
    (tree / "etc/deploy.ini").mkdir(0o555)


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (_append, ("lib/shop/prices.py: has been changed",)),
        (_flip, ("lib/shop/prices.py: has been changed",)),
        (
            lambda tree: (tree / "lib/shop/prices.py").unlink(),
            ("lib/shop/prices.py: is missing",),
        ),
        (
            lambda tree: (tree / "lib/more.py").touch(0o444),
            ("lib/more.py: is not in the manifest",),
        ),
        (
            lambda tree: (tree / "bin/paster").chmod(0o755),
            ("bin/paster: has mode 755 instead of 555",),
        ),
        (
            lambda tree: (tree / "bin/paster").chmod(0o4555),
            ("bin/paster: has mode 4555 instead of 555",),
        ),
        (
            lambda tree: (tree / "lib/shop").chmod(0o777),
            ("lib/shop: has mode 777 instead of 555",),
        ),
        (
            lambda tree: (tree / "lib/out").symlink_to("/etc"),
            ("lib/out: is not in the manifest, a link to /etc",),
        ),
        (
            _out,
            ("etc/deploy.ini: is not in the manifest, a link to /etc/passwd",),
        ),
        (_pipe, ("etc/deploy.ini: is no file any more",)),
        (_folder, ("etc/deploy.ini: is a folder now",)),
        (
            lambda tree: (tree / "MANIFEST.json").chmod(0o644),
            ("MANIFEST.json: has mode 644 instead of 444",),
        ),
    ],
)
def test_damage(
    store: Store, damage: Callable[[Path], None], told: tuple[str, ...]
) -> None:
    """Each kind is told, with the file, and nothing else is."""
    damage(store.root.tree(ONE))

    assert told == store.verify(ONE)
    assert () == store.verify(TWO)


def test_a_link_that_leads_elsewhere(tmp_path: Path) -> None:
    """Its text is what counts."""
    from pointsman.releases.tree import Building

    with Building(tmp_path, "mysite", "1.0") as building:
        (building.path / "link").symlink_to("there")
        building.seal(requires={})
    store = Store(tmp_path)
    link = store.root.tree(ONE) / "link"
    link.unlink()
    link.symlink_to("/etc/passwd")

    assert ("link: leads to /etc/passwd instead of there",) == store.verify(ONE)


def test_a_manifest_that_is_none(store: Store) -> None:
    """A missing, a damaged and a foreign manifest are told, and the state is broken."""
    manifest = store.root.tree(ONE) / "MANIFEST.json"
    other = (store.root.tree(TWO) / "MANIFEST.json").read_bytes()
    manifest.unlink()
    missing = store.verify(ONE)
    manifest.write_bytes(b"{")
    damaged = store.verify(ONE)
    manifest.write_bytes(other)
    foreign = store.verify(ONE)

    assert [1, 1, 1] == [len(missing), len(damaged), len(foreign)]
    assert "has no MANIFEST.json" in missing[0]
    assert "is no manifest of pointsman" in damaged[0]
    assert "is the manifest of mysite-2.0, not of mysite-1.0" in foreign[0]
    assert "broken" == states(store)["1.0"]


def test_one_that_is_not_there(store: Store) -> None:
    """It is told in one line."""
    (told,) = store.verify(Release("mysite", "9.0"))

    assert "mysite-9.0 has no MANIFEST.json" in told


# COMMITTING


def test_committing(store: Store) -> None:
    """`current` names the release for people and for the next start, relatively."""
    store.commit(ONE)
    store.commit(TWO)

    assert (TWO, ONE) == (store.current(), store.previous())
    assert "releases/mysite-2.0" == str(store.root.current.readlink())
    assert store.root.current.samefile(store.root.tree(TWO))


def test_committing_once_more(store: Store) -> None:
    """What is current already stays, and so does what was before it."""
    store.commit(ONE)
    store.commit(TWO)
    before = store.root.current.lstat().st_ino
    store.commit(TWO)

    assert (before, ONE) == (store.root.current.lstat().st_ino, store.previous())


def test_the_previous_one(store: Store) -> None:
    """It is where one came from, if it is there, whole, and not in quarantine."""
    told = [store.previous()]
    for release in (ONE, TWO, THREE, TWO):
        store.commit(release)
        told.append(store.previous())
    store.quarantine(THREE, "slow")
    told.append(store.previous())
    (store.root.tree(ONE) / "MANIFEST.json").unlink()
    told.append(store.previous())

    assert [None, None, ONE, TWO, THREE, ONE, None] == told


def test_what_cannot_be_committed(store: Store) -> None:
    """A release that is not there, or broken; `current` stays as it is."""
    store.commit(ONE)
    with pytest.raises(ReleaseError, match=r"has no MANIFEST\.json"):
        store.commit(Release("mysite", "9.0"))

    assert ONE == store.current()


@pytest.mark.parametrize("target", ["elsewhere", "releases", "/srv/x/releases/a-1.0"])
def test_a_current_that_is_not_ours(store: Store, target: str) -> None:
    """A link to somewhere else is not followed, and not replaced."""
    store.root.current.symlink_to(target)
    for look in (store.current, store.releases, lambda: store.commit(ONE)):
        with pytest.raises(ReleaseError, match=re.escape(f"leads to {target}")):
            look()

    assert target == str(store.root.current.readlink())


def test_a_current_that_is_a_folder(store: Store) -> None:
    """It is told what to do."""
    store.root.current.mkdir()
    with pytest.raises(ReleaseError, match=r"is no link to a release .*; remove it"):
        store.commit(ONE)


def test_a_current_that_a_person_made(store: Store) -> None:
    """An absolute link to a release of the site is as good as ours."""
    store.root.current.symlink_to(store.root.tree(ONE))
    store.commit(TWO)

    assert (TWO, ONE) == (store.current(), store.previous())


def test_a_line_that_cannot_be_read(store: Store) -> None:
    """It is told, with what removing it means."""
    store.commit(ONE)
    store.root.line.write_text("{")
    with pytest.raises(ReleaseError, match=r"line\.json cannot be read"):
        store.previous()


# QUARANTINE


def test_quarantine(store: Store) -> None:
    """A release is in it until somebody clears it; and both are told."""
    store.quarantine(TWO, "crashed after 3 s")
    reason = store.quarantined(TWO)
    store.clear(TWO)
    with pytest.raises(ReleaseError, match=r"mysite-2\.0 is not in quarantine"):
        store.clear(TWO)
    record = [(e.what, e.release, dict(e.detail)) for e in store.history()[3:]]

    assert ("crashed after 3 s", "", "") == (
        reason,
        store.quarantined(TWO),
        store.quarantined(ONE),
    )
    assert [
        ("quarantined", "mysite-2.0", {"reason": "crashed after 3 s"}),
        ("cleared", "mysite-2.0", {"reason": "crashed after 3 s"}),
    ] == record


def test_quarantine_twice(store: Store) -> None:
    """The same once more is told once; another reason counts, and is told."""
    for reason in ("crashed", "crashed", "hangs"):
        store.quarantine(TWO, reason)
    told = [e.detail["reason"] for e in store.history() if e.what == "quarantined"]

    assert (["crashed", "hangs"], "hangs") == (told, store.quarantined(TWO))


def test_quarantine_outlives_the_tree(store: Store) -> None:
    """Removed and built again, the same content is in quarantine; other is not."""
    page = f"<p>{ONE}</p>"
    store.quarantine(ONE, "crashed")
    store.prune(2, quarantined=True)
    gone = states(store)
    build(store.root.path, "1.0", page=page)
    same = store.quarantined(ONE)
    store.prune(0, quarantined=True)
    build(store.root.path, "1.0", page=page, prices="BREAD = 4\n")

    assert ({"2.0": "ready", "3.0": "ready"}, "crashed", "") == (
        gone,
        same,
        store.quarantined(ONE),
    )


def test_quarantine_of_a_broken_release(store: Store) -> None:
    """Its content is not known, so that every content of that version is meant."""
    (store.root.tree(ONE) / "MANIFEST.json").unlink()
    store.quarantine(ONE, "cannot be read")

    assert "cannot be read" == store.quarantined(ONE)


def test_a_quarantine_that_cannot_be_read(store: Store) -> None:
    """A release is not given free by a damaged record."""
    store.prepare()
    (store.root.quarantine / "mysite-1.0.json").write_text("")
    with pytest.raises(ReleaseError, match=r"remove it to give mysite-1\.0 free"):
        store.quarantined(ONE)


# PRUNING


def test_pruning(store: Store) -> None:
    """The newest stay, what was removed is told, and its room is free."""
    verdicts = store.prune(2)
    (event,) = (e for e in store.history() if e.what == "pruned")

    assert [True, False, False] == [one.removed for one in verdicts]
    assert ["2.0", "3.0"] == list(states(store))
    assert verdicts[0].freed == event.detail["freed"] + 4096
    assert [] == list(store.root.trash.iterdir())


def test_shared_files_survive(store: Store) -> None:
    """What other releases share with a removed one is still there."""
    store.prune(1)

    assert () == store.verify(THREE)


def test_what_runs_is_not_pruned(store: Store) -> None:
    """Nor what is current, previous, or part of an activation that was killed."""
    build(store.root.path, "4.0")
    build(store.root.path, "5.0")
    store.commit(ONE)
    store.commit(TWO)
    store.journal.write("switching", release="mysite-3.0", before="mysite-2.0")
    with running_from(store.root.tree(store.find("4.0"))) as pid:
        verdicts = store.prune(0)

    assert {
        "1.0": "it is the previous one",
        "2.0": "it is current",
        "3.0": "an activation of it is under way",
        "4.0": f"it is in use by pid {pid}",
    } == {one.release.version: one.reason for one in verdicts if not one.removed}
    assert ["1.0", "2.0", "3.0", "4.0"] == list(states(store))


def test_what_begins_to_run_is_not_pruned(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that starts after the look keeps its tree.

    Without the lock at the moment of the rename, its tree was gone under it.
    """
    releases = store.releases
    descriptors = []

    def look() -> object:
        found = releases()
        descriptors.append(hold(store.root.tree(ONE)))
        return found

    monkeypatch.setattr(store, "releases", look)
    verdicts = store.prune(0)
    os.close(descriptors[0])

    assert [("it is in use", False)] == [
        (one.reason, one.removed) for one in verdicts if one.release == ONE
    ]
    assert () == store.verify(ONE)


def test_two_looks_at_once(store: Store) -> None:
    """Looking whether a tree is in use is no use of it."""
    code = (
        "import sys; from pathlib import Path; from pointsman.releases.store import "
        "Store\nstore = Store(Path(sys.argv[1])); print(1, flush=True)\n"
        "while True: store.releases()"
    )
    with python(code, store.root.path):
        used = {one.in_use for _ in range(20) for one in store.releases()}

    assert {False} == used


# ONE AT A TIME


LOCK = """
import sys
from pathlib import Path
from pointsman.releases.store import Store
with Store(Path(sys.argv[1])).locked("activate mysite-2.0"):
    print("locked", flush=True)
    sys.stdin.read()
"""


def test_two_commands_at_once(store: Store) -> None:
    """The second changes nothing and hears who is at work; killed, it is nobody."""
    before = store.history()
    with python(LOCK, store.root.path) as other:
        for change in (
            lambda: store.commit(ONE),
            lambda: store.prune(0),
            lambda: store.quarantine(ONE, "x"),
            lambda: store.clear(ONE),
            store.recover,
        ):
            with pytest.raises(ReleaseError) as refused:
                change()
            assert f"`activate mysite-2.0` of root, pid {other.pid}, since 20" in str(
                refused.value
            )
        looked = states(store)
    store.commit(ONE)

    assert (before, {"1.0": "ready", "2.0": "ready", "3.0": "ready"}, ONE) == (
        store.history(),
        looked,
        store.current(),
    )


def test_builds_are_not_kept_out(store: Store) -> None:
    """An activation of half a minute does not keep anybody from building."""
    with python(LOCK, store.root.path):
        release = build(store.root.path, "4.0")

    assert () == store.verify(release)


def test_locks_are_nested(store: Store) -> None:
    """Several changes are one command; and the lock ends with the outermost."""
    with store.locked("all"):
        with store.locked("some"):
            store.commit(ONE)
        store.commit(TWO)
        with pytest.raises(ReleaseError, match="`all` of"):
            Store(store.root.path).commit(THREE)
    Store(store.root.path).commit(THREE)

    assert THREE == store.current()


def test_a_lock_whose_holder_has_just_begun(store: Store) -> None:
    """Nobody is named who may be somebody else."""
    with python(LOCK, store.root.path):
        store.root.lock.write_text("")
        with pytest.raises(ReleaseError, match="another command is changing"):
            store.commit(ONE)


def test_the_record_names_who_asked(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With sudo, it is not whose rights they had."""
    monkeypatch.setenv("SUDO_USER", "alice")
    store.log("activated", ONE, seconds=3)
    last = store.history()[-1]

    assert ("alice as root", "activated", "mysite-1.0", {"seconds": 3}) == (
        last.who,
        last.what,
        last.release,
        dict(last.detail),
    )
    assert json.loads(store.root.log.read_text().splitlines()[-1])["at"] == last.at
