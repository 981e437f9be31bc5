"""Processes on PostgreSQL: from an upload to active everywhere, and what it costs.

The server is our own, writes to a disk, and waits for it.
"""

from __future__ import annotations

import hashlib
import re
import statistics
import time
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from perf import host, processes
from perf.crowd import quantile
from perf.sources import module
from perf.table import Table, met
from perf.voters import voting
from pointsman.cluster import Actor, Change, Entry, Proposal
from pointsman.model import Kind
from postgresql_server import PostgresqlServer
from waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from perf.table import Cell
    from perf.voters import Voter
    from pointsman.interfaces import Ledger

#: Milliseconds.
UPLOAD, SPREAD = 400, 100
NODES = 8
_WARM = 3
_SETTLE = 6.0  # seconds: more than one sign of life
_STATEMENT = re.compile(rb"LOG:  (?:statement|execute [^:]*): (\w+)(.*)")


def measure(*, quick: bool = False) -> list[Table]:
    """Measure deployments, then idle nodes, then many voters."""
    times, minutes = (10, 0.2) if quick else (60, 1.0)
    voters = (10, 20) if quick else (10, 50, 100, 200)
    with closing(PostgresqlServer(durable=True)) as server:
        server.start()
        deployed = [_deployments(server, times, rehearse=r) for r in (False, True)]
        idle = [_idle(server, nodes, minutes) for nodes in (2, 4, NODES)]
        many = [_many(server, number, 3 if quick else 5) for number in voters]
    return [
        Table(
            f"cluster: {NODES} processes on PostgreSQL, a module of 100 lines, "
            f"{times} times, in milliseconds",
            ("", "median", "95 %", "most", "target"),
            tuple(row for rows in deployed for row in rows),
            (
                "PUT until its answer, which comes when every node serves it; apart:",
                "from the first node's switch to the last's, by the database's clock",
            ),
        ),
        Table(
            "cluster: what idle nodes ask of PostgreSQL, per node and minute",
            (
                "nodes",
                "transactions",
                "statements",
                "of them BEGIN, COMMIT",
                "notifications",
                "processor ms",
            ),
            tuple(idle),
            ("processor: of PostgreSQL, with all statements logged",),
        ),
        Table(
            "cluster: one deployment on many nodes, which load nothing",
            (
                "nodes",
                "statements",
                "per node",
                "notifications",
                "until all serve, ms",
                "PostgreSQL's processor, ms",
            ),
            tuple(many),
            (
                "all nodes in one process with a thread each: the time is mostly that",
                "of one Python for all of them; medians of some deployments",
            ),
        ),
    ]


# DEPLOYMENTS


def _deployments(
    server: PostgresqlServer, times: int, *, rehearse: bool
) -> list[tuple[Cell, ...]]:
    took, apart = [], []
    settings = f"ledger.url = {_url(server)}"
    with host.cluster(NODES, rehearse=rehearse, settings=settings) as hosts:
        for version in range(1, times + _WARM + 1):
            begun = time.perf_counter()
            document = hosts[0].put("rates", module(version).encode())
            took.append((time.perf_counter() - begun) * 1e3)
            record = hosts[0].call("GET", f"generations/{document['generation']}")
            apart.append(record["timings"]["spread_ms"] or 0.0)
            answers = {one.get("/rates") for one in hosts}
            assert {str(version)} == answers
    told = f"rehearse = {'yes' if rehearse else 'no'}"
    return [
        _row(f"PUT, {told}", took[_WARM:], UPLOAD),
        _row(f"nodes apart, {told}", apart[_WARM:], SPREAD),
    ]


def _row(name: str, took: list[float], target: float) -> tuple[Cell, ...]:
    median = statistics.median(took)
    return name, median, quantile(took, 0.95), max(took), met(median, target)


def _url(server: PostgresqlServer) -> str:
    """Return the URL of an empty database, as an ini has it."""
    return server.url(server.create()).replace("%", "%%")


# WHAT POSTGRESQL IS ASKED


@dataclass(slots=True)
class Asked:
    """What the server was asked while something was done."""

    statements: int = 0
    framing: int = 0  # BEGIN, COMMIT, ROLLBACK
    notifications: int = 0
    processor: float = 0.0  # milliseconds


@contextmanager
def _counted(server: PostgresqlServer) -> Iterator[Asked]:
    """Count the statements of a block, by the server's log."""
    asked = Asked()
    _log_statements(server, "all")
    begun, spent = server.log.stat().st_size, _spent(server)
    yield asked
    asked.processor = _spent(server) - spent
    with server.log.open("rb") as log:
        log.seek(begun)
        for line in log:
            if found := _STATEMENT.search(line):
                asked.statements += 1
                asked.framing += found[1] in {b"BEGIN", b"COMMIT", b"ROLLBACK"}
                asked.notifications += b"pg_notify" in found[2]
    _log_statements(server, "none")


def _log_statements(server: PostgresqlServer, which: str) -> None:
    with server.connected() as operator:
        operator.execute(f"ALTER SYSTEM SET log_statement = '{which}'")
        operator.execute("SELECT pg_reload_conf()")
        shown = "SHOW log_statement"

        def is_set() -> bool:
            return bool(operator.execute(shown).fetchone()[0] == which)

        wait_for(is_set, "the server has read its settings")
    time.sleep(0.5)  # the others read them between two statements of their own


def _spent(server: PostgresqlServer) -> float:
    assert server.process is not None
    return processes.spent(processes.family(server.process.pid))


def _idle(server: PostgresqlServer, nodes: int, minutes: float) -> tuple[Cell, ...]:
    settings = f"ledger.url = {_url(server)}"
    with host.cluster(nodes, rehearse=False, settings=settings):
        time.sleep(_SETTLE)
        with _counted(server) as asked:
            time.sleep(minutes * 60)
    share = nodes * minutes
    return (
        nodes,
        asked.framing / 2 / share,
        asked.statements / share,
        asked.framing / share,
        asked.notifications / share,
        asked.processor / share,
    )


# MANY VOTERS


def _many(server: PostgresqlServer, number: int, times: int) -> tuple[Cell, ...]:
    taken: list[tuple[float, ...]] = []
    url = server.url(server.create())
    with voting(url, number) as voters:
        for version in range(times + 1):
            time.sleep(1)
            with _counted(server) as asked:
                lasted = _deployed(voters, version)
            row = asked.statements, asked.notifications, lasted, asked.processor
            taken.append(row)
    medians = [statistics.median(column) for column in zip(*taken[1:], strict=True)]
    statements, notifications, lasted, processor = medians
    return number, statements, statements / number, notifications, lasted, processor


def _deployed(voters: list[Voter], version: int) -> float:
    ledger: Ledger = voters[0].ledger
    data = module(version).encode()
    entry = _stored(ledger, data)
    begun = time.perf_counter()
    proposal = Proposal(Actor("bench"), "deploy", (Change("rates", entry),))
    number = ledger.propose(proposal, timeout=120).number

    def all_serve() -> bool:
        return all(voter.serves(number) for voter in voters)

    try:
        wait_for(all_serve, f"all {len(voters)} serve {number}", 120)
    except AssertionError as error:
        raise AssertionError(str(ledger.generation(number))[:4000]) from error
    return (time.perf_counter() - begun) * 1e3


def _stored(ledger: Ledger, data: bytes) -> Entry:
    digest = hashlib.sha256(data).hexdigest()
    ledger.store(digest, len(data), [data])
    made: dict[str, Any] = {"kind": Kind.MODULE, "file": "rates.py"}
    return Entry("rates", digest, size=len(data), **made)
