"""The host itself under paster serve: signals, the drain, and the end of services."""

from __future__ import annotations

import signal
import textwrap
from typing import TYPE_CHECKING

from functional.serving.hammer import get
from functional.serving.place import wait_for

if TYPE_CHECKING:
    from functional.serving.place import Place

INI = """
[app:main]
use = egg:pointsman
service_sources = list.txt
keep_warm = 0

[server:main]
use = egg:pointsman#server
port = 0
"""

SERVICE = """
from pathlib import Path

from pointsman import Service

VERSION = {version}


class Now(Service):
    path = "/now"

    def start(self):
        with Path("started").open("a") as file:
            file.write(f"{{VERSION}} ")

    def handle(self, request):
        return str(VERSION)

    def stop(self):
        with Path("stopped").open("a") as file:
            file.write(f"{{VERSION}} ")
"""


def _write(place: Place, version: object) -> None:
    (place.folder / "services").mkdir(exist_ok=True)
    (place.folder / "list.txt").write_text("services\n")
    source = textwrap.dedent(SERVICE).format(version=version)
    (place.folder / "services" / "clock.py").write_text(source)
    place.ini.write_text(INI)


def _told(place: Place, name: str) -> str:
    path = place.folder / name
    return path.read_text() if path.exists() else ""


def test_hangup_reloads(place: Place) -> None:
    """SIGHUP switches to the new version; the old one is started and stopped once."""
    _write(place, 1)
    process = place.foreground()
    port = place.port()
    assert b"1" == get(port, "/now").body
    _write(place, 2)
    process.send_signal(signal.SIGHUP)

    wait_for(lambda: get(port, "/now").body == b"2")
    wait_for(lambda: _told(place, "stopped") == "1 ")
    assert "1 2 " == _told(place, "started")


def test_hangup_with_a_broken_module(place: Place) -> None:
    """What fails is told in the log, and the old version goes on."""
    _write(place, 1)
    process = place.foreground()
    _write(place, "nothing that is defined")
    process.send_signal(signal.SIGHUP)

    wait_for(lambda: "clock failed" in place.output())
    assert b"1" == get(place.port(), "/now").body


def test_the_end_stops_services(place: Place) -> None:
    """SIGTERM drains, then stops the services, and leaves no copies behind."""
    _write(place, 1)
    process = place.foreground()
    process.send_signal(signal.SIGTERM)

    assert 0 == process.wait(30)
    assert "1 " == _told(place, "stopped")
    assert [] == list((place.folder / "var" / "run").iterdir())


def test_the_daemon_is_proven_by_its_services(place: Place) -> None:
    """A service list that cannot be read fails --daemon with that sentence."""
    _write(place, 1)
    (place.folder / "list.txt").unlink()
    code, _, errors = place.command("--daemon", "deploy.ini")

    assert 1 == code
    assert "service_sources" in errors
    assert "list.txt" in errors


def test_status_tells_the_node(place: Place) -> None:
    """``--status`` says which generation serves, and whether the node is ready."""
    _write(place, 1)
    place.daemon()

    code, output, errors = place.command("--status")

    assert (0, "") == (code, errors)
    assert "generation 0 (ready)" in output.splitlines()


def test_open_address_is_warned_of(place: Place) -> None:
    """A node that other machines can reach without TLS says so, once; others do not."""
    _write(place, 1)
    place.ini.write_text(INI.replace("port = 0", "host = 0.0.0.0\nport = 0"))
    place.daemon()
    warned = place.log.read_text().count("can be reached from other machines")
    place.command("--stop-daemon")
    place.log.unlink()
    place.ini.write_text(INI)
    place.daemon()

    assert (1, 0) == (warned, place.log.read_text().count("other machines"))
