"""Servers that acknowledge packets and answer nobody; and servers that are only busy.

Broken on purpose, and seen to fail: one that is waited for without end; one that is
given up though it lets others in; another host that is asked in its place.
"""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from contract.ledger.scene import ALICE, PostgresqlPlace, Scene
from pointsman.errors import LedgerError
from pointsman.ledger import patience, postgresql

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(name="place")
def _place(monkeypatch: pytest.MonkeyPatch) -> Iterator[PostgresqlPlace]:
    """Give a ledger whose server is looked at soon."""
    quick = {**postgresql._OF_CONNECTIONS, "connect_timeout": "2"}
    monkeypatch.setattr(postgresql, "_OF_CONNECTIONS", quick)
    monkeypatch.setattr(patience, "DOUBT", 0.15)
    with closing(PostgresqlPlace()) as place:
        yield place


@pytest.fixture(name="asked")
def _asked(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Give what connections are made with; the list grows."""
    made: list[dict[str, Any]] = []
    connect = psycopg.connect

    def noted(*where: str, **given: Any) -> Any:
        if not where:  # else it is an operator
            made.append(given)
        return connect(*where, **given)

    monkeypatch.setattr(psycopg, "connect", noted)
    return made


def database_of(scene: Scene) -> Any:
    """Return what the ledger of a scene works on."""
    return scene.ledger._database  # type: ignore[attr-defined]


def test_a_busy_server_is_waited_for(
    place: PostgresqlPlace, asked: list[dict[str, Any]]
) -> None:
    """It lets others in: looked at again and again, it is given its time."""
    with database_of(Scene(place)).reading() as connection:
        found = connection.exec_driver_sql("SELECT pg_sleep(0.9), 5").one()

    assert 5 == found[1]
    assert 2 <= len(asked) <= 6


def test_a_frozen_server_is_given_up(place: PostgresqlPlace) -> None:
    """For reading, and within a transaction, of which nothing is written then."""
    scene = Scene(place)
    scene.join("n1")

    def write() -> None:
        with database_of(scene).writing() as connection:
            scene.ledger._note(connection, ALICE, "lost")  # type: ignore[attr-defined]
            with place.server.frozen():
                connection.exec_driver_sql("SELECT 1")

    with pytest.raises(LedgerError, match=r"no answer for .*, and none to another"):
        write()
    with (
        place.server.frozen(),
        pytest.raises(LedgerError, match="tried again by itself"),
    ):
        scene.ledger.nodes()

    assert ["n1"] == [one.id for one in scene.ledger.nodes()]
    assert ["node joined"] == scene.events()


def test_it_may_freeze_while_it_commits(place: PostgresqlPlace) -> None:
    """Then nobody knows whether it is written, and that is what is said."""
    scene = Scene(place)
    frozen = place.server.frozen()

    def write() -> None:
        with database_of(scene).writing() as connection:
            scene.ledger._note(connection, ALICE, "who knows")  # type: ignore[attr-defined]
            frozen.__enter__()

    try:
        with pytest.raises(LedgerError, match="may have been written, or not: look"):
            write()
    finally:
        frozen.__exit__(None, None, None)


def test_of_several_hosts_the_same_is_looked_at(
    place: PostgresqlPlace, asked: list[dict[str, Any]]
) -> None:
    """The one that does not answer; that another is well is no reason to wait."""
    scene = Scene(place)
    database = database_of(scene)
    folder, port = str(place.server.folder), place.server.port
    given = database._arguments
    database._arguments = {**given, "host": f"/nowhere,{folder}", "port": f"1,{port}"}
    with database.reading() as connection:
        connection.exec_driver_sql("SELECT pg_sleep(0.5)")

    assert {(folder, port)} == {(one["host"], one["port"]) for one in asked}
