"""A machine of its own below one folder: what pages call /srv, /etc, /mnt is there."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Self

from functional.releases.project import NOBODY
from functional.releases.sources import ROOT, WHEELS, clone, publish

_BLOCK = re.compile(r"(?:<!-- test: ([^>]*) -->\n)?```(\w+)\n(.*?)```", re.DOTALL)
_PATH = re.compile(r"(?<![\w./$])/(srv|etc|mnt|var/lib)/")
_PYTHON = os.path.realpath(getattr(sys, "_base_executable", "") or sys.executable)
_DEBIANS = "/usr/bin/python3"


def blocks(page: str) -> list[tuple[str, str, str]]:
    """Return the blocks of code of a page: mark, language, text."""
    return _BLOCK.findall((ROOT / page).read_text("utf-8"))


def free_port() -> int:
    """Return a port that nobody listens on at this moment."""
    with closing(socket.socket()) as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


def is_for_apache() -> bool:
    """Say whether the wheels of this build fit the Python of Debian's mod_wsgi."""
    if not Path(_DEBIANS).exists():
        return False
    told = subprocess.check_output([_DEBIANS, "-V"], text=True)
    return told.startswith(f"Python 3.{sys.version_info[1]}.")


class Machine:
    """A folder that everybody may read: pytest's own are closed to Apache's user."""

    def __init__(self) -> None:
        self.top = Path(tempfile.mkdtemp(prefix="pointsman-machine-"))
        self.top.chmod(0o755)
        for name in ("bin", "mnt/releases", "srv", "etc", "var/lib/mysite", "work"):
            (self.top / name).mkdir(parents=True)
        # Where pip looks for packages; there is no index.
        self.links = f"{WHEELS} {self.share}"
        self.python = _DEBIANS if is_for_apache() else _PYTHON
        for name in ("python", "python3"):
            (self.top / "bin" / name).symlink_to(self.python)
        self._share_eggs()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self.top)

    @property
    def share(self) -> Path:
        """What all servers see."""
        return self.top / "mnt" / "releases"

    @property
    def work(self) -> Path:
        """Where whoever sits there works."""
        return self.top / "work"

    def publish(self) -> None:
        """Let the share have pointsman itself, published by its own command.

        Also its wheel, which those take who build sites: it saves them to build it.
        """
        publish(clone(self.top / "src"), self.share, "bdist_wheel")

    def here(self, text: str) -> str:
        """Return a text with the paths of this machine."""
        return _PATH.sub(rf"{self.top}/\1/", text).replace(_DEBIANS, self.python)

    def run(self, script: str, cwd: Path | None = None, *first: Path) -> str:
        """Run commands as a person types them; return what they printed."""
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", self.here(script)],
            cwd=cwd or self.work,
            env=self.environment(*first),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=300,
            check=False,
        )
        assert 0 == done.returncode, f"{script}\n{done.stdout}"
        return done.stdout

    def environment(self, *first: Path) -> dict[str, str]:
        """Return variables: packages come from the wheels of this build and the share.

        ``first`` are folders to look for commands in before all others.
        """
        ours = {"PYTHON", "PIP_", "POINTSMAN_", "VIRTUAL_ENV", "BUILDOUT_", "PYTEST_"}
        kept = {
            key: value
            for key, value in os.environ.items()
            if not key.startswith(tuple(ours))
        }
        folders = [*map(str, first), str(self.top / "bin"), kept["PATH"]]
        return {
            **kept,
            **NOBODY,
            "PATH": os.pathsep.join(folders),
            "PIP_NO_INDEX": "1",
            "PIP_FIND_LINKS": self.links,
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            "BUILDOUT_HOME": str(self.top / "buildout"),
            "XDG_CACHE_HOME": str(self.top / "cache"),
        }

    def _share_eggs(self) -> None:
        """Let buildout find the eggs that this build has, but for our own."""
        eggs = self.top / "eggs"
        known = next(Path(path).parent for path in sys.path if path.endswith(".egg"))
        (eggs / known.name).mkdir(parents=True)
        for egg in known.glob("*.egg"):
            if not egg.name.startswith("pointsman-"):
                (eggs / known.name / egg.name).symlink_to(egg)
        settings = self.top / "buildout" / "default.cfg"
        settings.parent.mkdir()
        settings.write_text(f"[buildout]\neggs-directory = {eggs}\n")
        cache = self.top / "cache" / "pointsman" / "build"
        cache.mkdir(parents=True)
        (cache / "eggs").symlink_to(eggs)
