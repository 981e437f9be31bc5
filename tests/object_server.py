"""A ZEO server in a folder, by the command that people type."""

from __future__ import annotations

import os
import signal
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

from cluster_processes import importable, python
from pointsman.serving import processes
from pointsman.serving.processes import Identity
from pointsman.zeo import rendering

ENTRY = "pointsman.zeo.command:main"


class ObjectServer:
    """Runs ``zeo`` with a zeo.conf in ``folder``; ends what it started."""

    def __init__(self, folder: Path, address: str = "", **options: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.wanted = rendering.Wanted(
            address=address or f"{folder}/zeo.sock",
            path=f"{folder}/Data.fs",
            pid_file=f"{folder}/zeo.pid",
            log_file=f"{folder}/zeo.log",
            **options,
        )
        self.conf = folder / "zeo.conf"
        self.conf.write_text(rendering.text(self.wanted))
        self._started: list[Identity] = []

    @property
    def uri(self) -> str:
        """Return what ``resource.<name>`` says of it."""
        return rendering.uri(self.wanted) + "?wait_timeout=20"

    @property
    def pid(self) -> int:
        """Return whom the pid file names."""
        return int(Path(self.wanted.pid_file).read_text().split()[0])

    @property
    def log(self) -> str:
        """Return what it has written."""
        return Path(self.wanted.log_file).read_text()

    def command(self, *words: str) -> list[str]:
        """Return how the command is run in a process of its own."""
        return [*python(ENTRY), "-C", str(self.conf), *words]

    def run(self, *words: str, code: int = 0, **more: Any) -> str:
        """Run the command to its end; return all that it says."""
        done = subprocess.run(
            self.command(*words),
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60,
            check=False,
            **more,
        )
        self._remember()
        assert code == done.returncode, done.stdout
        said: str = done.stdout
        return said

    def start(self) -> Self:
        """Start it; it answers then."""
        self.run("start")
        return self

    def kill(self) -> None:
        """End it as a power switch would, if it runs; also where its folder is gone."""
        self._remember()
        for identity in self._started:
            with processes.hold(identity) as handle:
                if handle is not None:
                    handle.send(signal.SIGKILL)
                    assert handle.gone(20)

    def _remember(self) -> None:
        with suppress(OSError, IndexError):
            pid = self.pid
            start = processes.start_time(pid)
            if start is not None and str(self.conf) in _line(pid):
                self._started.append(Identity(pid, start))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()


def _line(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_text()


def environment() -> dict[str, str]:
    """Return what a process with our modules needs."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    return {**clean, "PYTHONPATH": os.pathsep.join(importable())}
