"""Which package has which service name and path, over a restart.  Effects.

Two packages want one path: the first keeps it.  Which one was first must not
depend on the order in which the next process happens to look at them, so the
ledger remembers it.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from pointsman.errors import LedgerError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pointsman.interfaces import Ledger

_log = logging.getLogger(__name__)


class Claims:
    """Names, paths and their packages.  One thread at a time.

    They only decide clashes, so a ledger that cannot be read or written costs no
    more than that: it is logged, and the order of the sources decides.
    """

    def __init__(self) -> None:
        """Know nothing before `use`."""
        self._ledger: Ledger | None = None
        self._writes = False
        self._known: Mapping[str, str] | None = None

    def use(self, ledger: Ledger, *, writes: bool) -> None:
        """Read from this ledger, and write to it if it ``writes``."""
        self._ledger, self._writes = ledger, writes

    def read(self) -> Mapping[str, str]:
        """Return service name or path to package."""
        if self._known is None and self._ledger is not None:
            try:
                self._known = dict(self._ledger.mounts())
            except LedgerError as error:
                _log.warning("who had which path is not known: %s", error)
        return self._known or {}

    def keep(self, claims: Mapping[str, str]) -> None:
        """Write what is served now, if that is different."""
        if self._ledger is None or not self._writes or claims == self.read():
            return
        self._known = dict(claims)
        try:
            self._ledger.keep_mounts(claims)
        except LedgerError as error:
            _log.warning("who has which path is not written down: %s", error)
