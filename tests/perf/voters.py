"""Many nodes that vote, in one process: what a large cluster costs the database.

Each is a reconciler with its own connections, as in a process of its own; what it
loads is nothing.
"""

from __future__ import annotations

import threading
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from pointsman.agent import Agent
from pointsman.cluster import Contents, NodeRecord, NodeState
from pointsman.ledger import open_ledger
from pointsman.reconcile import Reconciler
from waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pointsman.cluster import Failed
    from pointsman.interfaces import Ledger


#: Long: hundreds of them share one Python, and none shall be taken for silent.
LEASE = 60.0


class Nothing:
    """An end of the generations that loads nothing, and never fails."""

    def __init__(self) -> None:
        self.number = 0
        self.staged: int | None = None

    def stage(self, contents: Contents) -> tuple[Failed, ...]:
        """Take its number."""
        self.staged = contents.number
        return ()

    def switch(self) -> None:
        """Serve it."""
        self.number, self.staged = self.staged or 0, None

    def discard(self) -> None:
        """Let it go."""
        self.staged = None

    def join(self, contents: Contents) -> tuple[Failed, ...]:
        """Serve what is decided."""
        self.number = contents.number
        return ()


class Voter:
    """One node, with a thread and a ledger of its own."""

    def __init__(self, url: str, number: int) -> None:
        self.ledger = open_ledger(url)
        self._local = Nothing()
        node = NodeRecord(
            id=f"voter:{number}",
            host=f"host{number}",
            pid=number,
            started=1,
            release="",
            python="",
            state=NodeState.JOINING,
            generation=0,
            joined_at=0.0,
            lease_until=0.0,
        )
        self._reconciler = Reconciler(
            node=node,
            ledger=self.ledger,
            local=self._local,
            lease=LEASE,
            history=100,
            gone=lambda _: frozenset(),
            report=dict,
            answer=lambda _: None,
            reload=lambda *_: None,
        )
        self._agent = Agent(
            step=self._reconciler.step,
            changed=self.ledger.changed,
            busy=lambda: self._local.staged is not None,
            hints=self.ledger.hints,
        )
        self._agent.start()

    def serves(self, number: int) -> bool:
        """Tell whether it has switched."""
        return self._local.number == number

    def close(self) -> None:
        """Leave."""
        self._agent.close()
        self._reconciler.leave()
        self.ledger.close()


@contextmanager
def voting(url: str, number: int) -> Iterator[list[Voter]]:
    """Let so many be ready."""
    with ExitStack() as stack:
        voters: list[Voter] = []
        for one in range(number):
            voters.append(Voter(url, one))
            stack.callback(voters[-1].close)
        ledger = voters[0].ledger
        wait_for(lambda: number == _ready(ledger), "all voters are ready", 120)
        yield voters
        threads = [threading.Thread(target=voter.close) for voter in voters]
        stack.pop_all()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


def _ready(ledger: Ledger) -> int:
    return sum(node.state is NodeState.READY for node in ledger.nodes())
