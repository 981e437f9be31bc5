"""Activating releases that a real ``paster serve`` serves, by the command line."""

from __future__ import annotations

import os
import pwd
import signal
import socket
import subprocess
import sys
import tempfile
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from functional.releases.paster_site import PasterSite, document
from functional.serving.hammer import Client, Hammer, LostError
from pointsman.cli.served import Paster
from pointsman.errors import ReleaseError
from pointsman.releases.activation import Activation
from pointsman.releases.layout import Release
from pointsman.serving import pidfile
from waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

SYSTEM = "/usr/bin/python3"  # which every user can start
ONE, TWO = Release("site", "1.0"), Release("site", "2.0")


@pytest.fixture(name="empty")
def _empty() -> Iterator[PasterSite]:
    """Give a site that other users can reach, which pytest's own folders are not."""
    folder = Path(tempfile.mkdtemp(prefix="pointsman-"))
    folder.chmod(0o755)
    site = PasterSite(folder)
    try:
        yield site
    finally:
        site.close()


@pytest.fixture(name="site")
def _site(empty: PasterSite) -> PasterSite:
    """Give a site that serves release 1.0."""
    empty.serve("1.0")
    return empty


def test_first_release_is_started(empty: PasterSite) -> None:
    """Where nobody serves, the release is started, and serves from its real path."""
    empty.build("1.0")

    done = empty.command("activate", "1.0", "--watch", "0.3", "--json")
    serving = empty.serving()

    assert 0 == done.returncode, done.stdout + done.stderr
    assert "activated" == document(done)["result"]
    assert serving is not None
    assert str(empty.store.root.tree(ONE) / "lib") == serving.tree
    assert ("1.0", ONE) == (empty.get(), empty.store.current())


def test_switch_under_load(site: PasterSite) -> None:
    """The next release takes over, and no request is lost."""
    site.build("2.0")
    load = Hammer(site.port, ("/", "/slow0.02")).start(2, 2)
    try:
        done = site.command("activate", "2.0", "--watch", "0.5", "--json")
    finally:
        load.stop()

    assert 0 == done.returncode, done.stdout + done.stderr
    assert "activated" == document(done)["result"]
    assert ([], 0, {b"1.0", b"2.0"}) == (load.lost, load.refused, load.bodies)
    assert ("2.0", TWO, ONE) == (
        site.get(),
        site.store.current(),
        site.store.previous(),
    )


def test_rollback_by_the_release_itself(site: PasterSite) -> None:
    """The command of a release finds its site; going back leads to the one before."""
    site.serve("2.0")
    program = site.store.root.tree(TWO) / "bin" / "pointsman"

    done = subprocess.run(
        [program, "release", "rollback", "--watch", "0"],
        cwd="/",
        env={},
        capture_output=True,
        text=True,
        check=False,
    )

    assert (0, "site-1.0 serves again; before: site-2.0\n") == (
        done.returncode,
        done.stdout,
    ), done.stderr
    assert ("1.0", ONE) == (site.get(), site.store.current())
    assert "rolled back" == site.store.quarantined(TWO)


@pytest.mark.parametrize(
    ("breaks", "reason"),
    [
        ("import nothing_of_that_name", "No module named 'nothing_of_that_name'"),
        ("time.sleep(600)", "1.5 s"),
        ("signal.raise_signal(signal.SIGSEGV)", "SIGSEGV"),
    ],
    ids=["import fails", "never ready", "dies at once"],
)
def test_release_that_does_not_start(
    site: PasterSite, breaks: str, reason: str
) -> None:
    """What fails before it answers anybody changes nothing, and is in quarantine."""
    site.build("2.0", breaks)
    load = Hammer(site.port, ("/", "/slow0.02")).start(2, 2)
    try:
        done = site.command("activate", "2.0", "--ready-timeout", "1.5", "--json")
    finally:
        load.stop()

    told = document(done)
    assert (1, "failed", 0) == (done.returncode, told["result"], told["lost"])
    assert reason in told["reason"]
    assert ([], 0, {b"1.0"}) == (load.lost, load.refused, load.bodies)
    assert ONE == site.store.current()
    assert reason in site.store.quarantined(TWO)


def test_release_that_dies_on_probation(site: PasterSite) -> None:
    """What dies while it is watched is taken back; its lost requests are counted."""
    site.build("2.0")
    command = site.start("activate", "2.0", "--watch", "60", "--json")
    wait_for(site.watched, "2.0 serves on probation")
    with Client(site.port) as slow:
        slow.send(f"/hold{site.root}/held")
        wait_for((site.root / "held").exists, "the slow request runs")
        with Client(site.port) as crash, suppress(LostError):
            crash.send("/segv")
            crash.receive()
    told = site.ended(command)

    assert (1, "failed", 2) == (command.returncode, told["result"], told["lost"])
    assert "SIGSEGV" in told["reason"]
    assert ("1.0", ONE) == (site.get(), site.store.current())


def test_self_test_of_every_release(site: PasterSite) -> None:
    """A release without a test of its own is checked as `pointsman check` does."""
    site.build("2.0", self_test="")

    done = site.command("activate", "2.0")

    assert 1 == done.returncode
    assert "no section has use = egg:pointsman" in done.stdout
    assert "its self-test failed with exit code 1" in done.stderr
    assert ("1.0", "") == (site.get(), site.store.quarantined(TWO))


def test_rollback_during_the_watch(site: PasterSite) -> None:
    """Who sees errors need not wait: a rollback takes back what is watched."""
    site.build("2.0")
    command = site.start("activate", "2.0", "--watch", "60", "--json")
    wait_for(site.watched, "2.0 serves on probation")

    done = site.command("rollback", "--reason", "wrong prices", "--json")
    told = site.ended(command)

    assert (0, "taken back") == (done.returncode, document(done)["result"])
    assert (1, "failed") == (command.returncode, told["result"])
    assert ("1.0", ONE) == (site.get(), site.store.current())
    assert "rolled back: wrong prices" == site.store.quarantined(TWO)


def test_interrupted_during_the_watch(site: PasterSite) -> None:
    """Ctrl-C while it is watched goes back to the release before."""
    site.build("2.0")
    command = site.start("activate", "2.0", "--watch", "60", "--json")
    wait_for(site.watched, "2.0 serves on probation")
    command.send_signal(signal.SIGINT)
    command.communicate(timeout=30)

    assert ("1.0", ONE) == (site.get(), site.store.current())
    assert (None, "") == (site.store.journal.read(), site.store.quarantined(TWO))


@pytest.mark.parametrize(
    "at", ["release.switching", "release.watching", "release.switched"]
)
def test_command_killed(site: PasterSite, at: str) -> None:
    """The servers go on without the command; the next one records what they came to."""
    site.build("2.0")
    load = Hammer(site.port, ("/",)).start(1, 1)
    try:
        command = site.start("activate", "2.0", "--watch", "1", POINTSMAN_KILL_AT=at)
        command.communicate(timeout=30)
        done = site.command("activate", "2.0", "--watch", "0", "--json")
    finally:
        load.stop()

    assert -signal.SIGKILL == command.returncode
    assert (0, "site-2.0") == (done.returncode, document(done)["release"])
    assert ([], 0) == (load.lost, load.refused)
    assert ("2.0", TWO) == (site.get(), site.store.current())
    assert None is site.store.journal.read()


def test_server_that_hangs(site: PasterSite) -> None:
    """A rollback ends a server that was stopped in its tracks, and starts another."""
    site.serve("2.0")
    serving = site.serving()
    assert serving is not None
    os.kill(serving.pid, signal.SIGSTOP)

    done = site.command("rollback", "--watch", "0")

    assert (0, "1.0") == (done.returncode, site.get()), done.stderr
    assert "rolled back" == site.store.quarantined(TWO)


def test_other_commands(site: PasterSite) -> None:
    """List, verify, prune and clear tell what there is, in documents too."""
    site.build("2.0", "import nothing_of_that_name")
    site.command("activate", "2.0")
    listed = document(site.command("list", "--json"))
    verified = site.command("verify", "--json")
    refused = site.command("activate", "2.0")
    cleared = site.command("clear", "2.0", "--json")
    pruned = site.command("prune", "--keep", "0", "--json")
    missing = site.command("verify", "7.0")

    states = {one["release"]: one["state"] for one in listed["releases"]}
    assert {"site-1.0": "active", "site-2.0": "quarantined"} == states
    assert ("site-1.0", None) == (listed["current"], listed["under_way"])
    assert (0, True) == (verified.returncode, document(verified)["ok"])
    assert 1 == refused.returncode
    assert "pointsman release clear site-2.0" in refused.stderr
    assert "site-2.0" == document(cleared)["release"]
    removed = {one["release"]: one["removed"] for one in document(pruned)["releases"]}
    assert {"site-1.0": False, "site-2.0": True} == removed
    assert (1, 2) == (missing.returncode, site.command("activate").returncode)
    assert "it has site-1.0" in missing.stderr


STARTS = {
    "by current": ("/", "{root}/current/bin/paster", "{root}/current/etc/deploy.ini"),
    "in the tree": ("{tree}", "bin/paster", "etc/deploy.ini"),
    "ini in the tree": ("{tree}", "{tree}/bin/paster", "etc/deploy.ini"),
}


@pytest.mark.parametrize("how", STARTS)
def test_however_it_was_started(empty: PasterSite, how: str) -> None:
    """What is activated is what serves, with links and relative paths in its words."""
    for version in ("1.0", "2.0", "3.0"):
        empty.build(version)
    empty.store.commit(ONE)
    names = {"root": empty.root, "tree": empty.store.root.tree(ONE)}
    folder, paster, ini = (word.format_map(names) for word in STARTS[how])
    options = [f"--pid-file={empty.pid_file}", f"--log-file={empty.root}/log"]
    subprocess.run([paster, "serve", "--daemon", *options, ini], cwd=folder, check=True)

    for version in ("2.0", "3.0"):
        done = empty.command("activate", version, "--watch", "0")
        assert (0, version) == (done.returncode, empty.get()), done.stderr
    serving = empty.serving()
    assert serving is not None
    assert "site-1.0" not in f"{serving.argv} {serving.cwd}"


def test_root_by_another_name(site: PasterSite) -> None:
    """A root that is a link, or a path with dots, is the same site."""
    link = site.root.parent / "link"
    link.symlink_to(site.root)
    dots = site.root / "releases" / ".."
    for version, root in (("2.0", link), ("3.0", dots), ("4.0", link)):
        site.build(version)
        done = site.command("activate", version, "--watch", "0", "--root", str(root))
        assert (0, version) == (done.returncode, site.get()), done.stderr


def test_something_else_is_started(
    site: PasterSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A switch that would end with another release than the one asked for is undone."""
    site.build("2.0")
    tree = site.store.root.tree(ONE)
    again = [str(tree / "bin" / "paster"), "serve", str(tree / "etc" / "deploy.ini")]
    again.insert(2, f"--pid-file={site.pid_file}")
    monkeypatch.setattr(Paster, "_command_after", lambda *_: again)

    with pytest.raises(ReleaseError, match=r"in the place of site-2\.0"):
        Activation(site.store, Paster(site.store.root)).activate(TWO, watch=60)

    assert ("1.0", ONE) == (site.get(), site.store.current())
    assert (None, "") == (site.store.journal.read(), site.store.quarantined(TWO))


@pytest.mark.parametrize("served", [False, True], ids=["never served", "had ended"])
def test_first_start_is_interrupted(empty: PasterSite, *, served: bool) -> None:
    """Ctrl-C while a first start is watched ends what was started: nothing served."""
    if served:
        empty.serve("1.0")
        stop(empty)
    empty.build("2.0")
    command = empty.start("activate", "2.0", "--watch", "60", "--json")
    wait_for(empty.watched, "2.0 serves on probation")
    empty.remember()
    command.send_signal(signal.SIGINT)
    command.communicate(timeout=30)

    assert None is empty.serving()
    assert (ONE if served else None) == empty.store.current()
    assert (None, "") == (empty.store.journal.read(), empty.store.quarantined(TWO))


def test_nothing_serves_after_a_failed_start(site: PasterSite) -> None:
    """It says so; and what was committed before is not blamed for a port in use."""
    stop(site)
    site.build("2.0", "import nothing_of_that_name")
    failed = site.command("activate", "2.0")
    with closing(socket.create_server(("127.0.0.1", site.port))):
        in_use = site.command("activate", "1.0")

    assert "site-2.0 failed, and is in quarantine; nothing serves now" in failed.stdout
    assert "site-1.0 failed; nothing serves now" in in_use.stdout
    assert "in use" in in_use.stdout
    assert "" == site.store.quarantined(ONE)
    assert 0 == site.command("activate", "1.0", "--watch", "0").returncode


def test_a_rollback_without_current(site: PasterSite) -> None:
    """It is refused before anything begins, and what serves can be activated."""
    site.serve("2.0")
    (site.root / "current").unlink()
    refused = site.command("rollback")

    assert 1 == refused.returncode
    assert "pointsman release activate site-" in refused.stderr
    assert None is site.store.journal.read()
    assert 0 == site.command("activate", "2.0", "--watch", "0").returncode


def test_a_root_that_is_no_site(site: PasterSite, tmp_path: Path) -> None:
    """A typing error makes no site, and is no site in which all is well."""
    wrong = tmp_path / "typo"
    for words in (["prune"], ["rollback"], ["verify"], ["list"], ["activate", "1.0"]):
        done = site.command(*words, "--root", str(wrong))
        assert (2, False) == (done.returncode, wrong.exists()), words
        assert "is no site" in done.stderr


def stop(site: PasterSite) -> None:
    """End the server, as after a reboot."""
    recorded = pidfile.read(site.pid_file)
    assert recorded is not None
    os.kill(recorded.pid, signal.SIGTERM)
    wait_for(lambda: not recorded.alive(), "it has ended")


def test_names_are_completed(site: PasterSite) -> None:
    """The shell completes releases, by their names and by their versions."""
    site.build("2.0")
    done = subprocess.run(
        [sys.executable, "-c", "from pointsman.cli import main; main(prog_name='p')"],
        cwd=site.root,
        env={
            **site.environment(),
            "_P_COMPLETE": "bash_complete",
            "COMP_WORDS": "p release activate site-",
            "COMP_CWORD": "3",
        },
        capture_output=True,
        text=True,
        check=False,
    )

    assert ["plain,site-1.0", "plain,site-2.0"] == done.stdout.split()


def test_served_by_somebody_else(empty: PasterSite) -> None:
    """What root activates is served by the owner of shared/var, switch after switch."""
    user = pwd.getpwnam("nobody") if not os.geteuid() else pwd.getpwuid(os.geteuid())
    for folder in (empty.store.root.var, empty.store.root.logs):
        os.chown(folder, user.pw_uid, user.pw_gid)
    empty.serve("1.0", python=SYSTEM)
    first = empty.serving()
    empty.build("2.0", python=SYSTEM)
    done = empty.command("activate", "2.0", "--watch", "0")
    second = empty.serving()

    assert 0 == done.returncode, done.stderr
    assert first is not None
    assert second is not None
    assert [user.pw_uid] * 2 == [first.user, second.user]
