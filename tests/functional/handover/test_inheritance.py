"""What is handed over: sockets of every kind, the rights, systemd's trust."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from functional.handover import site as kinds
from functional.serving.hammer import Client, get
from open_folders import let_everybody_in
from pointsman.serving import processes
from waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from functional.handover.site import Site


_NOBODY = 65534


class Systemd:
    """What listens on a NOTIFY_SOCKET."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.said: list[tuple[int, str]] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self._socket.bind(str(path))
        self._socket.settimeout(0)

    def hears(self, word: str) -> bool:
        """Read what has come; tell whether somebody has said ``word``."""
        while True:
            try:
                text, descriptors, control, _ = self._received()
            except BlockingIOError:
                return any(word in said.split("\n") for _, said in self.said)
            for descriptor in descriptors:
                os.close(descriptor)
            self.said.append((control, text))

    def count(self, word: str) -> int:
        """Return how often somebody has said ``word``."""
        self.hears(word)
        return [text for _, text in self.said].count(word)

    def _received(self) -> tuple[str, list[int], int, object]:
        text, control, _, address = self._socket.recvmsg(4096, 1024)
        descriptors: list[int] = []
        pid = 0
        for _, kind, data in control:
            if kind == socket.SCM_RIGHTS:
                descriptors += [
                    int.from_bytes(data[at : at + 4], sys.byteorder)
                    for at in range(0, len(data), 4)
                ]
            if kind == socket.SCM_CREDENTIALS:
                pid = int.from_bytes(data[:4], sys.byteorder)
        return text.decode(), descriptors, pid, address

    def close(self) -> None:
        self._socket.close()


@pytest.fixture(name="systemd")
def _systemd(tmp_path: Path) -> Iterator[Systemd]:
    systemd = Systemd(tmp_path / "notify")
    yield systemd
    systemd.close()


def test_systemd_is_told_who_serves(site: Site, systemd: Systemd) -> None:
    """READY=1; MAINPID= of the next one, said by the one before it; STOPPING=1."""
    environment = {"NOTIFY_SOCKET": str(systemd.path)}
    port = site.start(site.release("one"), env=environment)
    first = site.pid()
    wait_for(lambda: systemd.hears("READY=1"), "READY=1")
    second = site.switch(site.release("two")).pid
    wait_for(lambda: systemd.hears("BARRIER=1"), "what was read before the end")
    wait_for(lambda: processes.start_time(first) is None, "the end of the first")
    third = site.switch(site.release("three")).pid
    wait_for(lambda: systemd.hears(f"MAINPID={third}"), "the next MAINPID=")
    wait_for(lambda: systemd.count("BARRIER=1") == 2, "what was read before the end")
    before_the_stop = systemd.hears("STOPPING=1")
    site.paster("--stop-daemon")
    wait_for(lambda: systemd.hears("STOPPING=1"), "STOPPING=1")
    words = [(pid, text.split("\n")[0]) for pid, text in systemd.said]

    assert not before_the_stop
    assert [
        (first, "READY=1"),
        (first, f"MAINPID={second}"),
        (first, "BARRIER=1"),
        (second, f"MAINPID={third}"),
        (second, "BARRIER=1"),
        (third, "STOPPING=1"),
    ] == words
    assert f"http://127.0.0.1:{port}" in systemd.said[0][1]


def test_services_do_not_speak_for_the_server(site: Site, systemd: Systemd) -> None:
    """NOTIFY_SOCKET and what a hand-over needs are not in the services' environment."""
    names = ("NOTIFY_SOCKET", "LISTEN_FDS", "POINTSMAN_HANDOVER_FD")
    check = f"import os\nassert not {names!r} & os.environ.keys()\n".replace(
        repr(names), repr(set(names))
    )
    site.start(site.release("one", check), env={"NOTIFY_SOCKET": str(systemd.path)})
    outcome = site.switch(site.release("two", check))

    assert outcome.committed, outcome


def test_sockets_of_systemd_are_passed_on(site: Site) -> None:
    """They win over the settings of every release, and outlive them all."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        port = listening.getsockname()[1]
        first, second = site.release("one"), site.release("two")
        code = (
            f"import os, sys; os.dup2({listening.fileno()}, 3); "
            "os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS='1'); "
            "os.execv(sys.argv[1], sys.argv[1:])"
        )
        start = kinds.Release(first.folder, (sys.executable, "-c", code, *first.argv))
        site.start(start, pass_fds=[listening.fileno()])
        site.switch(second)
        body = get(port).body
        site.paster("--stop-daemon")
        # Nobody serves, and still nobody is refused: the next start answers.
        with Client(port) as early:
            early.send("/")
            site.start(start, pass_fds=[listening.fileno()])
            late = early.receive().body

    assert (b"hello two", b"hello one") == (body, late)


def test_a_unix_socket_is_handed_over(site: Site) -> None:
    """Its file stays over the switch; the last server removes it."""
    path = site.folder / "web"
    ini = kinds.SERVER.replace("port = 0", f"unix_socket = {path}", 1)
    site.start_unix(site.release("one", ini=ini))
    first, made = site.pid(), path.stat().st_ino
    site.switch(site.release("two", ini=ini))
    wait_for(lambda: processes.start_time(first) is None, "the end of the first")
    between = path.stat().st_ino
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
        client.sendall(b"GET / HTTP/1.0\r\n\r\n")
        answer = client.makefile("rb").read()
    site.paster("--stop-daemon")

    assert made == between
    assert answer.endswith(b"hello two")
    assert not path.exists()


def test_addresses_may_change(site: Site) -> None:
    """A new one is bound, a former one is given up; nobody who was there is lost."""
    one = kinds.SERVER.replace("port = 0", "listen = 127.0.0.1:0 127.0.0.2:0", 1)
    two = kinds.SERVER.replace("port = 0", "listen = 127.0.0.3:0 127.0.0.1:0", 1)
    site.start(site.release("one", ini=one))
    before = site.current().addresses
    site.switch(site.release("two", ini=two))
    after = site.current().addresses

    assert before[0] == after[1]
    assert after[0].startswith("http://127.0.0.3:")
    wait_for(lambda: refused(before[1]), "the end of the former address")


def refused(address: str) -> bool:
    """Tell whether nobody listens there."""
    host, _, port = address.removeprefix("http://").rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=5).close()
    except ConnectionRefusedError:
        return True
    return False


def test_an_address_that_overlaps_is_explained(site: Site) -> None:
    """The running server itself has the port: the sentence says what to do."""
    port = site.start(site.release("one"))
    everywhere = f"listen = 0.0.0.0:{port}"
    ini = kinds.SERVER.replace("port = 0", everywhere, 1)

    outcome = site.switch(site.release("two", ini=ini))

    assert outcome.reason.endswith(
        f"(the running server listens on 127.0.0.1:{port}: an address that overlaps "
        "with it needs a stop and a start)"
    )


def interpreter_of_others() -> str:
    """Return a Python like ours that every user may run; "" when there is none."""
    version = f"{sys.version_info[:2]}\n"
    for program in (sys.executable, "/usr/bin/python3"):
        with suppress(OSError, subprocess.SubprocessError):
            code = "import sys; print(sys.version_info[:2])"
            said = subprocess.check_output(
                [program, "-c", code], user=_NOBODY, cwd="/", text=True
            )
            if said == version:
                return program
    return ""


@pytest.mark.skipif(
    os.geteuid() != 0 or not interpreter_of_others(),
    reason="only root may become somebody else, who may not run this Python",
)
def test_the_rights_are_handed_over(site: Site) -> None:
    """Of root only the first bind is needed: its successors are the other user's."""
    whoami = "import os; assert os.getuid() == os.geteuid() == 65534\n"
    let_everybody_in(site.folder)
    words = ("--user", "65534", "--group", "65534", "--log-file", str(site.log))
    port = site.start(site.release("one", whoami), *words)
    first = site.pid()
    release = site.release("two", whoami)
    argv = (interpreter_of_others(), *release.argv[1:], *words)
    second = site.switch(kinds.Release(release.folder, argv))
    serving = site.current()

    assert second.committed, second
    assert (65534, 65534, second.pid) == (serving.user, serving.group, serving.pid)
    assert b"hello two" == get(port).body
    wait_for(lambda: processes.start_time(first) is None, "the end of the first")
    assert 65534 == site.log.stat().st_uid
    assert 0 == site.paster("--stop-daemon").returncode
    assert 3 == site.paster("--status").returncode
