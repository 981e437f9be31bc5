"""Somebody who types ``pointsman`` in the folder of a site."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from click.testing import CliRunner

from cluster_processes import importable, python
from pointsman.cli import main

if TYPE_CHECKING:
    from pathlib import Path

ENTRY = "pointsman.cli:main"


@dataclass(frozen=True)
class Done:
    """How a command has ended."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """Return the one JSON document of standard output."""
        return json.loads(self.out)


@dataclass(frozen=True)
class Operator:
    """Types commands for one site, each with ``where``."""

    folder: Path
    where: tuple[str, ...]

    def run(self, *words: str, code: int = 0) -> Done:
        """Run a command in this process; check how it ends."""
        found = CliRunner().invoke(main, [*words, *self.where])
        assert code == found.exit_code, found.output
        return Done(found.exit_code, found.stdout, found.stderr)

    def ask(self, *words: str, code: int = 0) -> Any:
        """Run a command with ``--json``; return the document."""
        return self.run(*words, "--json", code=code).document

    def write(self, **sources: str) -> tuple[str, ...]:
        """Write modules; return their paths."""
        place = self.folder / "sources"
        place.mkdir(exist_ok=True)
        for name, text in sources.items():
            (place / f"{name}.py").write_text(text)
        return tuple(str(place / f"{name}.py") for name in sources)


def command(*words: str) -> list[str]:
    """Return how to run the command in a process of its own."""
    return python(ENTRY, *words)


def environment(**more: str) -> dict[str, str]:
    """Return what such a process needs."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    return {**clean, "PYTHONPATH": os.pathsep.join(importable()), **more}


def typed(folder: Path, *words: str, given: str = "", **more: str) -> Done:
    """Run the command in a process of its own, in a folder, to its end."""
    done = subprocess.run(
        command(*words),
        cwd=folder,
        env=environment(**more),
        input=given,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return Done(done.returncode, done.stdout, done.stderr)
