"""What passes its rehearsal, then hangs in the serving process, blocks only itself."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

import pytest

from site_folder import get, outcomes, statuses
from waiting import wait_for

if TYPE_CHECKING:
    from pathlib import Path

    from site_folder import SiteFolder

GOOD = """
VERSION = {version}

def application(environ, start_response):
    start_response("200 OK", [])
    return [b"%d" % VERSION]
"""

#: Waits for a file, in the serving process only.
WAIT = """
import os, time
def wait():
    while os.getpid() == {pid} and not os.path.exists({release!r}):
        time.sleep(0.01)
"""

WHERE = {
    "at import": "wait()\n",
    "in __init__": """
from pointsman import Service
class Ask(Service):
    def __init__(self): wait()
    def handle(self, request): return "2"
""",
    "in check()": """
from pointsman import Service
class Ask(Service):
    def check(self): wait()
    def handle(self, request): return "2"
""",
    "in start()": """
from pointsman import Service
class Ask(Service):
    def start(self): wait()
    def handle(self, request): return "2"
""",
}


@pytest.fixture(name="release")
def _release(site: SiteFolder) -> Path:
    """Give the file that ends all waiting."""
    return site.folder / "release"


@pytest.mark.parametrize("where", WHERE)
def test_stuck(site: SiteFolder, release: Path, where: str) -> None:
    """It is named, the rest goes live, requests are answered; and it can come back."""
    for name in ("app", "other"):
        site.write(f"{name}.py", GOOD.format(version=1))
    host = site.host(rehearse="yes", staging_timeout="1")
    hangs = WAIT.format(pid=os.getpid(), release=str(release)) + WHERE[where]
    site.write("app.py", hangs)
    site.write("other.py", GOOD.format(version=2))
    over = threading.Event()
    wrong: list[str] = []
    answers = 0

    def client() -> None:
        nonlocal answers
        while not over.wait(0.005):
            for path, right in (("/app", "1"), ("/other", "12")):
                answer = get(host, path)
                answers += 1
                if answer.status != "200 OK" or answer.text not in right:
                    wrong.append(answer.text)

    thread = threading.Thread(target=client)
    thread.start()
    report = host.node.reload()
    over.set()
    thread.join()

    assert ("app",) == report.stuck
    assert {"app": "failed", "other": "updated"} == statuses(report)
    assert (
        "did not come back within 1 s in the serving process; it blocks only itself, "
        "until this process is restarted"
    ) == outcomes(report)["app"].reason
    assert [] == wrong
    assert answers
    assert ["1", "2"] == [get(host, path).text for path in ("/app", "/other")]

    site.write("app.py", GOOD.format(version=3))
    site.write("other.py", GOOD.format(version=3))
    report = host.node.reload()
    assert ("app",) == report.stuck
    assert {"app": "failed", "other": "updated"} == statuses(report)
    assert outcomes(report)["app"].reason.startswith("is stuck: an earlier load of it")
    assert ["1", "3"] == [get(host, path).text for path in ("/app", "/other")]

    release.touch()
    wait_for(lambda: not host.node.reload().stuck, "app comes back")
    assert {"app": "unchanged", "other": "unchanged"} == statuses(host.node.reload())
    assert ["3", "3"] == [get(host, path).text for path in ("/app", "/other")]


def test_stuck_in_what_it_imports(site: SiteFolder, release: Path) -> None:
    """The package whose code hangs is named, not the one that imports it."""
    site.write("app.py", GOOD.format(version=1))
    host = site.host(staging_timeout="0.5")
    hangs = WAIT.format(pid=os.getpid(), release=str(release)) + "wait()\n"
    site.write("shared.py", hangs)
    site.write("app.py", "import shared\n" + GOOD.format(version=2))
    report = host.node.reload()

    assert ("shared",) == report.stuck
    assert "failed" == statuses(report)["shared"]
    assert "1" == get(host, "/app").text
    release.touch()
    wait_for(lambda: not host.node.reload().stuck, "shared comes back")
    host.node.reload()
    assert "2" == get(host, "/app").text


def test_stuck_at_the_first_start(site: SiteFolder, release: Path) -> None:
    """A host starts beside a package that hangs, and serves the others."""
    hangs = WAIT.format(pid=os.getpid(), release=str(release)) + "wait()\n"
    site.write("app.py", hangs)
    site.write("other.py", GOOD.format(version=1))
    host = site.host(staging_timeout="0.5")

    assert host.node.last is not None
    assert ("app",) == host.node.last.stuck
    assert "1" == get(host, "/other").text
    release.touch()
    wait_for(lambda: not host.node.reload().stuck, "app comes back")
