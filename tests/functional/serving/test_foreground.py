"""paster serve in the foreground: its words and its signals."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from functional.serving.hammer import Client, get
from functional.serving.place import PASTER, WARNINGS, wait_for

if TYPE_CHECKING:
    import pytest

    from functional.serving.place import Place

NODE = """
import sys, threading, types

class Node:
    def reload(self):
        print("reloaded in", threading.current_thread().name, flush=True)
    def drain(self):
        print("drains", flush=True)
    def close(self):
        print("closed", flush=True)
    def in_flight(self):
        return 7
    def readiness(self):
        return True, {"status": "ready", "generation": 12}

module = types.ModuleType("pointsman.node")
module.running = lambda: (Node(),)
sys.modules["pointsman.node"] = module
"""


def test_variables_reach_the_ini(place: Place) -> None:
    """var=value is %(var)s in the ini, and wins over [DEFAULT]."""
    ini = place.ini.read_text().replace(
        "factory\n", "factory\ngreeting = %(word)s\n", 1
    )
    place.ini.write_text("[DEFAULT]\nword = nothing\n" + ini)
    place.foreground("deploy.ini", "word=servus")

    assert b"servus one" == get(place.port()).body


def test_a_key_of_the_defaults_stays_a_setting(place: Place) -> None:
    """[server:main] port = %(port)s works although [DEFAULT] has a port."""
    ini = place.ini.read_text().replace("port = 0", "port = %(port)s")
    place.ini.write_text("[DEFAULT]\nport = 1\n" + ini)
    place.foreground("deploy.ini", "port=0")

    assert 1024 < place.port()


def test_names_choose_the_sections(place: Place) -> None:
    """-n takes another application, --server-name another server."""
    place.foreground("-n", "second", "--server-name", "strict", "deploy.ini")

    assert b"second one" == get(place.port()).body


def test_wrong_words_are_wrong_usage(place: Place) -> None:
    """Code 2 and what to do; nothing is started."""
    said = {
        words: place.command(*words)
        for words in [
            (),
            ("deploy.ini", "begin"),
            ("--nonsense", "deploy.ini"),
            ("--daemon", "--reload", "deploy.ini"),
        ]
    }

    assert [2, 2, 2, 2] == [code for code, _, _ in said.values()]
    assert all("paster: " in errors for _, _, errors in said.values())


def test_help_has_examples(place: Place) -> None:
    """--help names the words of the command and returns 0."""
    code, output, _ = place.command("--help")

    assert 0 == code
    assert "paster serve --daemon deploy.ini" in output


def test_hup_reloads_the_nodes_in_a_thread_of_its_own(place: Place) -> None:
    """SIGHUP calls reload, the end drain and close, status tells what the node says."""
    place.module.write_text(NODE + place.module.read_text())
    process = place.foreground()
    process.send_signal(signal.SIGHUP)
    wait_for(lambda: "reloaded in signals" in place.output())
    told = place.ask()
    process.send_signal(signal.SIGTERM)

    assert (0, 7) == (process.wait(30), told["in_services"])
    assert [{"status": "ready", "generation": 12}] == told["nodes"]
    said = place.output()
    assert said.index("drains") < said.index("closed")


def test_a_second_term_changes_nothing(place: Place) -> None:
    """Services that stop are not cut short by whoever asks twice; 0 is returned."""
    go = place.folder / "go"
    slow = (
        f"import pathlib, time; go = pathlib.Path({str(go)!r})\n"
        "        print('closes', flush=True)\n"
        "        while not go.exists(): time.sleep(0.01)\n"
        "        print('closed', flush=True)"
    )
    node = NODE.replace('print("closed", flush=True)', slow)
    place.module.write_text(node + place.module.read_text())
    process = place.foreground()
    process.send_signal(signal.SIGTERM)
    wait_for(lambda: "closes" in place.output())
    process.send_signal(signal.SIGTERM)
    wait_for(lambda: not pending(process.pid))
    go.touch()

    assert (0, True) == (process.wait(30), "closed\n" in place.output())


def pending(pid: int) -> int:
    """Return the signals that a process has been sent and has not taken."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if "ShdPnd" in line), 16)


def test_hup_without_nodes_is_harmless(place: Place) -> None:
    """An application that is not ours goes on, and the log says so."""
    process = place.foreground()
    process.send_signal(signal.SIGHUP)
    wait_for(lambda: "no services of pointsman to reload" in place.output())

    assert b"hello one" == get(place.port()).body


def test_a_stop_while_loading_leaves_nothing(place: Place) -> None:
    """SIGTERM before there is a server ends the process and removes its files."""
    place.module.write_text("import time\nprint('loading', flush=True)\ntime.sleep(99)")
    process = place.start("--pid-file", "paster.pid", "deploy.ini")
    wait_for(lambda: "loading" in place.output())
    process.send_signal(signal.SIGTERM)

    assert 128 + signal.SIGTERM == process.wait(10)
    assert not place.pid_file.exists()


def test_threads_that_never_end_do_not_hold_up_the_end(place: Place) -> None:
    """A service that leaves a thread behind delays the end by seconds, not for ever."""
    place.module.write_text(
        "import threading, time\n"
        "threading.Thread(target=time.sleep, args=(999,), name='left').start()\n"
        + place.module.read_text()
    )
    process = place.foreground()
    process.send_signal(signal.SIGTERM)

    assert 0 == process.wait(20)
    assert "these threads still run: left" in place.output()


def test_the_logging_of_the_ini_is_used(place: Place) -> None:
    """A [loggers] section decides where and how it is logged."""
    place.ini.write_text(
        place.ini.read_text()
        + """
[loggers]
keys = root
[handlers]
keys = file
[formatters]
keys = short
[logger_root]
level = INFO
handlers = file
[handler_file]
class = FileHandler
args = ("%(here)s/own.log",)
formatter = short
[formatter_short]
format = <%(message)s>
"""
    )
    place.foreground()
    port = place.port()
    wait_for((place.folder / "own.log").exists)

    assert (
        f"<serving on http://127.0.0.1:{port}>\n"
        == (place.folder / "own.log").read_text()
    )


def test_sockets_of_systemd_are_adopted(place: Place) -> None:
    """LISTEN_FDS wins over host and port, and who waits there is answered."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        port = listening.getsockname()[1]
        with Client(port) as early:
            early.send("/")
            code = (
                f"import os, sys; os.dup2({listening.fileno()}, 3); "
                "os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS='1'); "
                + PASTER
            )
            process = subprocess.Popen(
                [
                    *(sys.executable, *WARNINGS, "-c", code, "serve"),
                    *("--pid-file", "paster.pid", "deploy.ini"),
                ],
                cwd=place.folder,
                env=place._environment(),
                pass_fds=[listening.fileno()],
            )
            place.started.append(process)
            body = early.receive().body
        process.send_signal(signal.SIGTERM)

        assert (b"hello one", 0) == (body, process.wait(30))
        # The socket is systemd's: it still takes connections for the next start.
        socket.create_connection(("127.0.0.1", port), timeout=5).close()


def test_a_unix_socket_is_served_and_removed(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """unix_socket replaces a dead server's file and takes its own away."""
    ini = place.ini.read_text().replace("port = 0", "unix_socket = %(here)s/s", 1)
    place.ini.write_text(ini)
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(place.folder / "s"))
    process = place.start("--pid-file", "paster.pid", "deploy.ini")
    wait_for(lambda: place.ask().get("addresses"))
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(place.folder / "s"))
        client.sendall(b"GET / HTTP/1.0\r\n\r\n")
        answer = client.makefile("rb").read()
    process.send_signal(signal.SIGTERM)

    assert answer.endswith(b"hello one")
    assert (0, False) == (process.wait(30), os.path.exists(place.folder / "s"))  # noqa: PTH110


def test_a_server_of_somebody_else_is_run_too(place: Place) -> None:
    """Any paste.server_runner can serve; --daemon proves that it answers."""
    ini = place.ini.read_text()
    start = ini.index("[server:main]")
    place.ini.write_text(
        ini[:start] + "[server:main]\nuse = egg:waitress#main\nlisten = 127.0.0.1:0\n"
    )
    code, output, errors = place.command("--daemon", "deploy.ini")
    assert 0 == code, errors
    port = int(output.split("http://127.0.0.1:")[1].split()[0])

    assert b"hello one" == get(port).body
    assert 0 == place.command("--stop-daemon")[0]
