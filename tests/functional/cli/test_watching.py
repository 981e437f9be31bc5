"""``deploy --watch``: a real process beside a real server, and somebody who saves."""

from __future__ import annotations

import json
import signal
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING

from cluster_site import shop, stock
from functional.cli.operator import command, environment
from waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from cluster_site import ClusterSite

MANIFEST = """
[package]
name = crm
version = 1

[service:crm.web]
use = crm_web:app
path = /crm
"""
APP = """
def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"crm {}"]
"""


class Watched:
    """A folder that is watched, and what the command has said so far."""

    def __init__(self, folder: Path, log: Path) -> None:
        self.folder, self.log = folder, log

    def save(self, name: str, text: str) -> None:
        """Save a file, as an editor does."""
        (self.folder / name).write_text(text)

    def said(self, *parts: str) -> str:
        """Wait until all of these are told, in this order; return all."""

        def told() -> str:
            text, at = self.log.read_text(), 0
            for part in parts:
                at = text.find(part, at) + 1
                if not at:
                    return ""
            return text

        try:
            return wait_for(told, f"{parts} in what is told", 30)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.log.read_text()}") from None


@contextmanager
def watching(folder: Path, ini: Path, *words: str) -> Iterator[Watched]:
    """Watch ``folder`` until the end of the block; then press Ctrl-C."""
    log = folder.with_name("watch.log")
    words = ("deploy", "--watch", str(folder), "--ini", str(ini), *words)
    with log.open("w") as output:
        process = subprocess.Popen(
            command(*words),
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        yield Watched(folder, log)
        process.send_signal(signal.SIGINT)
        assert 0 == process.wait(30), log.read_text()
    finally:
        process.kill()
        process.wait()
    assert "Traceback (most recent call last):\n  File" not in log.read_text()


def test_each_save_is_deployed(cluster: ClusterSite) -> None:
    """What is there first, then each save; an error is shown, the last good goes on."""
    server = cluster.server("deploy").start()
    folder = cluster.folder / "watched"
    folder.mkdir()
    (folder / "shop.py").write_text(shop(1))
    (folder / "stock.py").write_text(stock(1))

    with watching(folder, server.ini) as watched:
        watched.said("generation 1 active after", "shop, stock")
        watched.save("shop.py", shop(2))
        watched.said("generation 2 active after", ": shop")
        watched.save("shop.py", "1 / 0\n")
        watched.said("generation 3 failed", "ZeroDivisionError", "1 / 0")
        assert "2 1" == server.text("/shop")
        watched.save("shop.py", shop(4))
        watched.said("generation 4 active")

    assert "4 1" == server.text("/shop")


def test_what_is_right_is_deployed_beside_what_is_wrong(cluster: ClusterSite) -> None:
    """One broken file of several, and one that is no artifact, hold up nothing."""
    server = cluster.server("deploy").start()
    folder = cluster.folder / "watched"
    folder.mkdir()
    sources = {"shop": shop(1), "stock": stock(1), "broken": "import nix\n"}
    for name, text in sources.items():
        (folder / f"{name}.py").write_text(text)

    with watching(folder, server.ini) as watched:
        watched.said("failed after", "No module named 'nix'", "active after")
        assert "1 1" == server.text("/shop")
        watched.save("torn.zip", "no zip at all")
        watched.said("torn.zip:")
        watched.save("broken.py", stock(3))
        watched.said("active after", "active after", ": broken")


def test_a_folder_with_a_manifest_is_packed_on_the_way(cluster: ClusterSite) -> None:
    """Each save of a module in it makes a new archive."""
    server = cluster.server("deploy").start()
    folder = cluster.folder / "watched"
    (folder / "crm").mkdir(parents=True)
    (folder / "crm/service.ini").write_text(MANIFEST)
    (folder / "crm/crm_web.py").write_text(APP.format(1))

    with watching(folder, server.ini, "--json") as watched:
        watched.said('"state": "active"')
        assert "crm 1" == server.text("/crm")
        watched.save("crm/crm_web.py", APP.format(2))
        watched.said('"generation": 2', '"state": "active"')
        lines = [
            json.loads(line)
            for line in watched.log.read_text().splitlines()
            if line.startswith("{")
        ]

    assert "crm 2" == server.text("/crm")
    assert [1, 2] == [one["generation"] for one in lines]
    assert all(one["took_ms"] > 0 for one in lines)


def test_a_server_that_comes_back_gets_what_was_saved(cluster: ClusterSite) -> None:
    """While it is away that is told once; nothing that was saved is forgotten."""
    server = cluster.server("deploy").start()
    folder = cluster.folder / "watched"
    folder.mkdir()

    with watching(folder, server.ini) as watched:
        watched.said("every save in")
        server.stop()
        watched.save("stock.py", stock(1))
        told = watched.said("is not reachable", "trying again")
        server.start()
        watched.said("generation 1 active")

    assert 1 == told.count("trying again")


def test_without_a_server_the_command_votes(cluster: ClusterSite) -> None:
    """It is the node, for as long as it watches; then the start serves all."""
    server = cluster.server("deploy")
    folder = cluster.folder / "watched"
    folder.mkdir()

    (folder / "shop.py").write_text(shop(1))
    (folder / "stock.py").write_text(stock(1))

    with watching(folder, server.ini, "--ledger") as watched:
        watched.said("generation 1 active")
        watched.save("stock.py", stock(2))
        watched.said("generation 2 active")

    assert () == cluster.nodes()
    server.start()
    assert "1 2" == server.text("/shop")
