"""Small sealed trees, and processes that run from them."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from pointsman.releases.tree import Building

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from pointsman.releases.layout import Release

FILES = {
    "lib/shop/__init__.py": "",
    "lib/shop/prices.py": "BREAD = 3\n",
    "lib/shop/page.html": "<p>bread</p>\n",
    "etc/deploy.ini": "[app:main]\n",
    "bin/paster": "#!/bin/sh\n",
}
REQUIRES = {"shop": "1.0"}
HOLD = """
import sys
from pathlib import Path
from pointsman.releases.occupancy import hold
kept = hold(Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""


def put(building: Building, files: Mapping[str, str]) -> None:
    """Put text files into a tree that is being built."""
    for path, text in files.items():
        building.write(path, text)


def build(root: Path, version: str, **changed: str | None) -> Release:
    """Seal a tree of `FILES`, some of them changed; ``prices`` is the module."""
    places = {path.rpartition("/")[2].partition(".")[0]: path for path in FILES}
    files = {**FILES, **{places[k]: v for k, v in changed.items() if v is not None}}
    with Building(root, "mysite", version) as building:
        put(building, files)
        building.compile()
        return building.seal(requires=REQUIRES)


def environment(**more: str) -> dict[str, str]:
    """Return an environment in which this Python finds what we find."""
    path = os.pathsep.join(filter(None, sys.path))
    return {**os.environ, "PYTHONPATH": path, **more}


@contextmanager
def python(code: str, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    """Run a program that reads its input to the end; give what it says first."""
    with subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment(),
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline(), "it has ended"
            yield process
        finally:
            process.kill()


@contextmanager
def running_from(tree: Path) -> Iterator[int]:
    """Let a process run from a tree; gives its pid."""
    with python(HOLD, tree) as process:
        yield process.pid
