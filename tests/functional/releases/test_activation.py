"""Activating releases of a real store, with a server that only says what it serves.

Broken on purpose, and seen to fail: `current` written before the switch; a quarantine
that is not asked; an ending that is recorded again after its command was killed.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from functional.releases.sites_of_trees import (
    SELF_TEST,
    FileServer,
    Site,
    build,
    killed_at,
)
from pointsman.errors import ReleaseError
from pointsman.releases.layout import Release
from pointsman.releases.proof import UnprovenError
from pointsman.releases.report import Settled
from pointsman.releases.server import Account

if TYPE_CHECKING:
    from pathlib import Path

OLD, NEW = Release("site", "1.0"), Release("site", "2.0")
ENDINGS = ("activated", "failed", "rolled back", "not activated")


@pytest.fixture(name="site")
def _site(tmp_path: Path) -> Site:
    return Site(tmp_path / "root")


def test_first_release(site: Site) -> None:
    """Where nobody serves, the first release is started, watched and committed."""
    build(site.root, "2.0")

    report = site.activation().activate(NEW, watch=7)

    assert ("activated", NEW, None) == (report.result, report.release, report.before)
    assert NEW == site.store.current()
    assert None is site.store.journal.read()
    assert [("watching", "7 s")] == [
        (one.name, one.detail) for one in report.stages if one.name == "watching"
    ]


def test_next_release(site: Site) -> None:
    """The next one is handed over to; what was committed before is the way back."""
    site.serve("1.0")
    build(site.root, "2.0")

    report = site.activation().activate(NEW)

    assert ("activated", OLD) == (report.result, report.before)
    assert (NEW, OLD) == (site.store.current(), site.store.previous())
    assert [("activated", "site-2.0")] == site.records(*ENDINGS)


def test_what_serves_already(site: Site) -> None:
    """Activating what serves changes nothing; a record that is missing is written."""
    site.serve("1.0")
    build(site.root, "2.0")

    assert "unchanged" == site.activation().activate(OLD).result
    site.server.note(serves=str(NEW))
    assert "activated" == site.activation().activate(NEW).result
    assert NEW == site.store.current()


def test_failed_release(site: Site) -> None:
    """One that does not last is not committed, and is refused until it is cleared."""
    site.serve("1.0")
    build(site.root, "2.0")
    site.server.note(fails="it died of SIGSEGV")

    report = site.activation().activate(NEW)

    assert ("failed", "it died of SIGSEGV", 2) == (
        report.result,
        report.reason,
        report.lost,
    )
    assert (OLD, "it died of SIGSEGV") == (
        site.store.current(),
        site.store.quarantined(NEW),
    )
    site.server.note(fails="")
    with pytest.raises(ReleaseError, match=r"in quarantine \(it died of SIGSEGV\)"):
        site.activation().activate(NEW)
    site.store.clear(NEW)
    assert "activated" == site.activation().activate(NEW).result


def test_forced_out_of_quarantine(site: Site) -> None:
    """With a reason a quarantined release is activated; the record has the reason."""
    site.serve("1.0")
    build(site.root, "2.0")
    site.store.quarantine(NEW, "slow")

    report = site.activation().activate(NEW, force="the other one is on fire")

    (event,) = [e for e in site.store.history() if e.what == "activated"]
    assert "activated" == report.result
    assert "the other one is on fire" == event.detail["forced"]


def test_changed_byte(site: Site) -> None:
    """A tree that is not what was built is refused by file, and nothing is asked."""
    site.serve("1.0")
    build(site.root, "2.0")
    file = site.root / "releases" / "site-2.0" / "lib" / "site.py"
    file.chmod(0o644)
    file.write_text("VERSION = '2.1'\n")

    with pytest.raises(UnprovenError, match=r"lib/site\.py"):
        site.activation().activate(NEW)

    assert ("site-1.0", OLD) == (site.server.state["serves"], site.store.current())
    assert ["not activated"] == [what for what, _ in site.records(*ENDINGS)]
    assert None is site.store.journal.read()


def test_tree_that_the_serving_user_cannot_read(site: Site) -> None:
    """It is told which folder keeps the user out; who cannot know that says so."""
    site.serve("1.0")
    build(site.root, "2.0")
    nobody = Account(65534, 65534)
    if os.geteuid():
        report = site.activation(account=nobody).activate(NEW)
        assert "only root can see" in str(report.stages)
        return

    with pytest.raises(UnprovenError, match=r"may not enter the folder /.* chmod o\+x"):
        site.activation(account=nobody).activate(NEW)

    assert OLD == site.store.current()


def test_self_test(site: Site) -> None:
    """A release that does not pass its own test serves nobody; its words are kept."""
    site.serve("1.0")
    build(site.root, "2.0", {"bin/self-test": SELF_TEST.format(code=7)})
    build(site.root, "3.0", {"bin/self-test": SELF_TEST.format(code=0)})

    with pytest.raises(
        UnprovenError, match="self-test failed with exit code 7"
    ) as told:
        site.activation().activate(NEW)

    assert "checked\n" == told.value.output
    assert "" == site.store.quarantined(NEW)
    report = site.activation().activate(Release("site", "3.0"))
    assert "activated" == report.result


def test_self_test_that_hangs(site: Site) -> None:
    """A self-test that does not end is ended, with what it has started."""
    site.serve("1.0")
    build(site.root, "2.0", {"bin/self-test": "#!/bin/sh\nsleep 600 & sleep 600\n"})

    with pytest.raises(UnprovenError, match=r"took longer than 0\.2 s"):
        site.activation(self_test_timeout=0.2).activate(NEW)


def test_self_test_as_the_serving_user(site: Site, tmp_path: Path) -> None:
    """The self-test runs as the user who will serve, in the folder of the site."""
    tell = '#!/bin/sh\necho "$(id -u) $(pwd)"; exit 1\n'
    site.serve("1.0")
    build(site.root, "2.0", {"bin/self-test": tell})

    with pytest.raises(UnprovenError) as told:
        site.activation().activate(NEW)

    assert f"{os.geteuid()} {site.root}\n" == told.value.output


def test_rollback(site: Site) -> None:
    """Going back commits the release before, and keeps the bad one out."""
    site.serve("1.0")
    build(site.root, "2.0", {"bin/self-test": SELF_TEST.format(code=0)})
    site.activation().activate(NEW)

    report = site.activation().rollback(reason="orders are wrong")

    assert ("rolled back", OLD, NEW) == (report.result, report.release, report.before)
    assert OLD == site.store.current()
    assert "rolled back: orders are wrong" == site.store.quarantined(NEW)
    assert "site-1.0" == site.server.state["serves"]
    with pytest.raises(ReleaseError, match=r"nothing to go back to before site-1\.0"):
        site.activation().rollback()


def test_rollback_asks_no_self_test(site: Site) -> None:
    """What has served before may go back to work although its own test is red now."""
    red = {"bin/self-test": SELF_TEST.format(code=1)}
    build(site.root, "1.0", red)
    site.server.note(serves="site-1.0")
    site.store.commit(OLD)
    build(site.root, "2.0")
    site.activation().activate(NEW)

    assert "rolled back" == site.activation().rollback().result


def test_server_that_is_deaf(site: Site) -> None:
    """A server that answers nothing hands nothing over; a rollback replaces it."""
    site.serve("1.0")
    build(site.root, "2.0")
    site.activation().activate(NEW)
    build(site.root, "3.0")
    site.server.note(deaf=True)

    with pytest.raises(ReleaseError, match="does not answer questions"):
        site.activation().activate(Release("site", "3.0"))

    assert None is site.store.journal.read()
    assert "rolled back" == site.activation().rollback().result
    assert "site-1.0" == site.server.state["serves"]


def test_switch_that_is_refused(site: Site) -> None:
    """When the server refuses, its sentence is told, and nothing is left behind."""
    site.serve("1.0")
    build(site.root, "2.0")
    site.server.note(says="another switch is under way")

    with pytest.raises(ReleaseError, match="another switch is under way"):
        site.activation().activate(NEW)

    assert None is site.store.journal.read()
    assert (OLD, "") == (site.store.current(), site.store.quarantined(NEW))


def test_two_at_once(site: Site) -> None:
    """While one activates, another one is told who does, and changes nothing."""
    site.serve("1.0")
    build(site.root, "2.0")
    refused = []

    def meanwhile(name: str, _detail: str) -> None:
        if name == "watching":
            with pytest.raises(ReleaseError) as told:
                Site(site.root).activation().activate(NEW)
            refused.append(str(told.value))

    report = site.activation(on_step=meanwhile).activate(NEW)

    assert "activated" == report.result
    assert ["`activate site-2.0`"] == [text.partition(" of ")[0] for text in refused]
    assert f"pid {os.getpid()}" in refused[0]


def test_interrupted_by_hand(site: Site) -> None:
    """Ctrl-C while it is watched goes back, and says nothing against the release."""
    site.serve("1.0")
    build(site.root, "2.0")

    def impatient(name: str, _detail: str) -> None:
        if name == "watching":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        site.activation(on_step=impatient).activate(NEW)

    assert ("site-1.0", OLD) == (site.server.state["serves"], site.store.current())
    assert "" == site.store.quarantined(NEW)
    assert None is site.store.journal.read()


def test_rollback_while_another_command_watches(site: Site) -> None:
    """A rollback does not wait for the end of a watch: it takes the switch back."""
    site.serve("1.0")
    build(site.root, "2.0")
    killed(site, "server.watched", "activate")

    report = site.activation().rollback(reason="errors everywhere")

    assert ("taken back", NEW, OLD) == (report.result, report.release, report.before)
    assert ("site-1.0", OLD) == (site.server.state["serves"], site.store.current())
    assert "rolled back: errors everywhere" == site.store.quarantined(NEW)


# KILLED

POINTS = (
    "release.noted",
    "release.proving",
    "release.proved",
    "release.switching",
    "release.watching",
    "server.watched",
    "release.switched",
    "release.committing",
    "release.linking",
    "release.linked",
    "release.recorded",
)
POINTS_OF_FAILURE = (
    "release.returning",
    "release.isolating",
    "release.isolated",
    "release.quarantined",
    "release.recorded",
)


def killed(site: Site, at: str, call: str) -> None:
    """Run a command that is killed at a point, as by kill -9."""
    activation = site.activation()
    if call == "activate":
        killed_at(at, lambda: activation.activate(NEW))
    else:
        killed_at(at, activation.rollback)


def is_whole(site: Site) -> bool:
    """Tell whether what serves is what is committed, and nothing is under way."""
    serves = site.server.state["serves"]
    return (str(site.store.current()), None) == (serves, site.store.journal.read())


@pytest.mark.parametrize("decides", [True, False], ids=["paster", "apache"])
@pytest.mark.parametrize("at", POINTS)
def test_killed_while_activating(tmp_path: Path, at: str, *, decides: bool) -> None:
    """After a kill anywhere, one call makes it whole: the new serves, or the old."""
    site = Site(tmp_path / "root", decides=decides)
    site.serve("1.0")
    build(site.root, "2.0")
    killed(site, at, "activate")
    finish(site)

    site.activation().settle()

    assert is_whole(site)
    assert "" == site.store.quarantined(NEW)
    assert len(site.records(*ENDINGS)) == len(set(site.records(*ENDINGS)))
    result = site.activation().activate(NEW).result
    assert {"site-2.0": "unchanged"}.get(result, result) in {"activated", "unchanged"}
    assert NEW == site.store.current()


@pytest.mark.parametrize("at", POINTS_OF_FAILURE)
def test_killed_while_condemning(site: Site, at: str) -> None:
    """A release that has failed is in quarantine, whenever its command was killed."""
    site.serve("1.0")
    build(site.root, "2.0")
    site.server.note(fails="it died")
    killed(site, at, "activate")

    site.activation().settle()

    assert is_whole(site)
    assert (OLD, "it died") == (site.store.current(), site.store.quarantined(NEW))
    assert [("failed", "site-2.0")] == site.records(*ENDINGS)


@pytest.mark.parametrize("at", [*POINTS, "release.isolating", "release.isolated"])
def test_killed_while_going_back(site: Site, at: str) -> None:
    """A rollback that is killed is finished, or is tried again by the next one."""
    site.serve("1.0")
    build(site.root, "2.0")
    site.activation().activate(NEW)
    killed(site, at, "rollback")
    finish(site)

    site.activation().settle()

    assert is_whole(site)
    if site.store.current() == NEW:
        assert "rolled back" == site.activation().rollback().result
    assert is_whole(site)
    assert (OLD, "rolled back") == (site.store.current(), site.store.quarantined(NEW))


def test_taken_back_while_nobody_looked(site: Site) -> None:
    """What the server did not keep is in quarantine, also when nobody waited."""
    site.serve("1.0")
    build(site.root, "2.0")
    site.server.note(fails="never ready")
    killed(site, "server.watched", "activate")
    finish(site)

    settled = site.activation().settle()

    assert Settled(NEW, "watching", "failed", "never ready") == settled
    assert "never ready" == site.store.quarantined(NEW)
    assert is_whole(site)


def test_settling_waits_for_the_server(site: Site) -> None:
    """While the server has not decided, the next command waits for it."""
    site.serve("1.0")
    build(site.root, "2.0")
    killed(site, "server.watched", "activate")
    slept = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        finish(site)

    settled = site.activation(sleep=sleep).settle()

    assert 1 == len(slept)
    assert Settled(NEW, "watching", "activated") == settled
    assert is_whole(site)


def test_settled_by_the_next_activation(site: Site) -> None:
    """The next command of any kind ends what was left, and tells it."""
    site.serve("1.0")
    build(site.root, "2.0")
    build(site.root, "3.0")
    killed(site, "release.committing", "activate")

    report = site.activation().activate(Release("site", "3.0"))

    assert Settled(NEW, "committing", "activated") == report.settled
    assert ("activated", NEW) == (report.result, report.before)


def test_machine_switched_off_while_watching(site: Site) -> None:
    """After a reboot the committed release serves; nothing is held against the new."""
    site.serve("1.0")
    build(site.root, "2.0")
    killed(site, "server.watched", "activate")
    rebooted = FileServer(site.root.parent / "server.json")
    rebooted._file.write_text('{"serves": "site-1.0"}')

    settled = site.activation().settle()

    assert settled is not None
    assert ("forgotten", "") == (settled.result, site.store.quarantined(NEW))
    assert is_whole(site)


def test_another_server_must_settle(site: Site) -> None:
    """What was begun with Apache is not ended by asking paster."""
    site.serve("1.0")
    build(site.root, "2.0")
    killed(site, "server.watched", "activate")

    with pytest.raises(ReleaseError, match="--server paster was interrupted"):
        site.activation(kind="apache").settle()

    assert site.store.journal.read() is not None


def finish(site: Site) -> None:
    """Let the server go on as it does when nobody waits."""
    candidate = site.server.state.get("candidate")
    if candidate:
        site.server.decide(Release.parse(candidate))
