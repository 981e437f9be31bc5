"""What the sources of this machine want, read and followed.  Engine."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from pointsman import reporting
from pointsman.local import NOTHING
from pointsman.model import Report

if TYPE_CHECKING:
    from pointsman.interfaces import Ledger
    from pointsman.local import Local
    from pointsman.machinery import Machinery
    from pointsman.model import Outcome, Scan


class Reloading:
    """Reads the sources and goes as far as what they want allows.

    From one thread at a time.  ``last`` is the last report, None before the first.
    """

    def __init__(self, machinery: Machinery) -> None:
        """Read nothing yet."""
        self._machinery = machinery
        self.last: Report | None = None
        self.followed = -1  # the last request of a reload that this has followed

    def run(self, local: Local, ledger: Ledger, request: int = 0) -> Report:
        """Look at all sources; the first time, go to the active generation as well.

        ``request`` numbers it where all nodes were asked.  Each change is logged.

        Raises:
            LedgerError: the first time, and the ledger cannot be used.

        """
        begun = time.perf_counter()
        first = self.last is None
        if first:  # before the sources: who is asked meanwhile, reads them again
            request = ledger.observe("").reloads
        scan, problems = self._machinery.look()
        switching = self._machinery.switching
        before = switching.switches
        outcomes = _first(local, ledger, scan) if first else local.follow(scan)
        report = Report(
            pid=os.getpid(),
            generation=local.number,
            duration_ms=round((time.perf_counter() - begun) * 1000, 3),
            outcomes=outcomes,
            problems=problems,
            stuck=self._machinery.preparation.stuck,
            switches=switching.switches,
            shadowed=local.shadowed,
            request=request,
            is_start=first,
        )
        self.last = report
        self.followed = max(self.followed, request)
        reporting.log(report, before)
        return report


def _first(local: Local, ledger: Ledger, scan: Scan) -> tuple[Outcome, ...]:
    """Serve the newest generation that was active and that loads here."""
    local.static = scan
    active = ledger.observe("").active
    told: tuple[Outcome, ...] = ()
    for number in (active, *ledger.was_active(active)):
        contents = ledger.contents(number) if number else NOTHING
        if contents is not None and not local.join(contents):
            return told or local.outcomes
        told = told or local.outcomes  # of the active one: why it is not served
    local.join(NOTHING)
    return told
