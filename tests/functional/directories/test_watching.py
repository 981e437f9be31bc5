"""When a directory is looked at: events, a clock, and the way between them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pointsman.inotify import Inotify
from pointsman.settings import Trigger
from pointsman.sources import watching
from pointsman.sources.watching import Due, Watched, Watcher, Watching, filesystems
from waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pointsman.inotify import Event


class Deaf(Inotify):
    """An inotify whose events never come, as on some mounts."""

    def read(self) -> list[Event]:
        super().read()
        return []


class Scene:
    """A directory, and watchers of it that are closed at the end."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.made: list[Watcher] = []

    def watch(
        self,
        trigger: Trigger = Trigger.NOTIFIED,
        rate: float = 30.0,
        events: Callable[[], Inotify] = Inotify,
        remote: Callable[[Path], str] = lambda _: "",
        path: Path | None = None,
    ) -> Watcher:
        watched = Watched(path or self.path, trigger, rate)
        made = Watcher([watched], events=events, remote=remote)
        self.made.append(made)
        return made

    def proven(self, watcher: Watcher) -> Watcher:
        """Wait until a watcher has had its first look, and is at rest."""
        assert {self.path} == watcher.wait(5).keys()
        watcher.wait(0.05)
        assert Watching("notified") == watcher.status(self.path)
        return watcher

    def due(self, watcher: Watcher) -> Due:
        """Wait until the directory is due."""
        return wait_for(lambda: watcher.wait(5), "it is due")[self.path]


@pytest.fixture(name="scene")
def _scene(tmp_path: Path) -> Iterator[Scene]:
    scene = Scene(tmp_path)
    yield scene
    for one in scene.made:
        one.close()


def test_a_file_that_is_closed_makes_a_directory_due(scene: Scene) -> None:
    """And its name is told, since it is known to be whole."""
    watcher = scene.proven(scene.watch())
    (scene.path / "crm.py").write_text("x = 1\n")
    due = scene.due(watcher)
    while not due.whole:
        due = scene.due(watcher)
    assert Due(frozenset({"crm.py"}), told=True) == due


def test_a_file_that_is_moved_in_makes_a_directory_due(scene: Scene) -> None:
    """So does one that is taken away."""
    beside = scene.path.parent / f"{scene.path.name}.beside"
    beside.write_text("x = 1\n")
    watcher = scene.proven(scene.watch())
    path = beside.rename(scene.path / "crm.py")
    assert Due(frozenset({"crm.py"}), told=True) == scene.due(watcher)
    path.unlink()
    assert Due(told=True) == scene.due(watcher)


def test_hidden_files_make_nothing_due(scene: Scene) -> None:
    """Editors write many of them."""
    watcher = scene.proven(scene.watch())
    (scene.path / ".crm.py.swp").write_text("x = 1\n")
    assert {} == watcher.wait(0.05)


def test_the_link_of_a_config_map_makes_a_directory_due(scene: Scene) -> None:
    """Its files are links into a hidden folder; only the link to that one changes."""
    for number in (1, 2):
        version = scene.path / f"..version{number}"
        version.mkdir()
        (version / "crm.py").write_text(f"x = {number}\n")
    (scene.path / "..data").symlink_to("..version1")
    (scene.path / "crm.py").symlink_to("..data/crm.py")
    watcher = scene.proven(scene.watch())
    (scene.path / "..data_tmp").symlink_to("..version2")
    (scene.path / "..data_tmp").rename(scene.path / "..data")
    assert scene.due(watcher).told
    assert "x = 2\n" == (scene.path / "crm.py").read_text()


def test_the_test_file_is_gone_at_once(scene: Scene) -> None:
    """Nobody ever sees it who lists the directory."""
    scene.proven(scene.watch())
    assert [] == list(scene.path.iterdir())


def test_where_no_event_comes_a_directory_is_polled(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is found out by the test file, told, and tried again later.

    Broken on purpose: without the test file it is *notified* for ever, and nothing
    is ever seen.
    """
    monkeypatch.setattr(watching, "ANSWER", 0.05)
    monkeypatch.setattr(watching, "AGAIN", 0.2)
    events: list[Deaf] = []

    def deaf() -> Deaf:
        events.append(Deaf())
        return events[0]

    watcher = scene.watch(rate=0.05, events=deaf)

    def mode() -> Watching:
        watcher.wait(0.01)
        return watcher.status(scene.path)

    reason = "no event came for a test file within 0.05 s; it is looked at every 0.05 s"
    expected = Watching("polled", reason)
    wait_for(lambda: mode() == expected, "it is polled")
    assert Due() == scene.due(watcher)
    events[0].__class__ = Inotify  # type: ignore[assignment]
    wait_for(lambda: mode() == Watching("notified"), "events are trusted again")


def test_on_a_file_server_a_directory_is_polled(scene: Scene) -> None:
    """The test file would succeed there: only what others change brings no event."""
    watcher = scene.watch(remote=lambda _: "nfs4", rate=0.05)
    scene.due(watcher)
    expected = Watching(
        "polled",
        "it lies on nfs4, where changes made elsewhere bring no event; "
        "it is looked at every 0.05 s",
    )
    assert expected == watcher.status(scene.path)
    assert Due() == scene.due(watcher)
    (scene.path / "crm.py").write_text("x = 1\n")
    assert wait_for(lambda: scene.due(watcher).told, "our own changes are told")


def test_a_directory_that_cannot_be_written_to_is_polled() -> None:
    """Its events cannot be tested; some come all the same."""
    path = Path("/proc/self")
    with_rate = Watched(path, Trigger.NOTIFIED, 0.05)
    watcher = Watcher([with_rate])
    try:
        watcher.wait(5)
        found = watcher.status(path)
        assert ("polled", True) == (found.mode, "cannot be tested" in found.reason)
    finally:
        watcher.close()


def test_without_inotify_a_directory_is_polled(scene: Scene) -> None:
    """Each user has 128 of them by default; the setting is named."""

    def none() -> Inotify:
        raise OSError(24, "Too many open files")

    watcher = scene.watch(events=none, rate=0.05)
    scene.due(watcher)
    found = watcher.status(scene.path)
    assert "polled" == found.mode
    assert "fs.inotify.max_user_instances" in found.reason
    assert Due() == scene.due(watcher)


def test_a_change_that_no_event_told_of_ends_the_trust(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The test file was heard of, and others' changes are not: a bind mount does so."""
    monkeypatch.setattr(watching, "ANSWER", 0.05)
    watcher = scene.proven(scene.watch(rate=30.0))
    watcher.missed(scene.path)

    def reason() -> str:
        watcher.wait(0.01)
        return watcher.status(scene.path).reason

    told = "a change was found that no event told of; it is looked at every 30 s"
    wait_for(lambda: reason() == told, "it is polled")


def test_an_event_that_comes_late_keeps_the_trust(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The look was faster than the event: that is no miss."""
    monkeypatch.setattr(watching, "ANSWER", 0.05)
    watcher = scene.proven(scene.watch())
    watcher.missed(scene.path)
    (scene.path / "crm.py").write_text("x = 1\n")
    scene.due(watcher)
    watcher.wait(0.1)
    watcher.wait(0.1)
    assert Watching("notified") == watcher.status(scene.path)


def test_while_events_come_there_is_a_net(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Now and then the clock asks for a look all the same."""
    monkeypatch.setattr(watching, "NET", 0.1)
    watcher = scene.proven(scene.watch())
    assert Due() == scene.due(watcher)


def test_a_directory_that_comes_later_is_found(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is due when it comes, when it goes, and when it comes back."""
    monkeypatch.setattr(watching, "ABSENT", 0.02)
    path = scene.path / "later"
    watcher = scene.watch(path=path)
    assert {path} == watcher.wait(5).keys()
    assert "absent" == watcher.status(path).mode

    def due() -> bool:
        return bool(wait_for(lambda: watcher.wait(5), "it is due")[path].told)

    for _ in range(2):
        path.mkdir()
        assert due()
        watcher.wait(0.05)
        assert Watching("notified") == watcher.status(path)
        path.rmdir()
        assert due()
        watcher.wait(0.05)
        assert "absent" == watcher.status(path).mode


def test_another_directory_in_its_place_is_watched(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody renames it away and makes a new one: the old one is not watched on."""
    monkeypatch.setattr(watching, "ABSENT", 0.02)
    path = scene.path / "one"
    path.mkdir()
    watcher = scene.watch(path=path)
    watcher.wait(5)
    watcher.wait(0.05)
    path.rename(scene.path / "old")
    path.mkdir()
    wait_for(lambda: watcher.wait(5), "it is due")
    watcher.wait(0.1)
    (path / "crm.py").write_text("x = 1\n")
    assert wait_for(lambda: watcher.wait(5), "it is due")[path].told


def test_polling_is_at_its_rate_only(scene: Scene) -> None:
    """By a clock that is set by hand: once in each period, whatever happens."""
    now = [0.0]
    watched = Watched(scene.path, Trigger.POLLED, 5.0)
    watcher = Watcher([watched], clock=lambda: now[0])
    scene.made.append(watcher)
    looks = []
    for second in range(21):
        now[0] = float(second)
        (scene.path / f"m{second}.py").write_text("x = 1\n")
        if watcher.wait(0):
            looks.append(second)
    assert [0, 5, 10, 15, 20] == looks


@pytest.mark.parametrize("trigger", [Trigger.ON_DEMAND, Trigger.DISABLED])
def test_without_a_trigger_there_is_one_look(scene: Scene, trigger: Trigger) -> None:
    """At the start; nothing wakes afterwards."""
    watcher = scene.watch(trigger)
    assert {scene.path} == watcher.wait(0).keys()
    (scene.path / "crm.py").write_text("x = 1\n")
    assert {} == watcher.wait(0.05)
    assert Watching(trigger.value) == watcher.status(scene.path)


def test_who_waits_can_be_woken(scene: Scene) -> None:
    """For ever is not too long then."""
    watcher = scene.watch(Trigger.ON_DEMAND)
    watcher.wait(0)
    watcher.wake()
    watcher.wake()
    assert {} == watcher.wait(None)


def test_dropped_events_make_everything_due(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel says that it had to drop some: then nobody knows where."""
    watcher = scene.proven(scene.watch())
    events = watcher._events
    assert isinstance(events, Inotify)
    from pointsman.inotify import Event

    monkeypatch.setattr(events, "read", lambda: [Event(-1, 0x4000, "")])
    os.utime(scene.path)  # an event of any kind
    (scene.path / ".hidden").touch()
    assert Due(told=True) == scene.due(watcher)


def test_the_kind_of_a_mount_is_told_by_its_device() -> None:
    """As proc(5) lists it, with optional fields or without."""
    lines = [
        "22 1 254:1 / / rw,relatime shared:1 - ext4 /dev/vda1 rw",
        "40 22 0:35 / /srv/share rw,relatime - nfs4 server:/x rw",
    ]
    assert "ext4" == filesystems.kind_of("254:1", lines)
    assert "nfs4" == filesystems.kind_of("0:35", lines)
    assert "" == filesystems.kind_of("0:99", lines)


def test_the_file_system_of_the_tests_is_not_remote(tmp_path: Path) -> None:
    """Else everything here would be polled."""
    assert "" == filesystems.remote(tmp_path)
    assert "" == filesystems.remote(tmp_path / "missing")
