"""Machines in small: network namespaces, with real links that can be cut.

Each has an address, and one cable to a switch, which is a namespace, too.  A port of
the switch that is off forwards nothing, and nobody is told: both ends see a link that
is up, and send into the void.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Self

import pytest

from system_packages import require

if TYPE_CHECKING:
    from collections.abc import Iterator

_libc = ctypes.CDLL(None, use_errno=True)
_CLONE_NEWNET = 0x40000000


def run(*command: str) -> None:
    """Run a command that must succeed."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"


class Machine:
    """One namespace."""

    def __init__(self, network: Network, name: str, number: int) -> None:
        self.address = f"10.99.0.{number}"
        self.namespace = network.namespace(name)
        self.prefix = ("ip", "netns", "exec", self.namespace)
        self._network, self._port = network, f"port{number}"
        run(
            *("ip", "-n", network.switch, "link", "add", self._port, "type", "veth"),
            *("peer", "name", "eth0", "netns", self.namespace),
        )
        for command in (
            f"-n {network.switch} link set {self._port} master bridge up",
            f"-n {self.namespace} address add {self.address}/24 dev eth0",
            f"-n {self.namespace} link set eth0 up",
        ):
            run("ip", *command.split())

    @contextlib.contextmanager
    def inside(self) -> Iterator[None]:
        """Let this thread, and those that it starts, be on this machine."""
        own = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        there = os.open(f"/run/netns/{self.namespace}", os.O_RDONLY)
        try:
            _enter(there)
            yield
        finally:
            _enter(own)
            os.close(own)
            os.close(there)

    def cut(self) -> None:
        """Let no packet through, to or from it."""
        self._switch_port("0")

    def mend(self) -> None:
        """Let all through."""
        self._switch_port("3")

    def _switch_port(self, state: str) -> None:
        switch = ("bridge", "-n", self._network.switch)
        run(*switch, "link", "set", "dev", self._port, "state", state)


def _enter(descriptor: int) -> None:
    if _libc.setns(descriptor, _CLONE_NEWNET):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


class Network:
    """A switch, and the machines at it.  ``close`` takes all of it away."""

    def __init__(self) -> None:
        require("/usr/sbin/ip", "iproute2")
        self._names: list[str] = []
        try:
            self.switch = self.namespace("switch")
            run("ip", "-n", self.switch, "link", "add", "bridge", "type", "bridge")
            run("ip", "-n", self.switch, "link", "set", "bridge", "up")
        except AssertionError as error:
            self.close()
            if os.environ.get("CI") == "true" and os.geteuid() == 0:
                raise
            pytest.skip(f"no network namespaces here: {error}")

    def namespace(self, name: str) -> str:
        """Make a namespace of nobody else's; return what it is called."""
        whole = f"pointsman-{os.getpid()}-{name}"
        run("ip", "netns", "add", whole)
        self._names.append(whole)
        run("ip", "-n", whole, "link", "set", "lo", "up")
        return whole

    def close(self) -> None:
        """Take all of them away, with their links."""
        for name in self._names:
            if Path("/run/netns", name).exists():
                run("ip", "netns", "delete", name)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
