"""The README's commands, run in order by a shell, in a copy of what they change."""

from __future__ import annotations

import ast
import json
import re
import shutil
import signal
import socket
import subprocess
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import httpx

from connections import ONE_SHOT
from system_packages import require
from waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
_BLOCK = re.compile(r"(?:<!-- test: ([^>]*) -->\n)?```sh\n(.*?)```", re.DOTALL)
# What these words become is said by bootstrap.py, whose own test it is.
_SERVE = ("python3 bootstrap.py serve", "bin/paster serve deploy.ini")


@dataclass(frozen=True)
class Block:
    """One ``sh`` block, and the word that the comment before it has for this test."""

    mark: str
    script: str


def blocks() -> list[Block]:
    """Return the commands of the README in their order."""
    text = (ROOT / "README.md").read_text("utf-8")
    return [Block(mark, script) for mark, script in _BLOCK.findall(text)]


def free_port() -> int:
    """Return a port that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Clone:
    """A copy of what a clone has, built, on a port of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        for name in ("examples", "etc"):
            shutil.copytree(ROOT / name, folder / name)
        ini = (ROOT / "deploy.ini").read_text("utf-8")
        (folder / "deploy.ini").write_text(self.here(ini), "utf-8")
        (folder / "bin").symlink_to(ROOT / "bin")

    def here(self, text: str) -> str:
        """Return a text with the port of this copy."""
        return text.replace("8080", str(self.port)).replace(*_SERVE)

    def run(self, script: str) -> str:
        """Run commands as a person types them; return what they printed."""
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", self.here(script)],
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert 0 == done.returncode, f"{script}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    @contextmanager
    def serving(self, script: str) -> Iterator[None]:
        """Run a command that serves, until the end of the block."""
        *before, command = self.here(script).rstrip("\n").rsplit("\n", 1)
        # exec: the signal that stops it must reach the server, and not a shell.
        whole = "\n".join([*before, f"exec env {command}"])
        log = self.folder / "server.log"
        with log.open("w") as output:
            process = subprocess.Popen(
                ["bash", "-euc", whole],
                cwd=self.folder,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        try:
            wait_for(lambda: self.answers(process, log), f"{command} answers", 60)
            yield
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(30)

    def answers(self, process: subprocess.Popen[bytes], log: Path) -> bool:
        """Tell whether the services are there; fail when the server has ended."""
        assert process.poll() is None, log.read_text()
        with suppress(httpx.HTTPError):
            return ONE_SHOT.get(f"{self.base}/_pointsman/health/ready").is_success
        return False

    @property
    def base(self) -> str:
        """Return the address of the server."""
        return f"http://127.0.0.1:{self.port}"


def test_every_command_does_what_the_readme_says(tmp_path: Path) -> None:
    """All blocks run in order; nothing is lost, and a broken module breaks nothing."""
    require("curl", "curl")
    clone = Clone(tmp_path)
    (first, *rest) = blocks()
    assert "serves 8080" == first.mark
    with clone.serving(first.script):
        printed = [clone.run(block.script) for block in rest if not block.mark]

    looks, dropped, deployed, by_curl, broken, back, listed = printed
    assert '"name":"Ada Lind"' in looks
    assert f"{clone.base}/links/" in looks
    assert "Line 7, harbour" in looks
    assert 200_001 == (tmp_path / "var/sales.csv").read_text().count("\n")
    assert '{"hello":"Ada"}' in dropped
    assert [] == [path.name for path in (tmp_path / "var/pickup").glob("*.py")]
    answers = (tmp_path / "var/answers.txt").read_text().splitlines()
    assert 400 == len(answers)
    assert {None, 2} == {json.loads(line).get("version") for line in answers}
    assert '{"version":2,"hello":"world"}' in deployed
    assert '{"version":3,"hello":"world"}' in by_curl
    assert "Pointsman-Generation: 3\n" in by_curl
    assert "refused, exit code 1" in broken
    assert '{"version":3,"hello":"world"}' in broken
    assert '{"version":2,"hello":"world"}' in back
    assert "rollback" in back
    assert '"version":2' in listed


def test_the_daemon_of_the_readme_starts_tells_and_stops(tmp_path: Path) -> None:
    """The three lines about the background work one after the other."""
    clone = Clone(tmp_path)
    (block,) = [block for block in blocks() if block.mark == "stop"]
    clone.run("mkdir -m 700 var")

    printed = clone.run(block.script)

    assert "running (serving)" in printed


def test_the_other_servers_of_the_readme_serve(tmp_path: Path) -> None:
    """Both gunicorn and waitress-serve serve the same ini."""
    clone = Clone(tmp_path)
    clone.run("mkdir -m 700 var")
    others = [block for block in blocks() if block.mark.startswith("serves")][1:]
    assert 2 == len(others)

    for block in others:
        with clone.serving(block.script):
            answer = ONE_SHOT.get(f"{clone.base}/customers/2")
            assert "Bruno Costa" == answer.json()["name"]


def test_every_curl_line_of_the_examples_answers(tmp_path: Path) -> None:
    """The lines that bootstrap.py prints when it serves work as they are pasted."""
    require("curl", "curl")
    clone = Clone(tmp_path)
    folders = [path for path in (ROOT / "examples").iterdir() if path.is_dir()]
    lines = [
        line.strip()
        for folder in folders
        for path in folder.rglob("*.py")
        for line in (ast.get_docstring(ast.parse(path.read_text())) or "").splitlines()
        if line.strip().startswith("curl http://127.0.0.1:8080/")
    ]
    assert len(folders) == len(lines)

    with clone.serving("bin/paster serve deploy.ini"):
        for line in lines:
            clone.run(f"{line} -fsS --max-time 20")


def test_what_is_not_run_here_is_the_test_command() -> None:
    """Only the command that runs this very test is left out."""
    (skipped,) = [block for block in blocks() if block.mark.startswith("skip")]

    assert "python3 bootstrap.py test\n" == skipped.script
    assert skipped.script in (ROOT / ".ci/run").read_text() + "\n"
