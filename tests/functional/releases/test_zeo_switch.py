"""Two releases write to one object database while one takes over from the other."""

from __future__ import annotations

import shutil
import threading
from typing import TYPE_CHECKING, Any

import pytest

from functional.releases.guestbook_site import (
    GuestbookSite,
    Writers,
    entry,
    service,
)
from object_server import ObjectServer
from pointsman.releases.layout import Release
from waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ONE, TWO = Release("site", "1.0"), Release("site", "2.0")


@pytest.fixture(name="server")
def _server(tmp_path: Path) -> Iterator[ObjectServer]:
    with ObjectServer(tmp_path / "zeo") as server:
        yield server.start()


@pytest.fixture(name="site")
def _site(tmp_path: Path, server: ObjectServer) -> Iterator[GuestbookSite]:
    """Give a site that serves release 1.0, and the guest book, deployed hot."""
    own = tmp_path / "own"  # it takes its whole folder away
    own.mkdir()
    site = GuestbookSite(own, server.uri)
    try:
        site.serve("1.0")
        site.deploy(guestbook=service(), guestbook_entries=entry(stars=False))
        yield site
    finally:
        site.close()


def activate(site: GuestbookSite, release: Release) -> None:
    """Switch to a release; it is there already."""
    done = site.command("activate", release.version, "--watch", "0.5", "--json")
    assert 0 == done.returncode, done.stdout + done.stderr


def test_no_entry_is_lost_in_a_switch(site: GuestbookSite) -> None:
    """The class goes forth before the switch, and back after it; all read all.

    Every answered entry is there once, and counted once: the counter is in an object
    that each transaction changes, so all that run at once conflict, those of the two
    processes too.
    """
    site.build("2.0")
    writers = Writers(site, 3).start()
    try:
        wait_for(writers.wrote(), "the first version of the class writes")
        early = tuple(writers.written)
        site.deploy(guestbook_entries=entry(stars=True))
        wait_for(writers.wrote(), "the second version writes")
        activate(site, TWO)
        wait_for(writers.wrote(), "the second release writes")
        shutil.rmtree(site.store.root.tree(ONE))
        wait_for(writers.wrote(), "it writes without the tree of the first")
        late = tuple(writers.written)
        site.go_back("guestbook_entries")
        wait_for(writers.wrote(16), "the first version of the class writes again")
    finally:
        writers.stop()
    by_first = site.entries()
    site.deploy(guestbook_entries=entry(stars=True))
    by_second = site.entries()
    stars = {text: one.pop("stars") for text, one in by_second.items()}

    assert [] == writers.failed
    assert writers.written.keys() == by_first.keys()
    assert by_first == by_second
    assert 2 == len(set(writers.written.values())), "both releases have written"
    assert len(writers.written) == site.count()
    assert {0} == {stars[text] for text in early}
    assert {0, 5} == {stars[text] for text in late} == set(stars.values())


def test_both_releases_write_at_once(site: GuestbookSite, tmp_path: Path) -> None:
    """A transaction that the old release began before the switch ends after it.

    Meanwhile the new one has changed the same objects: the old one's conflicts, and
    is done again with what the new one has written.

    Broken on purpose: without the retry in the example, its answer is 500.
    """
    site.build("2.0")
    begun, go_on = tmp_path / "begun", tmp_path / "go-on"
    answers: list[Any] = []
    held = {"begun": str(begun), "until": str(go_on)}
    client = threading.Thread(target=lambda: answers.append(site.write("held", **held)))
    client.start()
    wait_for(begun.exists, "the old release is in a transaction")
    activation = site.start("activate", "2.0", "--watch", "0", "--json")
    written: list[int] = []

    def by_both() -> bool:
        written.append(site.write(f"entry {len(written)}")["pid"])
        return len(set(written)) == 2  # the old one has stopped accepting

    wait_for(by_both, "the new release has written")
    during = site.count()
    go_on.touch()
    client.join(60)
    told = site.ended(activation)
    found = site.entries()

    assert "activated" == told["result"]
    assert [written[0]] == [answer["pid"] for answer in answers]
    assert len(written) == during
    assert {"held", *(f"entry {n}" for n in range(len(written)))} == found.keys()
    assert len(found) == site.count()


def test_what_is_deployed_hot_survives(site: GuestbookSite) -> None:
    """The new release holds no service: it serves what the ledger has, and its data."""
    site.write("before")
    site.deploy(guestbook_entries=entry(stars=True))
    before = site.packages()
    site.build("2.0")
    activate(site, TWO)
    after = site.packages()
    site.go_back("guestbook_entries")

    assert before == after
    assert ["before"] == list(site.entries())
    assert "stars" not in site.entries()["before"]


def test_the_server_restarts_under_load(
    site: GuestbookSite, server: ObjectServer
) -> None:
    """ZEO itself may be moved to another release: writers wait, and lose nothing.

    A commit whose answer was lost is not done twice, as the time of its request is
    its number.
    """
    writers = Writers(site, 3).start()
    try:
        wait_for(writers.wrote(), "there are entries")
        server.run("restart")
        wait_for(writers.wrote(), "they go on after a restart")
    finally:
        writers.stop()

    assert [] == writers.failed
    assert writers.written.keys() == site.entries().keys()
