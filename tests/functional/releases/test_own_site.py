"""What deploy.cfg builds of this checkout: it serves, by each of its rendered files."""

from __future__ import annotations

import logging
import signal
import socket
import subprocess
import sys
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING

import pytest

from functional.releases.own_site import BARE, OwnSite
from recipes.buildouts import CHECKOUT
from system_packages import require
from waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

UNITS = ("site.service", "site.socket")
HTTPD = """
ServerName localhost
Listen 127.0.0.1:$PORT
PidFile $FOLDER/apache.pid
Mutex file:$FOLDER default
ErrorLog $FOLDER/error.log
LogLevel warn
LoadModule mpm_event_module $MODULES/mod_mpm_event.so
LoadModule authz_core_module $MODULES/mod_authz_core.so
LoadModule wsgi_module $MODULES/$WSGI
User www-data
Group www-data
WSGISocketPrefix $FOLDER/wsgi
Include $CONF
"""


@pytest.fixture(name="built", scope="module")
def _built() -> Iterator[OwnSite]:
    """Give a site with two releases, of which the first is committed."""
    site = OwnSite()
    try:
        site.store.commit(site.build("1.0"))
        site.build("1.1")
        yield site
    finally:
        site.close()


@pytest.fixture(name="own")
def _own(built: OwnSite) -> Iterator[OwnSite]:
    """Give the site; what a test starts is dead before the next one."""
    yield built
    built.kill()


def verified(*files: Path) -> str:
    """Return what systemd has to say against units."""
    analyze = require("systemd-analyze", "systemd")
    done = subprocess.run(
        [analyze, "verify", *files], capture_output=True, text=True, check=False
    )
    return done.stdout + done.stderr


def test_the_source_folder_is_not_needed(own: OwnSite) -> None:
    """No file of a release names the folder that it was built in, nor its Python."""
    names = [str(CHECKOUT).encode(), sys.prefix.encode()]
    found = [
        str(path.relative_to(own.root))
        for path in own.tree("1.0").rglob("*")
        if path.is_file() and any(name in path.read_bytes() for name in names)
    ]

    assert [] == found


def test_equal_files_take_their_place_once(own: OwnSite) -> None:
    """A second release of the same eggs takes less than 5 MB of new disk."""
    new = [path for path in own.tree("1.1").rglob("*") if path.lstat().st_nlink == 1]
    folders = [path for path in own.tree("1.1").rglob("*") if path.is_dir()]
    used = sum(path.lstat().st_blocks * 512 for path in {*new, *folders})

    assert 5_000_000 > used


def test_systemd_likes_the_units(own: OwnSite, tmp_path: Path) -> None:
    """systemd-analyze finds nothing; where a key is misspelt it finds that."""
    assert "" == verified(*(own.etc("1.0", name) for name in UNITS))

    for name in UNITS:
        text = own.etc("1.0", name).read_text()
        (tmp_path / name).write_text(text.replace("KillMode", "KillMoode"))
    assert "Unknown key 'KillMoode'" in verified(*map(tmp_path.joinpath, UNITS))


def test_units_name_no_release(own: OwnSite) -> None:
    """What is installed once starts bin/start, and is right for all releases."""
    texts = [own.etc("1.0", name).read_text() for name in UNITS]
    others = [own.etc("1.1", name).read_text() for name in UNITS]

    assert [False, False] == ["releases/" in text for text in texts]
    assert f"\nExecStart={own.root}/bin/start\n" in texts[0]
    assert texts == others


def test_systemd_starts_it_with_its_socket(own: OwnSite, tmp_path: Path) -> None:
    """Started at the first connection, it answers that one, says READY and STOPPING."""
    activate = require("systemd-socket-activate", "systemd")
    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notified,
        (tmp_path / "log").open("w") as log,
    ):
        address = own.root / "shared" / "var" / "notify"
        notified.bind(str(address))
        address.chmod(0o777)
        notified.settimeout(60)
        process = subprocess.Popen(
            [
                *(activate, "--fdname=http", "-l", f"127.0.0.1:{own.port}"),
                *(f"--setenv=NOTIFY_SOCKET={address}", own.root / "bin" / "start"),
            ],
            env=BARE,
            stdin=subprocess.DEVNULL,
            stderr=log,
        )
        try:
            wait_for(lambda: listens(own.port), "systemd listens")
            answer = own.get("/customers/1")
            said = notified.recv(4096)
            assert ("Ada Lind" in answer, True) == (True, said.startswith(b"READY=1"))
            assert process.pid == own.recorded()
            process.send_signal(signal.SIGTERM)
            assert b"STOPPING=1" in notified.recv(4096)
        finally:
            process.send_signal(signal.SIGTERM)
            code = process.wait(60)
            address.unlink()

    assert 0 == code, (tmp_path / "log").read_text()


def listens(port: int) -> bool:
    """Tell whether somebody listens, without connecting."""
    line = f"0100007F:{port:04X} 00000000:0000 0A"
    return line in Path("/proc/net/tcp").read_text()


def test_after_a_reboot_the_committed_release_serves(own: OwnSite) -> None:
    """Everything is killed: bin/start serves what was committed, from its real path.

    A newer release that nobody committed is there, too.  Without the lines of bin/start
    that read `current`, the test fails: it names no release.
    """
    first = own.start("--daemon")
    before = own.status()
    own.kill()
    own.start("--daemon")
    after = own.status()

    assert f"127.0.0.1:{own.port}" in first
    assert before["pid"] != after["pid"]
    assert str(own.tree("1.0") / "lib") == before["tree"] == after["tree"]
    assert "Ada Lind" in own.get("/customers/1")
    assert "has ended" in own.start("stop")


def test_it_serves_as_the_owner_of_what_is_shared(own: OwnSite) -> None:
    """As root, bin/start serves as the user that the site was built for."""
    own.start("--daemon")
    ledger = own.root / "shared" / "var" / "ledger.sqlite"

    assert {(own.root / "shared" / "var").stat().st_uid} == {
        Path(f"/proc/{own.recorded()}").stat().st_uid,
        ledger.stat().st_uid,
    }


def test_local_settings_win_and_nothing_rendered_is_edited(own: OwnSite) -> None:
    """A number of threads in shared/etc/local.ini counts; a typo in it is told."""
    local = own.root / "shared" / "etc" / "local.ini"
    former = local.read_text()
    try:
        local.write_text("[server:main]\nident = mine\n")
        own.start("--daemon")
        with socket.create_connection(("127.0.0.1", own.port)) as line:
            line.sendall(b"GET /customers/1 HTTP/1.0\r\n\r\n")
            headers = line.makefile("rb").read()
        own.start("stop")
        local.write_text("[server:main]\nthread = 5\n")
        with pytest.raises(AssertionError, match=rf"{local}: .*no setting 'thread'"):
            own.start("--daemon")
    finally:
        local.write_text(former)

    assert b"\r\nServer: mine\r\n" in headers
    assert () == own.store.verify(own.store.find("1.0"))


def test_logrotate_makes_it_open_a_new_log(own: OwnSite, tmp_path: Path) -> None:
    """After a rotation what the server writes goes into the new file."""
    logrotate = require("/usr/sbin/logrotate", "logrotate")
    own.start("--daemon")
    log = own.root / "shared" / "log" / "paster.log"
    former = log.stat().st_ino
    conf = tmp_path / "logrotate.conf"
    conf.write_text(own.etc("1.0", "logrotate.conf").read_text())
    conf.chmod(0o644)
    subprocess.run(
        [logrotate, "--force", "--state", tmp_path / "state", conf], check=True
    )
    wait_for(lambda: log.exists() and log.stat().st_ino != former, "a new log")
    own.start("stop")

    assert "stopped, 0 requests cut" in log.read_text()
    assert former == log.with_name("paster.log.1").stat().st_ino


def test_apache_serves_it(own: OwnSite) -> None:
    """The rendered site and app.wsgi serve the release, locked, from its real path."""
    minor = sys.version_info[1]
    modules = Path("/usr/lib/apache2/modules")
    wsgi = require(str(modules / f"mod_wsgi.so-3.{minor}"), "libapache2-mod-wsgi-py3")
    folder = own.top / "apache"
    folder.mkdir()
    conf = folder / "httpd.conf"
    known = {"FOLDER": folder, "PORT": own.apache_port, "MODULES": modules}
    known |= {"WSGI": Path(wsgi).name, "CONF": own.etc("1.0", "apache.conf")}
    conf.write_text(Template(HTTPD).substitute(known))
    apache = require("/usr/sbin/apache2", "apache2-bin")
    process = subprocess.Popen([apache, "-f", conf, "-DFOREGROUND"], env=BARE)
    try:
        wait_for(lambda: listens(own.apache_port), "Apache listens")
        answer = own.get("/customers/1", own.apache_port)
        users = {one.release.version: len(one.pids) for one in own.store.releases()}
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)

    assert "Ada Lind" in answer, (folder / "error.log").read_text()
    assert (2, 0) <= (users["1.0"], users["1.1"])
    assert 0 == users["1.1"]


def test_the_rendered_zeo_conf_is_one(
    own: OwnSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ZEO reads it as its own; the data lie in what the releases share."""
    from ZEO.runzeo import ZEOOptions

    # It sets up logging as it reads.
    monkeypatch.setattr(logging.root, "handlers", [])
    monkeypatch.setattr(logging.root, "level", logging.root.level)
    options = ZEOOptions()
    options.realize(["-C", str(own.etc("1.0", "zeo.conf"))], doc="")
    for handler in logging.root.handlers:
        handler.close()
    (storage,) = options.storages

    assert str(own.root / "shared" / "var" / "Data.fs") == storage.config.path
    assert str(own.root / "shared" / "var" / "zeo.sock") == options.address


def test_the_environment_of_the_starter_does_not_matter(own: OwnSite) -> None:
    """A script of a tree imports what lies in it, whatever PYTHONPATH says."""
    trap = own.top / "trap"
    trap.mkdir()
    (trap / "pointsman.py").write_text("raise SystemExit('the wrong one')")
    said = subprocess.run(
        [own.tree("1.0") / "bin" / "pointsman", "--version"],
        cwd=trap,
        env={**BARE, "PYTHONPATH": str(trap), "PYTHONWARNINGS": "error"},
        capture_output=True,
        text=True,
        check=True,
    )

    assert ("", True) == (said.stderr, said.stdout.startswith("pointsman"))
