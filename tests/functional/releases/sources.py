"""This repository's own content, to publish and to build sites from."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pointsman
from functional.releases.project import Project, bare_python
from pointsman.errors import ReleaseError
from pointsman.releases.checkout import Checkout

ROOT = Path(__file__).parents[3]
#: Every distribution of the build, as pip has chosen it.
WHEELS = Path(sys.prefix) / "wheels" / "dist"


def names() -> list[str]:
    """Return what belongs to this repository; in an unpacked archive, what that had."""
    try:
        found = list(Checkout(ROOT).content())
    except ReleaseError:
        listed = ROOT / "src" / "pointsman.egg-info" / "SOURCES.txt"
        found = [n for n in listed.read_text().splitlines() if ".egg-info/" not in n]
    return found


def clone(folder: Path) -> Project:
    """Return a copy that is committed, tagged, and passes for tested."""
    for name in names():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, path)
    project = Project(folder, f"v{pointsman.__version__}")
    project.passes()
    return project


def publish(project: Project, share: Path, *more: str) -> Path:
    """Publish the sdist of a project by its own command; return it.

    ``more`` is built and published beside it.
    """
    command = ("sdist", *more, "publish", "--to", str(share))
    # bdist_wheel warns of itself.
    strict = () if more else ("-W", "error")
    done = bare_python(project.folder, *strict, "setup.py", "-q", *command)
    assert 0 == done.returncode, done.stdout + done.stderr
    (sdist,) = share.glob("*.tar.gz")
    return sdist
