"""The tutorial's commands, run in order, on a machine where pip has put pointsman."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from connections import ONE_SHOT
from functional.releases.machine import blocks, free_port
from system_packages import NO_NETWORK, require
from waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from functional.releases.machine import Machine

PAGE = "docs/tutorial/README.md"
_TOOLS = """\
python3 -m venv tools
tools/bin/pip install pointsman
export PATH=$PWD/tools/bin:$PATH
"""


class Tutorial:
    """Somebody who types what the page says, in one folder after the other."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self.folder, self.port = machine.work, free_port()
        self._links = machine.links
        # What pip has made for the other page, with the same command.
        self._tools = machine.top / "srv" / "mysite" / "bin"
        self.site = machine.top / "srv" / "site"

    def here(self, script: str) -> str:
        """Return commands for this machine: another port and root, a shorter watch.

        What a server builds from an archive with wheels, it builds without a network.
        """
        build = "pointsman release build /mnt"
        known = {
            build: f"{' '.join(NO_NETWORK)} {build}",
            "8080": str(self.port),
            "--watch 5": "--watch 0.3",
            "/srv/mysite": str(self.site),
        }
        for word, ours in known.items():
            script = script.replace(word, ours)
        return script

    def type(self, script: str) -> str:
        """Run the commands of a block; the next one starts where this one ended."""
        whole = f"{self.here(script)}\npwd > {self._machine.top}/pwd"
        printed = self._machine.run(whole, self.folder, self._tools)
        if "bootstrap.py wheels" in script:  # from now on archives build by themselves
            self._machine.links = ""
        self.folder = Path((self._machine.top / "pwd").read_text().strip())
        return printed

    def change_port(self) -> None:
        """Let the new project use a port that is free."""
        for name in ("deploy.ini", "deploy.cfg"):
            path = self.folder / name
            path.write_text(path.read_text().replace("8080", str(self.port)))

    @contextmanager
    def serving(self, command: str) -> Iterator[None]:
        """Serve in the foreground until the end of the block, as Ctrl-C ends it."""
        process = subprocess.Popen(
            ["bash", "-euc", f"exec {command}"],
            cwd=self.folder,
            env=self._machine.environment(self._tools),
        )
        try:
            wait_for(self._answers, f"{command} answers")
            yield
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(30)

    def _answers(self) -> bool:
        with suppress(httpx.HTTPError):
            return ONE_SHOT.get(f"http://127.0.0.1:{self.port}/hello").is_success
        return False

    def clean_up(self) -> None:
        """Stop what may still serve, when a command has failed."""
        pid_file = self.site / "shared" / "var" / "paster.pid"
        with suppress(OSError, ValueError, IndexError):
            os.kill(int(pid_file.read_text().split()[0]), signal.SIGKILL)
        shutil.rmtree(self.site, ignore_errors=True)
        self._machine.links = self._links


@pytest.fixture(name="tutorial")
def _tutorial(pointsman: Machine) -> Iterator[Tutorial]:
    tutorial = Tutorial(pointsman)
    yield tutorial
    tutorial.clean_up()


def test_every_command_of_the_tutorial_does_what_it_says(tutorial: Tutorial) -> None:
    """From init to a release that is served, replaced under load, and taken back."""
    require("unshare", "util-linux")
    scripts = [(mark, text) for mark, kind, text in blocks(PAGE) if kind == "sh"]
    tools, make, build, serve, ask, *rest = scripts
    assert ("tools", _TOOLS) == tools
    tutorial.type(make[1])
    tutorial.change_port()
    built = tutorial.type(build[1])
    assert "serves 8080" == serve[0]
    with tutorial.serving(tutorial.here(serve[1])):
        first = tutorial.type(ask[1])
    printed = [tutorial.type(script) for _, script in rest]

    served, _, red, tested, _, published, _, back, stopped = printed
    assert "2 passed" in built
    assert {"hello": "Ada"} == json.loads(first)
    assert '{"hello":"Ada"}' in served
    assert "not like this" in red
    assert "recorded: this content can be released" in tested
    assert "mysite-1.1.0.tar.gz\nmysite-1.1.0.tar.gz.sha256\n" in published
    answers = (tutorial.folder / "answers.txt").read_text().splitlines()
    assert {None, 2} == {json.loads(line).get("version") for line in answers}
    assert '{"hello":"world"}' in back
    assert "mysite-1.1.0" in back
    assert "has ended, no request was cut" in stopped
