"""kill -9 anywhere in the store: the next call finishes it, or it never was."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import pointsman.releases
from functional.releases import every_change
from functional.releases.every_change import CHANGES, Site
from functional.releases.sealed import environment
from pointsman import faults

# Which change passes a point of the store.
PASSED_BY = {
    "release.begun": "build",
    "release.filled": "build",
    "release.sealed": "build",
    "release.synced": "build",
    "release.appeared": "build",
    "release.built": "build",
    "release.lined": "commit",
    "release.linking": "commit",
    "release.linked": "commit",
    "release.isolating": "quarantine",
    "release.isolated": "quarantine",
    "release.clearing": "clear",
    "release.loosened": "prune",
    "release.trashed": "prune",
    "release.halved": "prune",
    "release.pruned": "prune",
    "release.noted": "note",
}


@pytest.fixture(name="site")
def _site(tmp_path: Path) -> Site:
    return Site.begun(tmp_path / "site")


@pytest.mark.parametrize("point", PASSED_BY)
def test_killed_at_a_named_step(site: Site, point: str) -> None:
    """What is there then is whole, and the next call does the rest."""
    change = PASSED_BY[point]
    expected = site.after(change)
    killed = subprocess.run(
        [sys.executable, every_change.__file__, "once", change, str(site.root)],
        env=environment(POINTSMAN_KILL_AT=point),
        check=False,
    )
    halfway = site.damage()
    CHANGES[change](site.root)
    site.tidy()

    assert (-signal.SIGKILL, []) == (killed.returncode, halfway)
    assert ([], expected) == (site.damage(), site.state())


def test_every_step_is_tried() -> None:
    """A point of the store that is added is killed at, too."""
    of_store = Path(pointsman.releases.__file__).parent.rglob("*.py")
    used = "".join(path.read_text(encoding="utf-8") for path in of_store)
    ours = {name for name in faults.RELEASE_POINTS if f'point("{name}")' in used}

    assert PASSED_BY.keys() <= ours


@pytest.mark.parametrize("change", CHANGES)
def test_killed_before_any_step(change: str) -> None:
    """The same before every change of the file system, most of which have no name.

    Broken on purpose, and seen: `current` removed and made anew, a tree deleted under
    its name, a record written in place, a line logged before what it tells, leftovers
    that nobody removes.
    """
    done = subprocess.run(
        [sys.executable, every_change.__file__, "all", change],
        env=environment(),
        stdout=subprocess.PIPE,
        check=True,
    )
    report = json.loads(done.stdout)

    assert [] == report["failures"]
    assert report["killed"] > 2
