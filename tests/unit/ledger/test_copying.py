"""A whole ledger in another database: copied, backed up, restored."""

from __future__ import annotations

import os
import stat
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import insert

from contract.ledger.scene import (
    ALICE,
    BOB,
    LEASE,
    PostgresqlPlace,
    Scene,
    SqlitePlace,
    digest_of,
)
from pointsman.cluster import Role, Sighting, State, Token, User
from pointsman.errors import LedgerError
from pointsman.ledger import backups, copy_ledger, open_ledger, schema

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from contract.ledger.scene import Place
    from pointsman.interfaces import Ledger

BIG = "x" * 9_500_000  # more than is written at once


@pytest.fixture(name="sqlite")
def _sqlite(tmp_path: Path) -> Iterator[Place]:
    with closing(SqlitePlace(tmp_path / "one")) as place:
        yield place


@pytest.fixture(name="postgresql")
def _postgresql() -> Iterator[Place]:
    with closing(PostgresqlPlace()) as place:
        yield place


def grow(scene: Scene) -> None:
    """Let a ledger have something of everything."""
    scene.join("n1")
    scene.deploy(scene.put("a", "1"), scene.put("b", BIG))
    scene.deploy(scene.put("a", "2"), stop=frozenset({"b.one"}), claims=("c1",))
    failed = scene.propose(scene.put("a", "3"), sightings=(Sighting("x", "f", "d"),))
    scene.vote("n1", failed.number, loaded=False, reason="no\x00 ß")
    scene.ledger.create_token(Token(0, "ci", Role.DEPLOYER), digest_of("t"), ALICE)
    scene.ledger.create_user(User(0, "ann", Role.ADMIN, hash="h"), ALICE)
    scene.ledger.keep_mounts({"a.one": "a", "/a": "a"})
    scene.ledger.lock(BOB, "moving")
    scene.ledger.ask("n1", "threads")


def told(ledger: Ledger) -> list[object]:
    """Return all that a ledger tells that belongs to no process."""
    generations = ledger.generations(limit=99)
    return [
        generations,
        [ledger.generation(one.number) for one in generations],
        [ledger.contents(one.number) for one in generations],
        ledger.observe("nobody"),
        ledger.events(limit=999),
        ledger.tokens(),
        ledger.users(),
        ledger.user("ann"),
        ledger.mounts(),
        ledger.lock_of(),
        ledger.sightings("x"),
        ledger.claimed("c1"),
        ledger.check(),
    ]


def test_there_and_back(sqlite: Place, postgresql: Place, tmp_path: Path) -> None:
    """A file in PostgreSQL, and in a file again: all that it tells is the same."""
    scene = Scene(sqlite)
    grow(scene)
    copied = copy_ledger(sqlite.url, postgresql.url)
    other = SqlitePlace(tmp_path / "two")
    copy_ledger(postgresql.url, other.url)

    expected = told(scene.ledger)
    assert (2, len(BIG) + 3) == (copied.active, copied.size)
    for place in (postgresql, other):
        place.clock.now = sqlite.clock.now
        ledger = place.open()
        assert expected == told(ledger)
        assert () == ledger.nodes()
        assert BIG.encode() == b"".join(ledger.chunks(digest_of(BIG)))
    other.close()


def test_a_copy_works_on(sqlite: Place, postgresql: Place) -> None:
    """Deployments go on in it, with the next numbers; nothing of it clashes."""
    grow(Scene(sqlite))
    copy_ledger(sqlite.url, postgresql.url)
    scene = Scene(postgresql)
    scene.ledger.unlock(BOB)
    scene.join("n1")
    number = scene.deploy(scene.put("c", "new"), claims=("c2",))
    scene.ledger.create_token(Token(0, "cd", Role.VIEWER), digest_of("u"), ALICE)

    assert 4 == number
    assert {"a", "b", "c"} == scene.served().keys()
    ids = [event.id for event in scene.ledger.events(limit=99)]
    assert sorted(set(ids), reverse=True) == ids


def test_nodes_of_the_copy_are_told(sqlite: Place, postgresql: Place) -> None:
    """A node that waits at an empty ledger sees, at once, what came into it."""
    scene = Scene(postgresql)
    scene.ledger.changed()
    scene.join("n1")
    grow(Scene(sqlite))
    copy_ledger(sqlite.url, postgresql.url)

    assert (2, "n1") == (scene.active, scene.ledger.nodes()[0].id)


def test_what_is_half_stored_stays_behind(sqlite: Place, postgresql: Place) -> None:
    """An artifact whose sender has died is not taken along, nor are its bytes."""
    scene = Scene(sqlite)
    grow(scene)
    with scene.ledger._database.writing() as connection:  # type: ignore[attr-defined]
        half = {"id": 99, "stored_at": scene.clock.now}
        connection.execute(insert(schema.artifact), half)
        piece = {"artifact": 99, "number": 0, "data": b"half"}
        connection.execute(insert(schema.chunk), piece)
    copied = copy_ledger(sqlite.url, postgresql.url)

    assert (4, 13) == (copied.rows["artifact"], copied.rows["chunk"])
    assert len(BIG) + 3 == copied.size


def test_only_into_a_new_one(sqlite: Place, postgresql: Place) -> None:
    """Nothing is ever copied over something; what is there stays as it was."""
    grow(Scene(sqlite))
    scene = Scene(postgresql)
    scene.join("n1")
    scene.deploy(scene.put("z", "1"))
    before = told(scene.ledger)
    with pytest.raises(LedgerError, match="up to generation 1; name one that is new"):
        copy_ledger(sqlite.url, postgresql.url)

    assert before == told(scene.ledger)


def test_not_while_something_is_on_its_way(sqlite: Place, postgresql: Place) -> None:
    """What nobody would vote about there is waited for here."""
    scene = Scene(sqlite)
    scene.join("n1")
    number = scene.propose(scene.put("a", "1")).number
    with pytest.raises(LedgerError, match=f"generation {number} is on its way"):
        copy_ledger(sqlite.url, postgresql.url)

    assert State.STAGING == scene.state(number)
    assert () == postgresql.open().generations()


def test_a_source_that_is_not_there(tmp_path: Path, postgresql: Place) -> None:
    """A misspelt source is told, and not made."""
    with pytest.raises(LedgerError, match="there is no file"):
        copy_ledger(f"sqlite:///{tmp_path}/none", postgresql.url)

    assert [] == list(tmp_path.iterdir())


# BACKUPS


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_a_backup(request: pytest.FixtureRequest, kind: str, tmp_path: Path) -> None:
    """It is one file, for its owner; restored, it is the same ledger; twice, too."""
    place: Place = request.getfixturevalue(kind)
    scene = Scene(place)
    grow(scene)
    file = tmp_path / "backups" / "a b.ledger"
    file.parent.mkdir()
    backups.backup(place.url, file, copy_ledger)
    assert [file] == list(file.parent.iterdir())
    assert 0o600 == stat.S_IMODE(file.stat().st_mode)
    content = file.read_bytes()

    for name in ("first", "second"):
        url = f"sqlite:///{tmp_path}/{name}.sqlite"
        backups.restore(url, file, copy_ledger)
        with closing(open_ledger(url, clock=place.clock)) as restored:
            assert told(scene.ledger) == told(restored)
    assert content == file.read_bytes()


def test_a_backup_over_a_file(sqlite: Place, tmp_path: Path) -> None:
    """A file that is there is not written over; one that fails leaves nothing."""
    Scene(sqlite).join("n1")
    file = tmp_path / "mine"
    file.write_text("mine")
    with pytest.raises(LedgerError, match=r"there is a file .* already"):
        backups.backup(sqlite.url, file, copy_ledger)
    with pytest.raises(LedgerError) as caught:
        backups.backup("postgresql://me:secret@host/db", file, copy_ledger)
    assert "secret" not in str(caught.value)
    with pytest.raises(LedgerError, match="there is no file"):
        backups.backup(f"{sqlite.url}2", tmp_path / "other", copy_ledger)

    assert "mine" == file.read_text()
    assert {"mine", "one"} == {path.name for path in tmp_path.iterdir()}


def test_a_backup_outlasts_a_power_cut(
    sqlite: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its bytes are on the disk before its name is, and then that name.

    Mutants: one of the two left out; the name first.
    """
    Scene(sqlite).join("n1")
    file, steps = tmp_path / "backup.ledger", []
    link, fsync = os.link, os.fsync

    def linked(old: Path, new: Path) -> None:
        steps.extend(["named"] if new == file else [])
        link(old, new)

    def synced(descriptor: int) -> None:
        kind = os.fstat(descriptor).st_mode
        steps.append("folder" if stat.S_ISDIR(kind) else "bytes")
        fsync(descriptor)

    monkeypatch.setattr(os, "link", linked)
    monkeypatch.setattr(os, "fsync", synced)
    backups.backup(sqlite.url, file, copy_ledger)

    assert ["bytes", "named", "folder"] == steps


def test_a_backup_that_is_none(tmp_path: Path) -> None:
    """What cannot be read, or is no ledger, is told by its name."""
    url = f"sqlite:///{tmp_path}/new.sqlite"
    with pytest.raises(LedgerError, match="none cannot be read"):
        backups.restore(url, tmp_path / "none", copy_ledger)
    (tmp_path / "text").write_text("no ledger" * 1000)
    with pytest.raises(LedgerError, match="is damaged"):
        backups.restore(url, tmp_path / "text", copy_ledger)


def test_leases_stay_behind(sqlite: Place, postgresql: Place) -> None:
    """Who scans a directory there says nothing about who does here."""
    scene = Scene(sqlite)
    scene.join("n1")
    assert scene.ledger.scanner("there", "n1", lease=LEASE)
    copy_ledger(sqlite.url, postgresql.url)
    other = Scene(postgresql)
    other.join("n2")

    assert other.ledger.scanner("there", "n2", lease=LEASE)
