"""Where listening sockets come from."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

import pytest

from pointsman.errors import ConfigError, ReleaseError
from pointsman.serving import sockets
from pointsman.serving.settings import Place, read

if TYPE_CHECKING:
    from pathlib import Path


def test_descriptors_of_systemd_are_for_one_process() -> None:
    """LISTEN_PID must be ours; the variables are taken away when they are."""
    ours = {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "2", "LISTEN_FDNAMES": "a:b"}
    others = {"LISTEN_PID": "1", "LISTEN_FDS": "2"}
    found = [sockets.from_systemd(each) for each in (ours, others, {})]

    assert [[3, 4], [], []] == found
    assert ({}, {"LISTEN_PID": "1", "LISTEN_FDS": "2"}) == (ours, others)


def test_only_listening_sockets_are_adopted() -> None:
    """A socket that does not listen is refused with what to write in the unit."""
    with socket.socket() as idle:
        with pytest.raises(ConfigError, match="Accept=no"):
            sockets.adopted([os.dup(idle.fileno())], "systemd")


def test_adopted_sockets_are_not_inherited() -> None:
    """Programs that a service starts do not get them."""
    with socket.socket() as listening:
        listening.listen()
        given = os.dup(listening.fileno())
        os.set_inheritable(given, True)  # noqa: FBT003 - no keyword
        adopted = sockets.adopted([given], "systemd")

    assert adopted.sockets == tuple(adopted.shared)
    assert not adopted.sockets[0].get_inheritable()
    adopted.sockets[0].close()


def test_forked_children_do_not_keep_the_port() -> None:
    """A child that never execs closes its copies at once."""
    listening = sockets.opened(read({"port": "0"}, Place())).sockets[0]
    child = os.fork()
    if child == 0:
        os._exit(0 if listening.fileno() == -1 else 1)

    assert 0 == os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert listening.fileno() != -1
    listening.close()


def test_an_address_that_is_not_ours_is_told() -> None:
    """The sentence says that this machine lacks the address."""
    settings = read({"host": "192.0.2.1"}, Place("a.ini", "server:x"))

    with pytest.raises(ReleaseError) as refused:
        sockets.opened(settings)
    assert (
        "cannot listen on 192.0.2.1:8080: this machine has no such address; correct "
        "host or listen in [server:x] of a.ini"
    ) == str(refused.value)


def test_a_living_unix_socket_is_not_taken(tmp_path: Path) -> None:
    """Only what nobody listens on is replaced, and never a file that is no socket."""
    path = tmp_path / "s"
    settings = read({"unix_socket": str(path)}, Place())
    first = sockets.opened(settings).sockets[0]
    first.listen()
    with pytest.raises(ReleaseError, match="a server listens there already"):
        sockets.opened(settings)
    first.close()
    sockets.opened(settings).sockets[0].close()
    path.unlink()
    path.write_text("precious")
    with pytest.raises(ReleaseError, match="no socket"):
        sockets.opened(settings)

    assert "precious" == path.read_text()
