"""New code that breaks breaks in its rehearsal; everything else goes on.

Mutations that were tried, and fail tests here: the digest of what is laid out not
compared; what a rehearsal leaves behind not killed; the child's memory not limited;
its end told by the connection alone, which its own children may hold.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from site_folder import get, outcomes, statuses
from waiting import wait_for

if TYPE_CHECKING:
    from pointsman.model import Outcome
    from pointsman.wsgi import Host
    from site_folder import SiteFolder

GOOD = """
VERSION = {version}

def application(environ, start_response):
    start_response("200 OK", [])
    return [b"%d" % VERSION]
"""

LATE = "did not come to an end within 1 s"

#: What the module does at import; what the report says; a line of the traceback.
BAD = {
    "a syntax error": (
        "def broken(:\n    pass\n",
        "failed while it was imported: SyntaxError: invalid syntax",
        "def broken(:",
    ),
    "bytes that are no text": (
        "text = '\0'\n",
        (
            "failed while it was imported: SyntaxError: source code string cannot "
            "contain null bytes ({services}/app.py)"
        ),
        "SyntaxError",
    ),
    "an exception": (
        "def deep():\n    raise ValueError('not\\ntoday')\ndeep()\n",
        "failed while it was imported: ValueError: not\ntoday",
        "line 2, in deep",
    ),
    "a missing module": (
        "import nowhere_at_all\n",
        (
            "failed while it was imported: ModuleNotFoundError: No module named "
            "'nowhere_at_all'"
        ),
        "line 1, in <module>",
    ),
    "sys.exit()": (
        "import sys\nsys.exit()\n",
        "failed while it was imported: SystemExit",
        "line 2, in <module>",
    ),
    "sys.exit(text)": (
        "import sys\nsys.exit('enough')\n",
        "failed while it was imported: SystemExit: enough",
        "line 2, in <module>",
    ),
    "KeyboardInterrupt": (
        "raise KeyboardInterrupt\n",
        "failed while it was imported: KeyboardInterrupt",
        "line 1, in <module>",
    ),
    "GeneratorExit": (
        "raise GeneratorExit\n",
        "failed while it was imported: GeneratorExit",
        "line 1, in <module>",
    ),
    "endless recursion": (
        "def deeper():\n    deeper()\ndeeper()\n",
        (
            "failed while it was imported: RecursionError: maximum recursion depth "
            "exceeded"
        ),
        "line 2, in deeper",
    ),
    "an endless loop": ("while True:\n    pass\n", LATE, "line "),
    "a sleep": ("import time\ntime.sleep(60)\n", LATE, "line 2 in <module>"),
    "a hang in C": (
        "import ctypes\nwhile True:\n    ctypes.CDLL(None).pause()\n",
        LATE,
        "line 3 in <module>",
    ),
    "a hang in C that holds the interpreter": (
        "import ctypes\nctypes.PyDLL(None).sleep(60)\n",
        LATE,
        "line 2 in <module>",
    ),
    "a wait that ignores signals": (
        (
            "import signal, time\n"
            "for n in (1, 2, 10, 12, 15):\n    signal.signal(n, signal.SIG_IGN)\n"
            "while True:\n    time.sleep(1)\n"
        ),
        LATE,
        "",
    ),
    "os._exit(0)": (
        "import os\nos._exit(0)\n",
        "ended its process with the exit status 0",
        "",
    ),
    "os._exit(7)": (
        "import os\nprint('about to go')\nos._exit(7)\n",
        "ended its process with the exit status 7",
        "about to go",
    ),
    "a segfault": (
        "import ctypes\nctypes.string_at(0)\n",
        "ended its process by SIGSEGV",
        "line 2 in <module>",
    ),
    "os.abort": (
        "import os\nos.abort()\n",
        "ended its process by SIGABRT",
        "line 2 in <module>",
    ),
    "a signal": (
        "import os, signal\nos.kill(os.getpid(), signal.SIGTERM)\nwhile True: pass\n",
        "ended its process by SIGTERM",
        "",
    ),
    "2 GB at import": (
        "block = bytearray(2 * 1024**3)\n",
        "failed while it was imported: MemoryError",
        "line 1, in <module>",
    ),
    "all files closed": (
        "import os, time\nos.closerange(3, 256)\ntime.sleep(60)\n",
        "closed the files of its process, or hung while it ended",
        "",
    ),
    "a service that cannot be made": (
        (
            "from pointsman import Service\nclass Ask(Service):\n"
            "    def __init__(self):\n        raise OSError('no such disk')\n"
            "    def handle(self, request): pass\n"
        ),
        "failed while its services were made: OSError: no such disk",
        "line 4, in __init__",
    ),
    "check()": (
        (
            "from pointsman import Service\nclass Ask(Service):\n"
            "    def check(self):\n        raise ValueError('not today')\n"
            "    def handle(self, request): pass\n"
        ),
        "was refused by its own check(): ValueError: not today",
        "line 4, in check",
    ),
    "an application that is none": (
        "application = 5\n",
        (
            "its application is int, which cannot be called; give a WSGI application "
            "(PEP 3333)"
        ),
        "",
    ),
    "more output than anybody reads": (
        "while True:\n    print('x' * 100000)\n",
        (
            "failed while it was imported: PermissionError: [Errno 1] Operation not "
            "permitted"
        ),
        "line 2, in <module>",
    ),
}


@pytest.fixture(name="host")
def _host(site: SiteFolder) -> Host:
    """Give a host that serves version 1 of two packages, with rehearsal."""
    for name in ("app", "other"):
        site.write(f"{name}.py", GOOD.format(version=1))
    host = site.host(rehearse="yes", staging_timeout="1")
    assert ["1", "1"] == [get(host, path).text for path in ("/app", "/other")]
    return host


def refused(site: SiteFolder, host: Host, source: str) -> Outcome:
    """Reload a bad app beside a good other; return what is told of app."""
    site.write("app.py", source)
    site.write("other.py", GOOD.format(version=2))
    report = host.node.reload()

    told = statuses(report)
    assert ("failed", "updated") == (told["app"], told["other"])
    assert () == report.stuck
    assert ["1", "2"] == [get(host, path).text for path in ("/app", "/other")]
    return outcomes(report)["app"]


@pytest.mark.parametrize("what", BAD)
def test_bad_code(site: SiteFolder, host: Host, what: str) -> None:
    """The reason is exact, the traceback is the author's, the rest goes live."""
    source, reason, line = BAD[what]
    told = refused(site, host, source)

    assert reason.format(services=site.services) == told.reason
    assert line in told.traceback
    if "line" in line:
        assert f'"{site.services}/app.py"' in told.traceback
    assert "/run/" not in told.traceback
    assert "/pointsman/" not in told.traceback
    site.write("app.py", GOOD.format(version=3))
    assert {"app": "updated", "other": "unchanged"} == statuses(host.node.reload())
    assert "3" == get(host, "/app").text


def test_at_the_first_start(site: SiteFolder) -> None:
    """What is bad from the start is left out and told; the rest is served."""
    site.write("app.py", "import os\nos._exit(3)\n")
    site.write("other.py", GOOD.format(version=1))
    host = site.host(rehearse="yes", staging_timeout="1")
    report = host.node.last

    assert report is not None
    assert {"app": "failed", "other": "added"} == statuses(report)
    assert "404 Not Found" == get(host, "/app").status
    assert "1" == get(host, "/other").text


def test_several_bad_ones(site: SiteFolder, host: Host) -> None:
    """Each of several bad packages has its own reason, in one reload."""
    bad = {
        "app": "import os\nos._exit(1)\n",
        "bus": "import ctypes\nctypes.string_at(0)\n",
        "cat": "raise ValueError('cat')\n",
        "dog": "while True: pass\n",
        "eel": "import sys\nsys.exit(2)\n",
    }
    for name, source in bad.items():
        site.write(f"{name}.py", source)
    site.write("other.py", GOOD.format(version=2))
    site.write("zoo.py", GOOD.format(version=2))
    report = host.node.reload()

    told = {o.package: o.reason for o in report.outcomes if o.status == "failed"}
    assert {
        "app": "ended its process with the exit status 1",
        "bus": "ended its process by SIGSEGV",
        "cat": "failed while it was imported: ValueError: cat",
        "dog": LATE,
        "eel": "failed while it was imported: SystemExit: 2",
    } == told
    assert ["1", "2", "2"] == [get(host, p).text for p in ("/app", "/other", "/zoo")]


def test_what_was_printed(site: SiteFolder, host: Host) -> None:
    """What a failing module prints is told; what others print is not."""
    site.write("aaa.py", "print('from aaa')\n")
    told = refused(
        site,
        host,
        (
            "import os, sys\nprint('to stdout')\nsys.stderr.write('to stderr\\n')\n"
            "os.write(1, b'below\\n')\nos.system('echo by a child')\nraise ValueError\n"
        ),
    )

    for line in ("to stdout", "to stderr", "below", "by a child"):
        assert line in told.traceback
    assert "from aaa" not in told.traceback


def test_what_was_printed_before_a_crash(site: SiteFolder, host: Host) -> None:
    """What a module prints before it ends the process is told as well."""
    site.write("aaa.py", "print('from aaa')\n")
    told = refused(site, host, "import os\nprint('last words')\nos._exit(1)\n")

    assert "last words" in told.traceback
    assert "from aaa" not in told.traceback


def test_nothing_is_printed_by_the_server(
    site: SiteFolder, host: Host, capfd: pytest.CaptureFixture[str]
) -> None:
    """What code prints in its rehearsal is printed nowhere else."""
    capfd.readouterr()
    refused(site, host, "print('only in the rehearsal')\nraise ValueError\n")

    assert "only in the rehearsal" not in capfd.readouterr().out


CHILDREN = {
    "": "",
    "raise ValueError\n": "failed while it was imported: ValueError",
    "os._exit(1)\n": "ended its process with the exit status 1",
}


@pytest.mark.parametrize("ending", CHILDREN)
@pytest.mark.parametrize("session", ["", "os.setsid()"])
def test_children_left_behind_are_killed(
    site: SiteFolder, host: Host, ending: str, session: str
) -> None:
    """Processes that code starts in its rehearsal end with the rehearsal."""
    pids = site.folder / "pids"
    source = f"""
import os, time
if os.getpid() != {os.getpid()}:
    for _ in range(3):
        if not os.fork():
            {session or "pass"}
            os.fork()
            with open({str(pids)!r}, "a") as file:
                file.write(f"{{os.getpid()}}\\n")
            time.sleep(60)
            os._exit(0)
    while True:
        time.sleep(0.01)
        try:
            if len(open({str(pids)!r}).readlines()) == 6:
                break
        except FileNotFoundError:
            pass
{ending or GOOD.format(version=2)}
"""
    site.write("app.py", source)
    report = host.node.reload()
    started = [int(line) for line in pids.read_text().split()]

    assert CHILDREN[ending] == outcomes(report)["app"].reason
    assert 6 == len(started)
    wait_for(
        lambda: not any(Path(f"/proc/{pid}").exists() for pid in started),
        "the children are gone",
    )


def test_a_module_of_a_package(site: SiteFolder, host: Host) -> None:
    """The traceback of a package leads through the author's files, imports too."""
    site.list.write_text("./services\ncrm.web\n")
    site.write("crm/web.py", "from crm import models\n")
    site.write("crm/models.py", "import money\n\nmoney.parse('x')\n")
    site.write("money.py", "def parse(text):\n    return int(text)\n")
    told = outcomes(host.node.reload())["crm"]

    assert "invalid literal for int()" in told.reason
    assert f'"{site.services}/crm/web.py", line 1' in told.traceback
    assert f'"{site.services}/crm/models.py", line 3' in told.traceback
    assert f'"{site.services}/money.py", line 2, in parse' in told.traceback
    assert "/run/" not in told.traceback


def test_a_chain_of_exceptions(site: SiteFolder, host: Host) -> None:
    """Causes are told too, without frames that are not the author's."""
    told = refused(
        site,
        host,
        "import importlib\n"
        "try:\n    importlib.import_module('nowhere_at_all')\n"
        "except ImportError as error:\n"
        "    raise RuntimeError('no driver') from error\n",
    )

    assert "failed while it was imported: RuntimeError: no driver" == told.reason
    assert "No module named 'nowhere_at_all'" in told.traceback
    assert "direct cause" in told.traceback
    assert "frozen importlib" not in told.traceback


def test_a_dependent_that_breaks(site: SiteFolder, host: Host) -> None:
    """A shared module that hangs what imports it is taken back."""
    site.write("shared.py", "hang = False\n")
    site.write("app.py", "import shared, time\nif shared.hang: time.sleep(60)\n")
    assert "added" == statuses(host.node.reload())["shared"]
    site.write("shared.py", "hang = True\n")
    site.write("other.py", GOOD.format(version=2))
    report = host.node.reload()

    assert {"app": "unchanged", "other": "updated", "shared": "failed"} == statuses(
        report
    )
    assert outcomes(report)["shared"].reason.endswith(LATE)
    assert "app, which imports it" in outcomes(report)["shared"].reason


def test_a_file_that_somebody_changed(site: SiteFolder, host: Host) -> None:
    """What is laid out is compared with what was deployed before it is run."""
    site.write("shared.py", "VERSION = 1\n")
    host.node.reload()
    (laid_out,) = (site.folder / "var" / "run").glob("*/shared@*/shared.py")
    laid_out.write_text("VERSION = 'by hand'\n")
    site.write("app.py", "import shared\n" + GOOD.format(version=2))
    told = outcomes(host.node.reload())["app"]

    assert "is not what was laid out there; something has changed it" in told.reason
    assert "1" == get(host, "/app").text


def test_memory_is_limited_by_the_setting(site: SiteFolder) -> None:
    """``rehearse_memory_mb`` is what new code may take; 0 is no limit."""
    site.write("app.py", "block = bytearray(300 * 1024**2)\n" + GOOD.format(version=1))
    small = site.host(rehearse="yes", rehearse_memory_mb="100")
    assert "failed" == statuses(small.node.reload())["app"]
    site.close()
    large = site.host(rehearse="yes", rehearse_memory_mb="0")

    assert "unchanged" == statuses(large.node.reload())["app"]


def test_without_rehearsal(site: SiteFolder) -> None:
    """``rehearse = no`` still refuses what raises, whatever it raises."""
    site.write("app.py", GOOD.format(version=1))
    host = site.host()
    for source, told in (
        ("def broken(:\n", "SyntaxError"),
        ("import sys\nsys.exit(1)\n", "SystemExit: 1"),
        ("raise KeyboardInterrupt\n", "KeyboardInterrupt"),
    ):
        site.write("app.py", source)
        assert told in outcomes(host.node.reload())["app"].reason
        assert "1" == get(host, "/app").text
