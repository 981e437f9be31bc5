"""Which node scans a directory: one at a time, by a lease of the ledger.  Engine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pointsman.settings import Trigger

if TYPE_CHECKING:
    from pointsman.directories.desk import Desk
    from pointsman.directories.place import Place

#: Seconds for which a node is the one that scans a directory, and after which it says
#: so again.  A node that is known dead loses it at once.
LEASE, RENEW = 30.0, 10.0

#: Seconds until a node asks again whether it shall scan: soon after its start, when
#: the one before it may be found dead any moment, and then.
SOON, LATER = 0.2, 5.0

#: Seconds between two questions because of events, while another node scans.
EAGER = 1.0


@dataclass(slots=True)
class Turn:
    """Whether this node scans one directory.  One thread."""

    desk: Desk
    place: Place
    trigger: Trigger
    mine: bool = False
    looked: bool = False  # once, at the start
    until: float = 0.0  # when the ledger is to be asked again
    _asked: float = 0.0  # when it was
    _pause: float = SOON

    def wanted(self) -> bool:
        """Tell whether this node should be the one that scans, if it can."""
        if self.trigger in (Trigger.NOTIFIED, Trigger.POLLED):
            return True
        if not self.looked or self.place.asked or self.place.pending():
            return True
        return self.mine and self.place.next is not None

    def next(self) -> float | None:
        """Return when something is to be done, by the clock of the desk."""
        times = [self.until] if self.wanted() else []
        if self.mine and self.place.next is not None:
            times.append(self.place.next)
        return min(times) if times else None

    def is_ours(self, *, told: bool) -> bool:
        """Tell whether this node scans; ask the ledger when it is time.

        ``told``: something happened in the directory.

        Raises:
            LedgerError: the ledger cannot be asked.

        """
        now = self.desk.clock()
        if not self.wanted():
            return False
        early = self.place.asked or (told and now > self._asked + EAGER)
        if now < self.until and (self.mine or not early):
            return self.mine
        was, self._asked = self.mine, now
        self.mine = self.desk.ledger.scanner(
            self.place.location, self.desk.node, lease=LEASE
        )
        if self.mine:
            self.until, self._pause = now + RENEW, SOON
            if not was:
                self.place.look_at = now
            return True
        if was:
            self.place.relieved()
        self.until = now + self._pause
        self._pause = min(LATER, self._pause * 1.5)
        return False
