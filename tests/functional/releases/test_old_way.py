"""Releasing by hand, as it was always done: every command as it is typed."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest

from functional.releases.machine import Machine, free_port
from functional.releases.project import bare_python
from pointsman.cli.init import make

if TYPE_CHECKING:
    from pathlib import Path

BUILD = """
tar xzf mysite-1.0.1.tar.gz
cd mysite-1.0.1
python bootstrap.py
bin/buildout -c deploy.cfg
bin/test
"""
SERVE = """
cd mysite-1.0.1
bin/paster serve --daemon deploy.ini
bin/paster serve --status deploy.ini
curl -fsS http://127.0.0.1:PORT/hello > ../answer.json
bin/paster serve --stop-daemon
test ! -e paster.pid
"""
REMOVE = "rm -r mysite-1.0.1"
RELEASE = "mysite-site/releases/mysite-1.0.1"


@pytest.fixture(name="port")
def _port() -> int:
    return free_port()


@pytest.fixture(name="archive")
def _archive(pointsman: Machine, port: int, tmp_path: Path) -> Path:
    """Give the machine the release archive of a site, as sdist makes it."""
    project = tmp_path / "mysite"
    make(project)
    for name, old, new in (
        ("setup.py", 'version="1.0.0"', 'version="1.0.1"'),
        ("deploy.ini", "port = 8080", f"port = {port}"),
    ):
        text = (project / name).read_text()
        assert old in text
        (project / name).write_text(text.replace(old, new))
    done = bare_python(project, "setup.py", "-q", "sdist")
    assert 0 == done.returncode, done.stderr
    archive = project / "dist" / "mysite-1.0.1.tar.gz"
    return archive.rename(pointsman.work / archive.name)


def test_unpacked_built_tested_served_stopped_removed(
    pointsman: Machine, archive: Path, port: int
) -> None:
    """The version is seen in its path, and nothing of value is lost with the folder."""
    built = pointsman.run(BUILD)
    served = pointsman.run(SERVE.replace("PORT", str(port)))
    pointsman.run(REMOVE)

    assert "2 passed" in built
    assert re.search(r"^running \(serving\)$", served, re.MULTILINE)
    assert f"http://127.0.0.1:{port}" in served
    assert {"hello": "world"} == json.loads(
        (archive.parent / "answer.json").read_text()
    )
    assert "has ended, no request was cut" in served
    assert not (archive.parent / "mysite-1.0.1").exists()
    # What `bin/buildout -c deploy.cfg` has made needs nothing of it.
    tree = archive.parent / RELEASE
    assert "mysite" in pointsman.run(
        f"{tree}/bin/pointsman check {tree}/etc/deploy.ini"
    )
