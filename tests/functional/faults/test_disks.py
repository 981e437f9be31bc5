"""Disks that are full, read-only, damaged or emptied under those who serve."""

from __future__ import annotations

import os
import resource
import shutil
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

from cluster_site import digest, shop, stock
from functional.serving.hammer import Hammer
from waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from cluster_processes import Server
    from cluster_site import ClusterSite

OLD, NEW = {"shop": shop(1), "stock": stock(1)}, {"shop": shop(2), "stock": stock(2)}
MIB = 1024 * 1024


def mounted(*commands: str) -> tuple[str, ...]:
    """Return what runs a command with mounts that nobody else sees."""
    own = ["unshare", "-m"] if os.geteuid() == 0 else ["unshare", "-Urm"]
    script = " && ".join([*commands, 'exec "$@"'])
    return (*own, "sh", "-c", script, "sh")


def seen_by(server: Server, path: Path) -> Path:
    """Return a path as the server sees it, with its own mounts."""
    assert server.process is not None
    return type(path)(f"/proc/{server.process.pid}/root{path}")


def fill(path: Path) -> None:
    """Write a file until the disk takes no more."""
    with path.open("wb", buffering=0) as file:
        try:
            while file.write(b"x" * 4096):
                pass
        except OSError:
            return


def test_full_disk(cluster: ClusterSite) -> None:
    """A deployment that finds no room is refused, with the reason, and nothing changes.

    With room again, the same deployment goes through.
    """
    disk = cluster.folder / "disk"
    disk.mkdir()
    server = cluster.server(
        work_dir="%(here)s/disk/var", ledger__url="sqlite:///%(here)s/disk/l.sqlite"
    ).start(mounted(f"mount -t tmpfs -o size=8m tmpfs {disk}"))
    server.deploy(**OLD)
    ballast = seen_by(server, disk / "ballast")
    fill(ballast)
    large = stock(2, f"BALLAST = '{'x' * MIB}'")
    load = Hammer(server.port, ("/shop",)).start(2, 2)
    try:
        refused = server.post({"shop": shop(2), "stock": large})
        still = server.text()
        ballast.unlink()
        wait_for(lambda: server.post(NEW).status_code == 200, "there is room again")
        wait_for(lambda: b"2 2" in load.bodies, "the clients see it")
    finally:
        load.stop()

    assert ("1 1", True) == (still, 500 <= refused.status_code < 600), refused.text
    assert "application/problem+json" == refused.headers["Content-Type"]
    assert "2 2" == server.text()
    assert ([], 0) == (load.lost, load.refused)
    assert {b"1 1", b"2 2"} == load.bodies


def test_read_only_ledger(cluster: ClusterSite) -> None:
    """A start with a ledger that cannot be written to ends with one sentence.

    It names the ledger; and once it can be written to, the start is as ever.
    """
    server = cluster.server().start()
    server.deploy(**OLD)
    server.stop()
    server.log.unlink()
    folder = cluster.folder / "ledger"
    read_only = mounted(
        f"mount --bind {folder} {folder}", f"mount -o remount,bind,ro {folder}"
    )

    assert 1 == server.launch(read_only).wait_for_its_end()
    told = server.log.read_text()
    assert [] == [word for word in (str(folder), "write") if word not in told]
    assert ("Traceback" in told, 1) == (False, len(told.splitlines())), told
    server.start().deploy(**NEW)
    assert "2 2" == server.text()


def test_disk_that_takes_no_more_writes(cluster: ClusterSite) -> None:
    """A running node whose writes all fail goes on, refuses, and says why.

    No file may grow: that is what a disk does whose file system has had an error.
    """
    server = cluster.server().start()
    server.deploy(**OLD)
    assert server.process is not None
    pid = server.process.pid
    before = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    load = Hammer(server.port, ("/shop",)).start(2, 2)
    try:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, before[1]))
        refused = server.post(NEW)
        still = server.text()
        resource.prlimit(pid, resource.RLIMIT_FSIZE, before)
        wait_for(lambda: server.post(NEW).status_code == 200, "it writes again")
    finally:
        load.stop()

    assert ("1 1", True) == (still, refused.status_code in {503, 507}), refused.text
    assert "2 2" == server.text()
    assert ([], 0) == (load.lost, load.refused)
    assert {b"1 1", b"2 2"} == load.bodies


def test_locked_ledger(cluster: ClusterSite) -> None:
    """While another process holds the ledger, deployments are refused with the reason.

    Nothing else happens: no request is lost, and afterwards all go on.
    """
    one = cluster.server().start()
    two = cluster.server("two", work_dir="%(here)s/two").start()
    one.deploy(**OLD)
    load = Hammer(one.port, ("/shop",)).start(2, 2)
    file = cluster.folder / "ledger/ledger.sqlite"
    try:
        with closing(sqlite3.connect(file, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            refused = one.post(NEW)
            still = one.text(), two.text()
            other.execute("ROLLBACK")
        cluster.wait_for_nodes(2)
        one.deploy(**NEW)
        cluster.wait_for_nodes(2)
    finally:
        load.stop()

    assert (503, ("1 1", "1 1")) == (refused.status_code, still)
    assert "locked" in refused.text
    assert ["2 2", "2 2"] == [one.text(), two.text()]
    assert ([], 0) == (load.lost, load.refused)
    assert {b"1 1", b"2 2"} == load.bodies


def cached(cluster: ClusterSite, source: str) -> Path:
    """Return the file that holds a module in the cache of the machine."""
    (found,) = (cluster.folder / "var/artifacts").rglob(digest(source) + "*")
    return found


def test_damaged_artifact_at_the_start(cluster: ClusterSite) -> None:
    """Bytes that have another digest are not run: they are fetched again.

    Without the look at the digest, what somebody wrote into the cache was served.
    """
    server = cluster.server().start()
    server.deploy(**OLD)
    server.stop()
    path = cached(cluster, OLD["stock"])
    path.write_text(stock(666))

    server.start()
    assert ("1 1", OLD["stock"]) == (server.text(), path.read_text())


def test_damaged_artifact_of_a_rollback(cluster: ClusterSite) -> None:
    """What is gone back to is what it was, whatever became of the copy of it."""
    server = cluster.server().start()
    server.deploy(**OLD)
    server.deploy(**NEW)
    path = cached(cluster, OLD["stock"])
    path.write_bytes(b"")
    answer = server.request("POST", "/_pointsman/api/v1/packages/stock/rollback")

    assert (200, "2 1") == (answer.status_code, server.text()), answer.text


def test_damaged_artifact_in_the_ledger(cluster: ClusterSite) -> None:
    """An artifact of which no good copy is left is told, and runs nowhere."""
    one = cluster.server().start()
    one.deploy(**OLD)
    one.deploy(stock=stock(2))
    one.stop()
    cached(cluster, stock(2)).unlink()
    for table, column in blobs(cluster.folder / "ledger/ledger.sqlite"):
        with closing(sqlite3.connect(cluster.folder / "ledger/ledger.sqlite")) as file:
            file.execute(f"UPDATE {table} SET {column} = X'00'")
            file.commit()
    one.launch()
    wait_for(one.answers, "it answers", 60)
    ready = one.get("/_pointsman/health/ready")

    assert (503, "1 1") == (ready.status_code, one.text())
    assert digest(stock(2)) in ready.text


def blobs(file: Path) -> Iterator[tuple[str, str]]:
    """Return the tables and columns of a database that hold bytes."""
    with closing(sqlite3.connect(file)) as ledger:
        tables = ledger.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        for (table,) in tables.fetchall():
            for row in ledger.execute(f"PRAGMA table_info({table})"):
                if row[2].upper() in {"BLOB", "BYTEA"}:
                    yield table, row[1]


def test_work_directory_deleted(cluster: ClusterSite) -> None:
    """Without its work directory a node goes on, and makes it anew when it needs it."""
    server = cluster.server(hot_deploy__pickup_dir=str(cluster.pickup)).start()
    server.deploy(**OLD)
    load = Hammer(server.port, ("/shop",)).start(2, 2)
    try:
        shutil.rmtree(cluster.folder / "var")
        shutil.rmtree(cluster.pickup)
        server.deploy(**NEW)
        uploaded = server.text()
        back = server.request("POST", "/_pointsman/api/v1/packages/stock/rollback")
    finally:
        load.stop()

    assert ("2 2", 200, "2 1") == (uploaded, back.status_code, server.text())
    assert ([], 0) == (load.lost, load.refused)
    server.stop()
    server.start()
    assert "2 1" == server.text()
    cluster.drop(stock=stock(3))
    wait_for(lambda: server.text() == "2 3", "dropped files are deployed again")


def test_ledger_deleted(cluster: ClusterSite) -> None:
    """Without its ledger a node serves what it serves, and refuses to deploy."""
    server = cluster.server().start()
    server.deploy(**OLD)
    shutil.rmtree(cluster.folder / "ledger")
    answer = server.post(NEW)

    assert (503, "1 1") == (answer.status_code, server.text()), answer.text
    server.stop()
    (cluster.folder / "ledger").mkdir()
    server.start().deploy(**NEW)
    assert "2 2" == server.text()
