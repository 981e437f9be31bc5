"""Tables of older programs: brought up to date with what is in them."""

from __future__ import annotations

import sqlite3
import time
from typing import TYPE_CHECKING, Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import make_url

from contract.ledger.scene import Scene, SqlitePlace, digest_of, entry
from pointsman.cluster import Actor, NodeState, Role
from pointsman.errors import LedgerError
from pointsman.ledger import opening, schema
from pointsman.ledger.opening import MIGRATIONS, migrate, revision
from pointsman.ledger.sqlite import Sqlite

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# What the first program wrote, in its own words.
FIRST = f"""
INSERT INTO artifact (id, digest, size, stored_at)
    VALUES (1, '{digest_of("x")}', 1, 5);
INSERT INTO chunk VALUES (1, 0, x'78');
INSERT INTO generation (number, state, actor, what, base, parent, timeout, proposed_at)
    VALUES (1, 'active', 'cli alice', 'deploy', 0, 0, 60, 5);
INSERT INTO change (generation, package, digest, kind, file, size)
    VALUES (1, 'a', '{digest_of("x")}', 'module', 'a.py', 1);
INSERT INTO entry (package, digest, kind, file, size, since)
    VALUES ('a', '{digest_of("x")}', 'module', 'a.py', 1, 1);
INSERT INTO stopped (service, since) VALUES ('a.one', 1);
INSERT INTO vote (generation, node, loaded, failures) VALUES (1, 'n1', 1, '[]');
INSERT INTO node
    (id, pid, started, state, joined_at, lease, lease_until, report, serves)
    VALUES ('n1', 1, 1, 'ready', 5, 15, 20, '{{}}', 1);
INSERT INTO token (digest, name, role, packages, created_at)
    VALUES ('{digest_of("t")}', 'ci', 'deployer', '["crm*"]', 5);
INSERT INTO event (at, actor, what) VALUES (5, 'cli alice', 'deploy');
UPDATE cluster SET active = 1, newest = 1, reloads = 4;
"""


@pytest.fixture(name="place")
def _place(tmp_path: Path) -> Iterator[SqlitePlace]:
    place = SqlitePlace(tmp_path)
    yield place
    place.close()


def make_first(place: SqlitePlace) -> None:
    """Make a ledger as the first program did."""
    database = Sqlite(make_url(place.url), time.time)
    with database.writing() as connection:
        migrate(connection, 1, place.url)
    database.close()
    with sqlite3.connect(database.path) as raw:
        raw.executescript(FIRST)
    raw.close()


def test_a_ledger_of_the_first_program(place: SqlitePlace) -> None:
    """It is migrated when it is opened, and all that was in it is there."""
    make_first(place)
    scene = Scene(place)
    contents = scene.ledger.contents(1)

    assert contents is not None
    assert {"a": entry("a", "x")} == contents.entries
    assert frozenset({"a.one"}) == contents.stopped
    assert [b"x"] == list(scene.ledger.chunks(digest_of("x")))
    assert Actor("cli alice") == scene.record(1).actor
    assert [True] == [vote.loaded for vote in scene.record(1).votes]
    token = scene.ledger.token(digest_of("t"))
    assert token is not None
    assert ("ci", Role.DEPLOYER, ("crm*",)) == (token.name, token.role, token.packages)
    seen = scene.ledger.observe("n1")
    assert seen.me is not None
    assert (NodeState.READY, 4, 0) == (seen.me.state, seen.reloads, seen.confirming)
    assert () == scene.ledger.check()


def test_a_migrated_ledger_works_on(place: SqlitePlace) -> None:
    """After the migration it is used, and opened, like a fresh one."""
    make_first(place)
    scene = Scene(place)
    scene.join("n1")
    scene.deploy(scene.put("b", "y"))
    scene.ledger.request_reload(Actor("cli bob"), confirm_removals=True)
    scene.ledger.prune(2)

    assert {"a": digest_of("x"), "b": digest_of("y")} == scene.elsewhere().served()


def test_migrated_is_as_made(place: SqlitePlace, tmp_path: Path) -> None:
    """The migrations lead to the very tables that a fresh ledger gets."""
    make_first(place)
    place.open()
    fresh = SqlitePlace(tmp_path / "fresh")
    fresh.open()
    fresh.close()
    one = described(tmp_path / "ledger.sqlite")
    two = described(tmp_path / "fresh" / "ledger.sqlite")

    assert two.keys() == one.keys()
    for table, columns in two.items():
        assert columns == one[table], table


def test_the_tables_are_what_the_code_says(place: SqlitePlace) -> None:
    """Alembic itself finds nothing to migrate any more."""
    make_first(place)
    database: Any = place.open()._database  # type: ignore[attr-defined]
    with database.reading() as connection:
        context = MigrationContext.configure(connection)
        assert [] == compare_metadata(context, schema.metadata)


def described(file: Path) -> dict[str, object]:
    """Return all tables with columns, keys, references and indexes, in any order."""
    connection = sqlite3.connect(file)

    def rows(query: str, *names: str) -> list[tuple[object, ...]]:
        return sorted(connection.execute(query, names).fetchall(), key=repr)

    found: dict[str, object] = {}
    for name, text in rows("SELECT name, sql FROM sqlite_master WHERE type = 'table'"):
        table = str(name)
        indexes = rows('SELECT name, "unique", origin FROM pragma_index_list(?)', table)
        found[table] = (
            rows(
                'SELECT name, type, "notnull", dflt_value, pk '
                "FROM pragma_table_info(?)",
                table,
            ),
            rows(
                'SELECT "table", "from", "to", on_delete '
                "FROM pragma_foreign_key_list(?)",
                table,
            ),
            [
                (index, rows("SELECT name FROM pragma_index_info(?)", str(index[0])))
                for index in indexes
            ],
            "AUTOINCREMENT" in str(text),
        )
    connection.close()
    return found


def test_a_failing_migration_leaves_what_was(
    place: SqlitePlace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A migration that breaks in its middle is undone, and can be done again."""
    make_first(place)
    broken = opening.migrate

    def half(connection: Any, version: int, url: str) -> None:
        broken(connection, version, url)
        raise KeyboardInterrupt

    monkeypatch.setattr(opening, "migrate", half)
    before = described(tmp_path / "ledger.sqlite")
    with pytest.raises(KeyboardInterrupt):
        place.open()
    assert before == described(tmp_path / "ledger.sqlite")
    monkeypatch.undo()
    assert 1 == Scene(place).active


def test_no_way_from_here(place: SqlitePlace, tmp_path: Path) -> None:
    """Tables whose revision nobody knows are told, and not touched."""
    make_first(place)
    with sqlite3.connect(tmp_path / "ledger.sqlite") as connection:
        connection.execute("UPDATE alembic_version SET version_num = 'lost'")
    connection.close()
    with pytest.raises(LedgerError, match="cannot be migrated"):
        place.open()


def test_each_version_has_its_file() -> None:
    """The last migration is the version that the tables have."""
    names = sorted(file.name for file in (MIGRATIONS / "versions").glob("0*.py"))

    expected = [revision(number) for number in range(1, schema.VERSION + 1)]
    assert expected == [name.partition("_")[0] for name in names]
