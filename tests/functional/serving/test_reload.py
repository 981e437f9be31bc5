"""paster serve --reload starts anew and refuses nobody."""

from __future__ import annotations

import os
import signal
from functools import partial
from typing import TYPE_CHECKING

from functional.serving.hammer import Hammer, get
from functional.serving.place import wait_for

if TYPE_CHECKING:
    import subprocess

    from functional.serving.place import Place


def reloading(place: Place) -> subprocess.Popen[str]:
    """Start a server that watches its files."""
    process = place.start(
        *("--reload", "--reload-interval", "0.1", "--pid-file", "paster.pid"),
        "deploy.ini",
    )
    place.port()
    wait_for(lambda: "watching its files" in place.output())
    return process


def served(hammer: Hammer, version: str) -> bool:
    """Tell whether a client has seen the version."""
    return f"hello {version}".encode() in hammer.bodies


def edit(place: Place, former: str, new: str) -> None:
    """Replace the module as an editor does."""
    text = place.module.read_text().replace(former, new)
    temporary = place.folder / "served.py.new"
    temporary.write_text(text)
    temporary.replace(place.module)


def test_edits_are_served_and_nobody_is_refused(place: Place) -> None:
    """Clients that hammer through four edits see every version and lose nothing."""
    process = reloading(place)
    hammer = Hammer(place.port()).start()
    for former, new in [("one", "two"), ("two", "six"), ("six", "ten")]:
        edit(place, f'"{former}"', f'"{new}"')
        wait_for(partial(served, hammer, new))
    hammer.stop()
    process.send_signal(signal.SIGTERM)

    assert ([], 0) == (hammer.lost, hammer.refused)
    assert 0 == process.wait(30)
    assert not place.pid_file.exists()


def test_a_broken_edit_leaves_the_old_one_serving(place: Place) -> None:
    """The traceback is shown, and the next edit starts a server again."""
    reloading(place)
    port = place.port()
    edit(place, '"one"', '"one')
    wait_for(lambda: "the new server did not start; the old one" in place.output())
    while_broken = get(port).body
    edit(place, '"one', '"two"')
    wait_for(lambda: get(port).body == b"hello two")

    assert b"hello one" == while_broken
    assert "SyntaxError" in place.output()


def test_a_server_that_never_started_waits_for_the_edit(place: Place) -> None:
    """A first start that fails keeps the port; its clients wait for the repair."""
    text = place.module.read_text()
    place.module.write_text("def")
    place.start("--reload", "--reload-interval", "0.1", "deploy.ini", "x=y")
    wait_for(lambda: "waiting for a change" in place.output())
    place.module.write_text(text)
    wait_for(lambda: "serving on" in place.output())
    port = int(place.output().split("serving on http://127.0.0.1:")[1].split()[0])

    assert b"hello one" == get(port).body


def test_signals_reach_the_server(place: Place) -> None:
    """HUP to the supervisor is HUP to the server."""
    process = reloading(place)
    process.send_signal(signal.SIGHUP)

    wait_for(lambda: "SIGHUP: reloading" in place.output())


def test_status_and_stop_work(place: Place) -> None:
    """The pid file is the supervisor's, the details are the server's."""
    process = reloading(place)
    code, output, _ = place.command("--status")
    stopped = place.command("--stop-daemon")[0]

    assert (0, 0) == (code, process.wait(20) + stopped)
    assert f"pid        {process.pid}, serving pid " in output


def test_a_server_without_its_supervisor_ends(place: Place) -> None:
    """After kill -9 of the supervisor no server is left."""
    process = reloading(place)
    serving = place.ask()["pid"]
    process.kill()
    process.wait()

    wait_for(lambda: not os.path.exists(f"/proc/{serving}"))  # noqa: PTH110
