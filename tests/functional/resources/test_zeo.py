"""A ZEO server as people start and stop it, and what its clients see of that."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import transaction
from transaction.interfaces import TransientError

from cluster_processes import python
from cluster_site import free_port
from functional.resources.test_object_databases import namespace
from object_server import ObjectServer, environment
from pointsman.errors import ConfigError
from pointsman.namespace.callers import marked
from pointsman.resources import Resources
from pointsman.zeo import asking, command, configured, rendering
from waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(name="server")
def _server(tmp_path: Path) -> Iterator[ObjectServer]:
    with ObjectServer(tmp_path / "zeo") as server:
        yield server


def write(resources: Resources, key: str, value: object) -> None:
    """Write one value."""
    with resources["book"].transaction() as connection:
        connection.root()[key] = value


def read(resources: Resources) -> dict[str, object]:
    """Return all values."""
    with resources["book"].transaction() as connection:
        return dict(connection.root())


# THE COMMAND


def test_from_start_to_stop(server: ObjectServer) -> None:
    """Each word tells the truth with its exit code; the data outlive the server."""
    said = [server.run("status", code=3), server.run("stop", code=1)]
    started = server.run("start")
    pid = server.pid
    resources = Resources({"book": server.uri})
    write(resources, "x", 1)
    said += [server.run("start", code=1), server.run("status")]
    resources.close()
    server.run("restart")
    again = server.pid
    resources = Resources({"book": server.uri})
    kept = read(resources)
    resources.close()
    server.run("stop")

    assert "not running" in said[0]
    assert "nothing to stop" in said[1]
    assert f"serving {server.folder}/zeo.sock, pid {pid}\n" == started
    assert f"running already, with pid {pid}" in said[2]
    assert f"running: pid {pid} on" in said[3]
    assert "1 connections, 2 commits" in said[3]
    assert ({"x": 1}, True) == (kept, pid != again)
    assert "not running" in server.run("status", code=3)
    left = {path.name for path in server.folder.iterdir()}
    assert {"Data.fs", "zeo.conf", "zeo.log"} == left & {
        *("Data.fs", "zeo.conf", "zeo.log", "zeo.pid", "zeo.sock")
    }


def test_a_killed_server_is_dead_and_starts_again(server: ObjectServer) -> None:
    """Status is 1 with its pid file; its socket and its file hold nobody up."""
    server.start()
    resources = Resources({"book": server.uri})
    write(resources, "x", 1)
    resources.close()
    pid = server.pid
    server.kill()
    told = server.run("status", code=1)
    stopped = server.run("stop", code=1)
    server.start()
    resources = Resources({"book": server.uri})
    kept = read(resources)
    resources.close()

    assert f"was {pid}" in told
    assert "nothing to stop" in stopped
    assert {"x": 1} == kept


def test_a_stranger_of_the_same_pid_is_left_alone(server: ObjectServer) -> None:
    """A pid file with another start time names nobody: no signal is sent."""
    Path(server.wanted.pid_file).write_text(f"{os.getpid()}\n1\n")

    assert "dead" in server.run("status", code=1)
    assert "nothing to stop" in server.run("stop", code=1)
    server.start()
    assert os.getpid() != server.pid


def test_one_that_hangs_is_not_taken_for_one_that_answers(
    server: ObjectServer,
) -> None:
    """Status is 4 while it accepts connections and says nothing.

    Broken on purpose: where an accepted connection is enough, status is 0.
    """
    server.start()
    os.kill(server.pid, signal.SIGSTOP)
    try:
        told = asking.asked(configured.read(server.conf), 0.3)
        accepted = asking.accepts(server.wanted.address, 0.3)
    finally:
        os.kill(server.pid, signal.SIGCONT)

    assert (None, True) == (told, accepted)


def test_a_start_that_fails_says_why(server: ObjectServer) -> None:
    """An address in use, a file that another has open, an unknown word: 1, and why."""
    server.start()
    other = ObjectServer(server.folder.parent / "other", server.wanted.address)
    taken = other.run("start", code=1)
    same = ObjectServer(server.folder.parent / "same")
    same.conf.write_text(
        same.conf.read_text().replace(f"{same.folder}/Data.fs", server.wanted.path)
    )
    locked = same.run("start", code=1)
    for wrong in (other, same):
        assert "not running" in wrong.run("status", code=3)
    same.conf.write_text(same.conf.read_text().replace("transaction-timeout", "tt"))
    unread = same.run("start", code=1)
    missing = same.run("-C", "/none/zeo.conf", "status", code=1)
    server.run("stop", "--nonsense", code=2)

    assert f"somebody listens on {server.wanted.address} already" in taken
    assert f"{server.wanted.path} is open in another process" in locked
    assert "'tt' is not a known key name" in unread
    assert "/none/zeo.conf" in missing
    assert server.run("status")


def test_a_port_of_somebody_else(tmp_path: Path) -> None:
    """A start fails, and leaves nothing, where another program has the port."""
    with socket.create_server(("127.0.0.1", 0)) as stranger:
        port = stranger.getsockname()[1]
        with ObjectServer(tmp_path / "zeo", f"127.0.0.1:{port}") as server:
            said = server.run("start", code=1)
            status = server.run("status", code=3)

    assert f"somebody listens on 127.0.0.1:{port} already" in said
    assert "not running" in status


def test_two_starts_at_once(server: ObjectServer) -> None:
    """One serves, the other is told; none of them lies."""
    starts = [
        subprocess.Popen(
            server.command("start"), env=environment(), stderr=subprocess.DEVNULL
        )
        for _ in range(2)
    ]
    codes = sorted(start.wait(60) for start in starts)

    assert [0, 1] == codes
    assert server.run("status")


def test_in_the_foreground(server: ObjectServer) -> None:
    """`run` serves until it is told to end, and ends with 0."""
    process = subprocess.Popen(
        server.command("run"), env=environment(), stderr=subprocess.DEVNULL
    )
    conf = configured.read(server.conf)
    wait_for(lambda: asking.asked(conf, 5) is not None, "the server answers")
    status = server.run("status")
    process.send_signal(signal.SIGINT)

    assert f"pid {process.pid} on" in status
    assert 0 == process.wait(20)


def test_the_log_is_opened_anew(server: ObjectServer) -> None:
    """After a rotation nothing goes on into the old file."""
    server.start()
    log = Path(server.wanted.log_file)
    log.rename(log.with_suffix(".1"))
    os.kill(server.pid, signal.SIGUSR1)
    wait_for(log.is_file, "the new log is there")
    server.run("stop")

    assert "ended" in server.log
    assert "ended" not in log.with_suffix(".1").read_text()


def test_what_it_makes_is_ours_alone(server: ObjectServer) -> None:
    """ZEO asks nobody who he is: so nobody else reaches socket and data."""
    server.start()
    modes = {
        name: (server.folder / name).stat().st_mode & 0o077
        for name in ("Data.fs", "zeo.sock")
    }

    assert {"Data.fs": 0, "zeo.sock": 0} == modes


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may become somebody else")
def test_started_by_root_it_becomes_who_has_the_folder(tmp_path: Path) -> None:
    """What root writes there the servers of that user could not read."""
    os.chown(tmp_path, 65534, 65534)
    pid = os.fork()
    if not pid:
        status = 1
        try:
            command._become_owner_of(tmp_path)
            status = 0 if (65534, 65534) == (os.getuid(), os.getgid()) else 2
        finally:
            os._exit(status)

    assert 0 == os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


# THE FILE


def test_ports_are_named_for_clients() -> None:
    """A resource finds the server by what the recipe says of it."""
    wanted = {"path": "/d", "pid_file": "/p", "log_file": "/l"}
    uris = [
        rendering.uri(rendering.Wanted(address=address, **wanted, storage=storage))
        for address, storage in (
            ("localhost:8100", "1"),
            ("0.0.0.0:8100", "main"),
            ("/srv/zeo.sock", "1"),
            (":8100", "1"),
        )
    ]

    assert [
        "zeo://localhost:8100",
        "zeo://0.0.0.0:8100?storage=main",
        "zeo:///srv/zeo.sock",
        "zeo://localhost:8100",
    ] == uris


@pytest.mark.parametrize("address", ["", "a\nb", "localhost:1\n</zeo>", "$(x)"])
def test_what_would_make_another_file_is_refused(address: str) -> None:
    """No option of a recipe slips further lines into a zeo.conf."""
    with pytest.raises(ConfigError, match="address"):
        rendering.Wanted(address=address, path="/d", pid_file="/p", log_file="/l")


def test_a_release_has_the_same_file() -> None:
    """The template of releases says what the recipe writes, with its own places."""
    root = Path(__file__).parents[3]
    template = (root / "etc" / "zeo.conf.in").read_text("utf-8")
    written = rendering.text(
        rendering.Wanted(
            address="${var}/zeo.sock".replace("$", ""),
            path="{var}/Data.fs",
            pid_file="{var}/zeo.pid",
            log_file="{log}/zeo.log",
            blob_dir="{var}/blobs",
        )
    )

    assert body(written) == body(template.replace("$", ""))


def body(text: str) -> list[str]:
    """Return the lines after the first comment."""
    return text.partition("\n\n")[2].splitlines()


# ITS CLIENTS


def test_a_client_outlives_a_restart(server: ObjectServer) -> None:
    """Its errors are transient: tried again, the transaction waits for the server."""
    server.start()
    resources = Resources({"book": server.uri})
    write(resources, "x", 1)
    server.run("stop")
    failed: list[TransientError] = []

    def patient() -> None:
        while True:
            try:
                return write(resources, "y", 2)
            except TransientError as error:
                failed.append(error)

    waiting = threading.Thread(target=patient)
    waiting.start()
    server.start()
    waiting.join(20)
    found = read(resources)
    resources.close()

    assert {"x": 1, "y": 2} == found
    assert len(failed) <= 2


SLOW = """
import pathlib, time
from ZODB.FileStorage import FileStorage
from pointsman.zeo.command import main

HERE = pathlib.Path(__file__).parent
finish = FileStorage.tpc_finish

def slow(self, *words, **more):
    (HERE / "begun").touch()
    while not (HERE / "go-on").exists():
        time.sleep(0.005)
    return finish(self, *words, **more)

FileStorage.tpc_finish = slow
"""


def test_a_stop_finishes_what_is_being_committed(
    server: ObjectServer, tmp_path: Path
) -> None:
    """Who commits while the server is told to end, is answered, and it is on disk.

    Broken on purpose: stopped as ZEO's own command is, the client is disconnected, and
    does not know whether it was done.
    """
    (tmp_path / "slow.py").write_text(SLOW)
    words = [*python("slow:main"), "-C", str(server.conf), "run"]
    clean = environment()
    paths = os.pathsep.join([str(tmp_path), clean["PYTHONPATH"]])
    process = subprocess.Popen(
        words, env={**clean, "PYTHONPATH": paths}, stderr=subprocess.DEVNULL
    )
    resources = Resources({"book": server.uri})
    errors: list[Exception] = []

    def commit() -> None:
        try:
            write(resources, "x", 1)
        except TransientError as error:
            errors.append(error)

    (tmp_path / "go-on").touch()
    write(resources, "w", 0)
    (tmp_path / "begun").unlink()
    (tmp_path / "go-on").unlink()
    client = threading.Thread(target=commit)
    client.start()
    wait_for((tmp_path / "begun").exists, "the server commits")
    process.send_signal(signal.SIGTERM)
    (tmp_path / "go-on").touch()
    code = process.wait(20)
    client.join(20)
    resources.close()
    server.start()
    resources = Resources({"book": server.uri})
    found = read(resources)
    resources.close()

    assert (0, [], {"w": 0, "x": 1}) == (code, errors, found)


def test_a_server_that_is_not_there(tmp_path: Path) -> None:
    """It is named, after the time that the URI gives; a later start is found."""
    with ObjectServer(tmp_path / "zeo") as server:
        uri = rendering.uri(server.wanted) + "?wait_timeout=1"
        resources = Resources({"book": uri})
        with pytest.raises(ConfigError, match=r"resource\.book = zeo://.*Disconnected"):
            write(resources, "x", 1)
        server.start()
        write(resources, "x", 1)
        found = read(resources)
        resources.close()

    assert {"x": 1} == found


def test_those_who_wait_share_the_end_of_an_attempt(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Eight threads and a server that is away: one attempt, not one after the other.

    Broken on purpose: without it, the eighth thread is held up eight times as long,
    and so are the services that have nothing to do with it.
    """
    attempts: list[int] = []
    reached, go = threading.Event(), threading.Event()

    def slow(_: str, **__: Any) -> Any:
        attempts.append(1)
        reached.set()
        assert go.wait(20)
        raise OSError("nobody is there")

    monkeypatch.setattr("pointsman.resources._shared", slow)
    resources = Resources({"book": f"zeo://127.0.0.1:{free_port()}"})
    told: list[str] = []

    def ask() -> None:
        try:
            _ = resources["book"]
        except ConfigError as error:
            told.append(str(error))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    lock = resources._here._locks["book"]
    threads[0].start()
    assert reached.wait(20)
    waiting = threading.Semaphore(0)

    class Counted:
        """The lock, which tells who waits for it."""

        def __enter__(self) -> None:
            waiting.release()
            lock.acquire()

        def __exit__(self, *_: object) -> None:
            lock.release()

    resources._here._locks["book"] = Counted()  # type: ignore[assignment]
    for thread in threads[1:]:
        thread.start()
    for _ in threads[1:]:
        assert waiting.acquire(timeout=20)
    go.set()
    for thread in threads:
        thread.join(20)
    first = len(attempts)
    ask()

    assert (8, 1) == (len(told) - 1, len(set(told)))
    assert (1, 2) == (first, len(attempts))


COUNTER = """
import persistent

class Counter(persistent.Persistent):
    value = 0

    def _p_resolveConflict(self, old, saved, new):
        merged = dict(new)
        merged["value"] = saved["value"] + new["value"] - old.get("value", 0)
        merged["resolved_by"] = "VERSION"
        return merged
"""


def test_conflicts_are_resolved_where_the_class_is(
    server: ObjectServer, tmp_path: Path
) -> None:
    """By the version that commits: the server knows no class that was deployed.

    Broken on purpose: with `client-conflict-resolution false` it is a ConflictError.
    """
    server.start()
    resources = Resources({"book": server.uri})
    resolved = []
    for number in "12":
        space = namespace(COUNTER.replace("VERSION", number), tmp_path / number)
        call = marked(space)
        database = call(resources.__getitem__, "book")
        counter = space.load("book").Counter
        managers = [transaction.TransactionManager() for _ in "ab"]
        roots = [call(database.open, manager).root() for manager in managers]
        call(roots[0].__setitem__, "c", counter())
        call(managers[0].commit)
        managers[1].begin()
        for root in roots:
            root["c"].value += 1
        for manager in managers:
            call(manager.commit)
        resolved.append((roots[1]["c"].value, roots[1]["c"].resolved_by))
        call(resources._here._shared["book"].leave, space)
    resources.close()

    assert [(2, "1"), (2, "2")] == resolved
