"""The simulated ledger as the contract suite wants it: real threads, no simulation."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from contract.ledger.scene import ABSENT_AFTER, Clock
from pointsman.ledger.whole import SqlLedger
from simulation.database.connection import Memory
from simulation.database.tables import Tables
from simulation.database.transactions import Refusal

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from pathlib import Path

    from pointsman.interfaces import Ledger
    from simulation.database.transactions import Transaction

_PATIENCE = 5.0  # seconds for a lock


class Threads:
    """Lets real threads wait for each other, and is a line that loses nothing."""

    def __init__(self) -> None:
        self._ended = threading.Condition()

    def turn(self) -> AbstractContextManager[object]:
        """Keep other threads out while a statement runs; it may wait within."""
        return self._ended

    def wait(self, blocked: Transaction) -> None:
        """Let others in until one of them has ended."""
        if not self._ended.wait(_PATIENCE):
            raise Refusal(f"{blocked.waits_for[0].name} has kept it locked")

    def ended(self, transaction: Transaction) -> None:
        """Let all look again."""
        self._ended.notify_all()

    def end(self, transaction: Transaction) -> None:
        """Roll back what was not committed."""
        with self._ended:
            transaction.roll_back()


class MemoryPlace:
    """Tables in memory; each `open` is as by another process."""

    def __init__(self, folder: Path) -> None:
        self.clock = Clock()
        self.url = "memory:"
        self.code = ""  # no other process has it
        self._threads = Threads()
        with self._threads.turn():
            self.tables = Tables(self._threads)

    def open(self, clock: Callable[[], float] | None = None) -> Ledger:
        """Open the same tables once more."""
        return SqlLedger(
            Memory(self.tables, self._threads, clock or self.clock, self.url),
            ABSENT_AFTER,
        )

    def close(self) -> None:
        """Leave nothing behind: memory goes by itself."""
