"""The process that forks rehearsals: it comes back, and never outlives its server."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from site_folder import get, outcomes, statuses
from waiting import wait_for

if TYPE_CHECKING:
    from site_folder import SiteFolder

GOOD = """
VERSION = {version}

def application(environ, start_response):
    start_response("200 OK", [])
    return [b"%d" % VERSION]
"""


def helpers(pid: int | str = "self") -> list[int]:
    """Return the helpers that a process has started."""
    found = []
    for child in children(pid):
        command = Path(f"/proc/{child}/cmdline")
        if command.exists() and b"pointsman.rehearsal" in command.read_bytes():
            found.append(child)
    return found


def children(pid: int | str) -> list[int]:
    """Return the children of all threads of a process."""
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for task in tasks for child in task.read_text().split()]


def alive(pid: int) -> bool:
    """Tell whether a process runs; one that only waits to be collected does not."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] not in "ZX"


def test_a_helper_that_was_killed(site: SiteFolder) -> None:
    """The next reload starts a new helper."""
    site.write("app.py", GOOD.format(version=1))
    host = site.host(rehearse="yes")
    (first,) = helpers()
    os.kill(first, signal.SIGKILL)
    site.write("app.py", GOOD.format(version=2))
    assert {"app": "updated"} == statuses(host.node.reload())
    (second,) = helpers()

    assert first != second
    assert "2" == get(host, "/app").text
    site.close()
    assert [] == helpers()


def test_a_helper_that_is_killed_while_it_rehearses(site: SiteFolder) -> None:
    """A reload whose helper dies half-way tries again with a new one."""
    site.write("app.py", GOOD.format(version=1))
    host = site.host(rehearse="yes")
    (first,) = helpers()
    slow = f"""
import os, time
if os.getpid() != {os.getpid()} and not os.path.exists({str(site.folder / "begun")!r}):
    open({str(site.folder / "begun")!r}, "w").close()
    time.sleep(60)
"""
    site.write("app.py", slow + GOOD.format(version=2))
    reports = []
    reload = threading.Thread(target=lambda: reports.append(host.node.reload()))
    reload.start()
    wait_for((site.folder / "begun").exists, "the rehearsal begins")
    (rehearsing,) = children(first)
    os.kill(first, signal.SIGKILL)
    reload.join()

    assert {"app": "updated"} == statuses(reports[0])
    assert "2" == get(host, "/app").text
    wait_for(lambda: not alive(rehearsing), "the rehearsal ends")


def test_a_package_that_kills_the_helper(site: SiteFolder) -> None:
    """Code that ends the helper is refused, whatever it ends; the server goes on."""
    site.write("app.py", GOOD.format(version=1))
    host = site.host(rehearse="yes")
    source = f"import os\nif os.getpid() != {os.getpid()}: os.kill(os.getppid(), 9)\n"
    site.write("app.py", source)
    report = host.node.reload()

    assert {"app": "failed"} == statuses(report)
    assert "helper" in outcomes(report)["app"].reason
    assert "1" == get(host, "/app").text
    site.write("app.py", GOOD.format(version=2))
    assert {"app": "updated"} == statuses(host.node.reload())


def test_a_library_that_starts_threads(site: SiteFolder) -> None:
    """A library of the host that makes threads is not imported ahead."""
    (site.folder / "library").mkdir()
    (site.folder / "library" / "starts_threads.py").write_text(
        "import threading\n"
        "stop = threading.Event()\n"
        "thread = threading.Thread(target=stop.wait, daemon=True)\n"
        "thread.start()\n"
    )
    site.write("app.py", "import starts_threads\n" + GOOD.format(version=1))
    host = site.host(rehearse="yes", extra_paths="library")
    seen = []
    for version in range(2, 6):
        source = "import starts_threads\n" + GOOD.format(version=version)
        site.write("app.py", source)
        assert {"app": "updated"} == statuses(host.node.reload())
        seen += helpers()
    library = sys.modules.pop("starts_threads")
    library.stop.set()
    library.thread.join()

    assert 1 == len(set(seen[1:]))


def script(site: SiteFolder, source: str) -> subprocess.Popen[str]:
    """Start a process that serves the folder, and runs ``source``."""
    start = f"""
import os, sys, time, signal
sys.path[:] = {sys.path!r}
import warnings
warnings.simplefilter("ignore")
from pointsman.wsgi import app_factory
from pathlib import Path
host = app_factory({{}}, service_sources={str(site.list)!r}, keep_warm="0",
                   work_dir={str(site.folder / "var")!r})
def helper():
    found = []
    for task in Path("/proc/self/task").glob("*/children"):
        for pid in task.read_text().split():
            if b"pointsman.rehearsal" in Path(f"/proc/{{pid}}/cmdline").read_bytes():
                found.append(int(pid))
    return found
def touched(version):
    Path({str(site.services)!r}, "app.py").write_text(f"VERSION = {{version}}\\n")
    return host.node.reload().outcomes[0].status
""" + textwrap.dedent(source)
    return subprocess.Popen(
        [sys.executable, "-c", start], stdout=subprocess.PIPE, text=True
    )


def test_a_server_that_forks(site: SiteFolder) -> None:
    """After a fork each side has a helper of its own, and neither ends the other's."""
    site.write("app.py", "VERSION = 0\n")
    process = script(
        site,
        """
        parents = helper()
        pid = os.fork()
        if not pid:
            print("child", [], helper(), flush=True)
            print("child", touched(1), len(helper()), flush=True)
            host.node.close()
            print("child", len(helper()), flush=True)
            os._exit(0)
        os.waitpid(pid, 0)
        print("parent", parents == helper(), touched(2), flush=True)
        print("parent", parents == helper(), flush=True)
        host.node.close()
        print("parent", helper(), flush=True)
        """,
    )
    told, _ = process.communicate(timeout=60)

    assert [
        "child [] []",
        "child updated 1",
        "child 0",
        "parent True updated",
        "parent True",
        "parent []",
    ] == told.splitlines()


def test_a_server_that_is_killed(site: SiteFolder) -> None:
    """Helper and rehearsals end when the server is killed, also half-way."""
    site.write("app.py", "VERSION = 0\n")
    begun = site.folder / "begun"
    process = script(
        site,
        f"""
        me = os.getpid()
        print(helper()[0], flush=True)
        Path({str(site.services)!r}, "app.py").write_text(
            f"import os, time\\n"
            f"if os.getpid() != {{me}}:\\n"
            f"    print(os.getpid(), file=open({str(begun)!r}, 'w'), flush=True)\\n"
            f"    time.sleep(60)\\n"
        )
        host.node.reload()
        """,
    )
    assert process.stdout is not None
    helper = int(process.stdout.readline())
    text = wait_for(lambda: begun.exists() and begun.read_text(), "it begins")
    rehearsing = int(text)
    process.kill()
    process.wait()
    process.stdout.close()

    wait_for(lambda: not alive(helper), "the helper is gone")
    wait_for(lambda: not alive(rehearsing), "the rehearsal is gone")


def test_a_server_that_is_killed_while_idle(site: SiteFolder) -> None:
    """An idle helper ends with its server."""
    site.write("app.py", "VERSION = 0\n")
    process = script(site, "print(helper()[0], flush=True)\ntime.sleep(60)\n")
    assert process.stdout is not None
    helper = int(process.stdout.readline())
    process.kill()
    process.wait()
    process.stdout.close()

    wait_for(lambda: not alive(helper), "the helper is gone")
