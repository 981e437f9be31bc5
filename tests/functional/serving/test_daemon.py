"""The paster command tells the truth about a server in the background."""

from __future__ import annotations

import os
import re
import signal
import socket
import stat
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import pointsman
from functional.serving.hammer import Client, get
from functional.serving.place import wait_for
from open_folders import let_everybody_in
from pointsman.serving.processes import Identity, start_time

if TYPE_CHECKING:
    from functional.serving.place import Place


def test_daemon_returns_when_the_server_answers(place: Place) -> None:
    """After exit code 0 the very next request is answered."""
    place.ini.write_text(place.ini.read_text().replace("port = 0", f"port = {free()}"))
    code, output, _ = place.command("--daemon", "deploy.ini")
    address = re.search(r"serving on http://127.0.0.1:(\d+)", output)

    assert 0 == code
    assert address is not None
    assert b"hello one" == get(int(address[1])).body


def free() -> int:
    """Return a port that nobody has at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_daemon_is_detached(place: Place) -> None:
    """It has a session of its own, no terminal, and keeps folder and umask."""
    place.daemon()
    pid = place.pid()

    assert pid != os.getsid(pid)
    assert os.getsid(pid) != os.getsid(0)
    assert [str(place.folder), os.devnull, str(place.log)] == [
        str(Path(f"/proc/{pid}/{name}").readlink()) for name in ("cwd", "fd/0", "fd/1")
    ]


@pytest.mark.parametrize(
    ("break_it", "sentence"),
    [
        ("import", "cannot be loaded: ModuleNotFoundError: No module named 'nothing'"),
        ("syntax", "cannot be loaded: SyntaxError:"),
        ("exit", "cannot be loaded: SystemExit: 3"),
        ("no ini", "there is no file"),
        ("value", "[server:main] threads = many: must be a whole number, 1 or more"),
        ("key", "has no setting 'thread'; did you mean 'threads'?"),
        ("section", "has no section [app:main]; it has [app:second]"),
        ("variable", "deploy.ini: "),
    ],
)
@pytest.mark.parametrize("mode", [("--daemon",), ()])
def test_a_failed_start_gives_the_reason(
    place: Place, mode: tuple[str, ...], break_it: str, sentence: str
) -> None:
    """In the background as in the foreground: one sentence, code 1, nothing left."""
    damage(place, break_it)

    code, output, errors = place.command(*mode, "deploy.ini")

    said = [line for line in errors.splitlines() if line.startswith("paster: ")]
    assert (1, "", 1) == (code, output, len(said))
    assert sentence in said[0]
    assert "Traceback" not in errors
    assert not place.pid_file.exists()


def damage(place: Place, how: str) -> None:
    """Spoil the application or its ini."""
    code, ini = place.module.read_text(), place.ini.read_text()
    codes = {"import": "import nothing", "syntax": "def", "exit": "raise SystemExit(3)"}
    inis = {
        "value": ("threads = 4", "threads = many"),
        "key": ("threads = 4", "thread = 4"),
        "section": ("app:main", "app:other:main"),
        "variable": ("port = 0", "port = %(nowhere)s"),
    }
    place.module.write_text(codes.get(how, "") + "\n" + code)
    if how == "section":
        place.ini.write_text(ini.replace("[app:main]", "[composite:x]"))
    elif how in inis:
        place.ini.write_text(ini.replace(*inis[how]))
    if how == "no ini":
        place.ini.unlink()


def test_verbose_shows_the_traceback(place: Place) -> None:
    """With -v the application's own frames follow the sentence."""
    place.module.write_text("import nothing\n")

    code, _, errors = place.command("--daemon", "-v", "deploy.ini")

    assert 1 == code
    assert 'served.py", line 1, in <module>\n    import nothing' in errors


@pytest.mark.parametrize("mode", [("--daemon",), ()])
def test_a_port_in_use_is_told(place: Place, mode: tuple[str, ...]) -> None:
    """The address, the reason and what to do, before the application is loaded."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        ini = place.ini.read_text()
        place.ini.write_text(ini.replace("port = 0", f"port = {port}"))
        place.module.write_text("import nothing\n")

        code, _, errors = place.command(*mode, "deploy.ini")

    assert 1 == code
    assert (
        f"paster: cannot listen on 127.0.0.1:{port}: the port is in use; stop the "
        "server that has it or give another port in [server:main] of deploy.ini"
    ) in errors


def test_a_start_that_hangs_is_given_up(place: Place) -> None:
    """After --start-timeout the server is stopped and the command says so."""
    place.module.write_text("import time\ntime.sleep(3600)\n")

    code, _, errors = place.command("--daemon", "--start-timeout", "1", "deploy.ini")

    assert 1 == code
    assert "did not answer within 1 s and was stopped" in errors
    assert not place.pid_file.exists()


def test_a_start_that_ignores_signals_is_killed(place: Place) -> None:
    """A loop that catches everything does not survive the start's deadline."""
    place.module.write_text(
        "import time\nwhile True:\n    try:\n        time.sleep(3600)\n"
        "    except BaseException:\n        pass\n"
    )

    code, _, _ = place.command("--daemon", "--start-timeout", "1", "deploy.ini")

    assert 1 == code
    assert start_time(place.pid()) is None
    assert 1 == place.command("--status")[0]


def test_a_start_that_dies_is_told(place: Place) -> None:
    """A server that crashes while it loads is no success."""
    place.module.write_text("import os\nos._exit(0)\n")

    code, _, errors = place.command("--daemon", "deploy.ini")

    assert 1 == code
    assert "the server died while it started" in errors


def test_a_second_start_is_refused(place: Place) -> None:
    """A pid file belongs to one living server."""
    place.daemon()
    pid = place.pid()

    daemon = place.command("--daemon", "deploy.ini")
    foreground = place.command("--pid-file", "paster.pid", "deploy.ini")

    assert [1, 1] == [daemon[0], foreground[0]]
    assert f"(pid {pid})" in daemon[2]
    assert f"(pid {pid})" in foreground[2]
    assert 0 == place.command("--status")[0]


def test_status_tells_what_runs(place: Place) -> None:
    """Release, folder, pid, uptime, requests in flight and addresses; code 0."""
    port = place.daemon()
    with Client(port) as client:
        client.send("/slow60")
        wait_for(lambda: place.ask()["in_flight"] == 1)
        code, output, errors = place.command("--status")

    assert (0, "") == (code, errors)
    assert [
        "running (serving)",
        f"release    {pointsman.__version__}, {place.ask()['tree']}",
        f"pid        {place.pid()}",
        "in flight  1",
        f"address    http://127.0.0.1:{port}",
    ] == [line for line in output.splitlines() if not line.startswith("uptime")]


def test_status_codes_of_what_does_not_run(place: Place) -> None:
    """3 without a pid file, 1 after kill -9, 4 when the file is no pid file."""
    never = place.command("--status")[0]
    place.daemon()
    os.kill(place.pid(), signal.SIGKILL)
    wait_for(lambda: start_time(place.pid()) is None)
    killed = place.command("--status")[0]
    place.pid_file.write_text("what?\n")
    nonsense = place.command("--status")[0]
    place.pid_file.unlink()

    assert [3, 1, 4] == [never, killed, nonsense]


def test_a_stale_pid_file_is_replaced(place: Place) -> None:
    """After kill -9 the next start needs no help, its socket neither."""
    place.daemon()
    former = place.pid()
    os.kill(former, signal.SIGKILL)
    wait_for(lambda: start_time(former) is None)

    place.daemon()

    assert former != place.pid()
    assert 0 == place.command("--stop-daemon")[0]
    assert ["deploy.ini", "paster.log", "served.py"] == sorted(
        path.name for path in place.folder.iterdir() if path.is_file()
    )


def test_a_recycled_pid_is_not_believed(place: Place) -> None:
    """A foreign process with the pid of the file is neither server nor target."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=-1) as foreign:
        place.pid_file.write_text(f"{foreign.pid}\n1\n")
        status_code = place.command("--status")[0]
        stop_code, _, errors = place.command("--stop-daemon")
        survived = foreign.poll() is None
        place.daemon()
        replaced = place.pid()
        foreign.kill()

    assert (1, 1, True) == (status_code, stop_code, survived)
    assert "is gone" in errors
    assert replaced != foreign.pid


def test_a_bare_pid_of_somebody_is_left_alone(place: Place) -> None:
    """Without a start time nobody knows who is meant: unknown, and not stopped."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=-1) as foreign:
        place.pid_file.write_text(f"{foreign.pid}\n")
        codes = [place.command(word)[0] for word in ("--status", "--stop-daemon")]
        survived = foreign.poll() is None
        foreign.kill()
    place.pid_file.unlink()

    assert ([4, 1], True) == (codes, survived)


def test_stop_without_a_server_is_no_success(place: Place) -> None:
    """There is nothing to stop, and the command says where it looked."""
    code, _, errors = place.command("--stop-daemon")

    assert 1 == code
    assert f"there is no pid file {place.pid_file}" in errors


def test_the_verbs_of_service_scripts(place: Place) -> None:
    """start, status, restart and stop do what --daemon and its friends do."""
    started = place.command("deploy.ini", "start")[0]
    first = place.pid()
    restarted = place.command("deploy.ini", "restart")[0]
    second = place.pid()
    shown = place.command("deploy.ini", "status")[0]
    stopped = place.command("deploy.ini", "stop")[0]
    gone = place.command("deploy.ini", "status")[0]

    assert [0, 0, 0, 0, 3] == [started, restarted, shown, stopped, gone]
    assert first != second


def test_the_pid_file_holds_pid_and_start_time(place: Place) -> None:
    """The first line is what other tools expect; the socket is private."""
    place.daemon()
    lines = place.pid_file.read_text().split()
    mode = (place.folder / "paster.pid.sock").stat().st_mode

    assert Identity(int(lines[0]), int(lines[1])).alive()
    assert "0o600" == oct(stat.S_IMODE(mode))


def test_a_long_folder_is_no_obstacle(place: Place) -> None:
    """Status works where a socket's path would have more than 107 bytes."""
    folder = place.folder / ("long" * 30) / ("longer" * 20)
    folder.mkdir(parents=True)
    place.pid_file = folder / "a.pid"
    place.daemon("--pid-file", str(place.pid_file), "deploy.ini")

    assert 0 == place.command("--status", "--pid-file", str(place.pid_file))[0]
    assert 0 == place.command("--stop-daemon", "--pid-file", str(place.pid_file))[0]


def test_the_log_is_opened_anew(place: Place) -> None:
    """After a rotation and SIGUSR1 the output goes to a new file."""
    place.daemon()
    rotated = place.log.rename(place.folder / "paster.log.1")
    os.kill(place.pid(), signal.SIGUSR1)
    wait_for(lambda: place.log.exists() and "opened anew" in place.log.read_text())
    before = rotated.read_text()
    place.command("--stop-daemon")

    assert before == rotated.read_text()
    assert "stopped, 0 requests cut" in place.log.read_text()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may become somebody else")
def test_root_binds_and_another_user_serves(place: Place) -> None:
    """With --user the application already runs without root's rights."""
    place.module.write_text(
        place.module.read_text().replace('VERSION = "one"', "import os\nVERSION = ")
        + "\n"
    )
    place.module.write_text(
        place.module.read_text().replace(
            "VERSION = \n", 'VERSION = f"{os.getuid()} {os.getgid()}"\n'
        )
    )
    let_everybody_in(place.folder)
    port = place.daemon("--user", "65534", "--group", "65534", "deploy.ini")

    assert b"hello 65534 65534" == get(port).body
    assert 0 == place.command("--stop-daemon")[0]
    assert 3 == place.command("--status")[0]
