"""The server: its clock, its errors, and what happens to it under a running node."""

from __future__ import annotations

import select as selecting
import signal
import socket
import sys
import threading
from contextlib import closing, suppress
from typing import TYPE_CHECKING, Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import make_url, select

from contract.ledger.scene import ALICE, LEASE, PostgresqlPlace, Scene, node_named
from contract.ledger.test_together import at_once, script
from pointsman.cluster import NodeState, State
from pointsman.errors import LedgerError
from pointsman.ledger import (
    artifacts,
    open_ledger,
    postgresql,
    postgresql_session,
    schema,
)
from pointsman.ledger.opening import migrate
from pointsman.ledger.postgresql import Postgresql
from waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from contract.ledger.scene import Place


@pytest.fixture(name="place")
def _place() -> Iterator[PostgresqlPlace]:
    with closing(PostgresqlPlace()) as place:
        yield place


@pytest.fixture(name="scene")
def _scene(place: PostgresqlPlace) -> Scene:
    return Scene(place)


def database_of(scene: Scene) -> Any:
    """Return what the ledger of a scene works on."""
    return scene.ledger._database  # type: ignore[attr-defined]


# OPENING


def test_its_clock_counts(place: PostgresqlPlace) -> None:
    """Without another clock, times are those of the database's machine."""
    with closing(open_ledger(place.url)) as ledger:
        with place.server.connected(place.database) as operator:
            (before,) = operator.execute(
                "SELECT extract(epoch FROM now())::float8"
            ).fetchone()
        now = ledger.observe("").now
        ledger.join(node_named("n1"), lease=LEASE)
        (node,) = ledger.nodes()

    assert before <= now <= node.joined_at < before + 60
    assert node.joined_at + LEASE == node.lease_until


def test_the_clock_goes_on_within_a_transaction(place: PostgresqlPlace) -> None:
    """Who has waited for a lock does not write the time when it began to wait."""
    database = Postgresql(make_url(place.url), None)
    with database.writing() as connection:
        first, second = database.now(connection), database.now(connection)
    database.close()

    assert first < second


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"database": "nowhere"}, r"there is no such database .*createdb"),
        ({"username": "nobody_here"}, r"does not exist"),
        ({"drivername": "postgresql+psycopg2"}, "psycopg2 is not known"),
        ({"drivername": "mysql"}, "mysql is not known"),
    ],
)
def test_what_cannot_be_opened(
    place: PostgresqlPlace, change: dict[str, str], told: str
) -> None:
    """Each names what is wrong and the URL, without the password."""
    url = make_url(place.url).set(password="secret", **change)  # type: ignore[arg-type]
    with pytest.raises(LedgerError, match=told) as caught:
        open_ledger(url.render_as_string(hide_password=False))

    assert "secret" not in str(caught.value)


def test_nobody_answers() -> None:
    """A port where nobody listens is told as what it is."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"postgresql://me@127.0.0.1:{closed.getsockname()[1]}/db"
        with pytest.raises(LedgerError, match=r"does not answer .*refused.*; start it"):
            open_ledger(url)


def test_another_encoding(place: PostgresqlPlace) -> None:
    """A database that cannot write all names is refused, with what makes another."""
    with place.server.connected() as operator:
        operator.execute(
            "CREATE DATABASE latin ENCODING LATIN1 TEMPLATE template0 LOCALE 'C'"
        )
    try:
        with pytest.raises(LedgerError, match=r"its encoding is LATIN1.*UTF8"):
            open_ledger(place.server.url("latin"))
    finally:
        with place.server.connected() as operator:
            operator.execute("DROP DATABASE latin WITH (FORCE)")


def test_without_psycopg(
    place: PostgresqlPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A host that has no driver is told which extra brings it."""
    monkeypatch.delitem(sys.modules, "pointsman.ledger.postgresql")
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(LedgerError, match=r"install pointsman\[postgresql\]"):
        open_ledger(place.url)


def test_another_programs_database(place: PostgresqlPlace) -> None:
    """A database with tables that are not ours is left alone."""
    name = place.server.create()
    with place.server.connected(name) as operator:
        operator.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
        operator.execute("CREATE TABLE guests (name text)")
    with pytest.raises(LedgerError, match="another program, with tables like guests"):
        open_ledger(place.server.url(name))
    place.server.give_back(name)


def test_migrated_is_as_made(place: PostgresqlPlace) -> None:
    """The migrations, from the first, lead to the tables that a fresh ledger gets."""
    name = place.server.create()
    with place.server.connected(name) as operator:
        operator.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    url = place.server.url(name)
    database = Postgresql(make_url(url), None)
    with database.making() as connection:
        migrate(connection, 1, url)
    with closing(open_ledger(url)) as ledger:
        assert 0 == ledger.observe("").active
    with database.reading() as connection:
        context = MigrationContext.configure(connection)
        assert [] == compare_metadata(context, schema.metadata)
    database.close()
    place.open()
    assert described(place, place.database) == described(place, name)
    place.server.give_back(name)


def described(place: PostgresqlPlace, name: str) -> list[Any]:
    """Return columns, keys and indexes of all tables, in any order of columns."""
    with place.server.connected(name) as operator:
        columns = operator.execute(
            "SELECT table_name, column_name, data_type, is_nullable, column_default "
            "FROM information_schema.columns WHERE table_schema = 'public' ORDER BY 1,2"
        ).fetchall()
        keys = operator.execute(
            "SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) "
            "FROM pg_constraint WHERE connamespace = 'public'::regnamespace "
            "ORDER BY 1, 2"
        ).fetchall()
        indexes = operator.execute(
            "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public' "
            "ORDER BY 1"
        ).fetchall()
    return [columns, keys, indexes]


def test_reading_sees_one_moment(scene: Scene) -> None:
    """What others commit between two statements of a look is not seen by half."""
    with database_of(scene).reading() as connection:
        before = connection.execute(select(schema.cluster)).one()
        scene.elsewhere().ledger.request_reload(ALICE)
        assert before == connection.execute(select(schema.cluster)).one()
    assert before.reloads + 1 == scene.ledger.observe("").reloads


# UNDER A RUNNING NODE


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGQUIT])
def test_a_restart_is_not_noticed(scene: Scene, how: signal.Signals) -> None:
    """After a restart, or a crash, each connection is a new one; nothing was lost."""
    server = scene.place.server  # type: ignore[attr-defined]
    scene.join("n1")
    number = scene.deploy(scene.put("a", "1"))
    server.restart(how)

    assert number == scene.active
    scene.beat("n1")
    assert () == scene.ledger.check()


def test_while_it_is_away(scene: Scene) -> None:
    """Every call says that it does not answer; it is found again by itself."""
    server = scene.place.server  # type: ignore[attr-defined]
    scene.join("n1")
    scene.ledger.changed()
    server.stop()
    try:
        for attempt in (scene.ledger.nodes, lambda: scene.beat("n1")):
            with pytest.raises(LedgerError, match=r"does not answer|ended"):
                attempt()
        wait_for(scene.ledger.changed, "it says that somebody should look")
    finally:
        server.start()
    scene.beat("n1")


def killing(place: Place) -> None:
    """End all connections of the place's database, as an operator may."""
    with place.server.connected() as operator:  # type: ignore[attr-defined]
        operator.execute(
            "SELECT pg_terminate_backend(pid, 9000) FROM pg_stat_activity "
            "WHERE datname = %s",
            [place.database],  # type: ignore[attr-defined]
        )


def test_lost_within_a_transaction(scene: Scene) -> None:
    """What was not committed is not there, and the error says that it failed."""

    def write() -> None:
        with database_of(scene).writing() as connection:
            scene.ledger._note(connection, ALICE, "lost")  # type: ignore[attr-defined]
            killing(scene.place)
            scene.ledger._note(connection, ALICE, "lost")  # type: ignore[attr-defined]

    with pytest.raises(LedgerError, match="does not answer") as caught:
        write()

    assert "look, before" not in str(caught.value)
    assert [] == scene.events()


def test_lost_while_committing(scene: Scene) -> None:
    """Then nobody knows, and that is what is said."""

    def write() -> None:
        with database_of(scene).writing() as connection:
            scene.ledger._note(connection, ALICE, "lost")  # type: ignore[attr-defined]
            killing(scene.place)

    with pytest.raises(LedgerError, match="may have been written, or not: look"):
        write()


def test_nobody_keeps_the_others_waiting(
    place: PostgresqlPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who falls asleep within a transaction loses the cluster row to the others.

    Without the server's limit, a stopped process kept all nodes from deciding.
    """
    limits = dict(postgresql._OF_SESSIONS)
    assert "5s" == limits["idle_in_transaction_session_timeout"]
    limits["idle_in_transaction_session_timeout"] = "300ms"
    monkeypatch.setattr(postgresql, "_OF_SESSIONS", limits)
    scene, other = Scene(place), Scene(place)

    def sleep() -> None:
        with database_of(scene).writing() as connection:
            scene.ledger._lock(connection)  # type: ignore[attr-defined]
            assert other.ledger.request_reload(ALICE)
            connection.exec_driver_sql("SELECT 1")

    with pytest.raises(LedgerError, match="silent for too long"):
        sleep()


def test_a_lock_that_is_held_too_long(
    place: PostgresqlPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lock that is not given back is told, and where to see who has it."""
    limits = {**postgresql._OF_SESSIONS, "lock_timeout": "50ms"}
    monkeypatch.setattr(postgresql, "_OF_SESSIONS", limits)
    scene, other = Scene(place), Scene(place)
    with database_of(scene).writing() as connection:
        scene.ledger._lock(connection)  # type: ignore[attr-defined]
        with pytest.raises(LedgerError, match=r"kept a lock for .*pg_stat_activity"):
            other.ledger.request_reload(ALICE)


def test_a_copy_that_can_only_be_read(place: PostgresqlPlace) -> None:
    """On a standby, looking goes on; writing says what to name instead."""
    place.open()
    url = f"{place.url}&options=-c%20default_transaction_read_only%3Don"
    with closing(open_ledger(url)) as ledger:
        assert () == ledger.nodes()
        with pytest.raises(LedgerError, match=r"can only be read .*primary"):
            ledger.request_reload(ALICE)


def test_large_artifacts_are_streamed(scene: Scene) -> None:
    """An artifact goes in and out in pieces; never is all of it in one statement."""
    content = "y" * 6_500_000
    digest = scene.store(content)
    pieces = [len(piece) for piece in scene.ledger.chunks(digest)]

    assert (len(content), schema.CHUNK) == (sum(pieces), max(pieces))


def test_two_store_the_same_at_one_moment(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever is second finds it stored; nobody is turned away.

    Without the lock at the end, the second one broke the rule that there is one.
    """
    both, finish = threading.Barrier(2), artifacts._finish

    def together(*arguments: Any) -> None:
        with suppress(threading.BrokenBarrierError):
            both.wait(0.1)
        both.reset()
        finish(*arguments)

    monkeypatch.setattr(artifacts, "_finish", together)
    one, two = scene.elsewhere(), scene.elsewhere()
    for count in range(5):
        text = f"same {count}"
        at_once(lambda t=text: one.store(t), lambda t=text: two.store(t))  # type: ignore[misc]
    assert () == scene.ledger.check()


# WHO IS TOLD, AND WHO VOUCHES


def test_hints(scene: Scene) -> None:
    """A descriptor gets readable when there is something to do, and only then."""
    ledger, other = scene.ledger, scene.elsewhere()
    hints = ledger.hints()
    assert hints is not None
    ledger.changed()
    scene.join("n1")
    scene.beat("n1")
    change = scene.put("a", "1")
    assert [] == selecting.select([hints.descriptor], [], [], 0)[0]
    assert not hints.take()
    other.propose(change)

    assert [hints.descriptor] == selecting.select([hints.descriptor], [], [], 20)[0]
    assert hints.take()
    assert ledger.changed()
    assert [] == selecting.select([hints.descriptor], [], [], 0)[0]
    hints.close()


def test_hints_after_a_restart(scene: Scene) -> None:
    """The same descriptor tells of the next connection, and never of a dead one."""
    hints = scene.ledger.hints()
    assert hints is not None
    scene.ledger.changed()
    killing(scene.place)
    assert selecting.select([hints.descriptor], [], [], 20)[0]
    wait_for(lambda: hints.take() or scene.ledger.changed(), "the loss is told")
    assert [] == selecting.select([hints.descriptor], [], [], 0)[0]

    def told() -> bool:
        scene.ledger.changed()
        scene.elsewhere().ledger.request_reload(ALICE)
        return bool(selecting.select([hints.descriptor], [], [], 0.05)[0])

    wait_for(told, "it is told on a new connection")
    hints.close()


def staged(scene: Scene, *nodes: str) -> int:
    """Let nodes be silent for half a lease while a generation is staging."""
    scene.join(*nodes)
    number = scene.propose(scene.put("a", "1")).number
    scene.clock.now += LEASE * 0.6
    return number


HOLDS = """
scene = Scene(place)
scene.join("far")
print("joined", flush=True)
sys.stdin.readline()
"""


@pytest.fixture(name="quick")
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgresql, "MISSING", 0.2)


def test_who_is_dead_leaves_the_ballot(scene: Scene, quick: None) -> None:
    """A process of another machine that ends is known dead when its lock is free.

    It is listed on, as joining, with the reason; nobody waits for its vote.
    """
    scene.join("near")
    child = script(scene.place, HOLDS)
    assert child.stdout is not None
    assert "joined\n" == child.stdout.readline()
    number = staged(scene, "near")
    scene.vote("near", number)
    assert ["far", "near"] == scene.voters(number)
    child.kill()
    child.communicate()

    def decided() -> bool:
        scene.beat("near")
        scene.ledger.advance()
        return scene.state(number) is State.ACTIVE

    wait_for(decided, "it is active without the dead one")
    far = next(node for node in scene.ledger.nodes() if node.id == "far")
    assert (NodeState.JOINING, "node cut off") == (far.state, scene.events()[-2])
    assert "connection to the ledger has ended" in far.reason
    assert ["near"] == scene.voters(number)


def test_who_is_only_silent_does_not(scene: Scene, quick: None) -> None:
    """A stalled process holds its lock: it may serve, so what it delays fails."""
    other = scene.elsewhere()
    number = staged(scene, "near")
    other.join("far")
    scene.clock.now += LEASE * 1.1
    scene.beat("near")
    scene.vote("near", number)
    scene.ledger.advance()

    assert State.FAILED == scene.state(number)
    assert "far" in scene.record(number).reason


def test_a_restart_kills_nobody(scene: Scene, quick: None) -> None:
    """All locks are free after a restart; who comes back in time has left nothing.

    Without the wait, the first to come back would declare all others dead.
    """
    other = scene.elsewhere()
    other.join("far")
    number = staged(scene, "near")
    scene.vote("near", number)
    killing(scene.place)
    wait_for(scene.ledger.changed, "the loss is seen")
    scene.beat("near")
    assert not scene.ledger.advance()
    other.ledger.changed()

    def back() -> bool:
        other.ledger.changed()
        return "far" in held(scene)

    wait_for(back, "the other is back")
    wait_for(lambda: "near" in held(scene) or scene.ledger.changed(), "so is this one")
    assert not scene.ledger.advance()
    other.beat("far")
    other.vote("far", number)
    assert State.ACTIVE == scene.state(number)


def held(scene: Scene) -> set[str]:
    """Return which nodes somebody vouches for."""
    keys = locks(scene)
    return {
        n.id for n in scene.ledger.nodes() if postgresql_session.key_of(n.id) in keys
    }


def locks(scene: Scene) -> set[int]:
    """Return the keys of all locks that vouch for somebody."""
    with database_of(scene).reading() as connection:
        return set(connection.execute(postgresql._HELD).scalars())


def test_vouching_ends(scene: Scene) -> None:
    """A lock is held from joining until leaving, and until the process closes it."""
    scene.join("n1", "n2")
    assert {"n1", "n2"} == held(scene)
    scene.ledger.leave("n1")
    assert {"n2"} == held(scene)
    assert 1 == len(locks(scene))
    other = scene.elsewhere()
    scene.ledger.close()

    wait_for(lambda: not held(other), "nobody vouches any more")


def test_a_child_vouches_for_nobody(place: PostgresqlPlace) -> None:
    """A forked child has none of its parent's nodes; the parent has them again."""
    code = """
scene = Scene(place)
scene.join("n1")
database = scene.ledger._database
pid = os.fork()
if not pid:
    scene.ledger.changed()
    os._exit(len(database._nodes.all()))
assert os.waitpid(pid, 0)[1] == 0
scene.ledger.changed()
assert database._nodes.all() == {"n1"}
with scene.ledger._database.writing() as connection:
    assert scene.ledger._database.lost(connection, ["n1"]) == {}
print("done")
"""
    with script(place, code) as child:
        said, _ = child.communicate(timeout=60)
    assert (0, "done\n") == (child.returncode, said)


def test_from_many_threads(scene: Scene) -> None:
    """More threads than connections wait for each other, and all get through."""
    scene.join("n1")
    errors: list[BaseException] = []

    def beat() -> None:
        try:
            for _ in range(10):
                scene.beat("n1")
        except BaseException as error:  # noqa: BLE001 - told below
            errors.append(error)

    threads = [threading.Thread(target=beat) for _ in range(24)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [] == errors
