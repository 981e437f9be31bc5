"""Connections that do not wait for ever for a server that answers nobody.  Effects.

A machine whose disk hangs, or that is stopped, goes on acknowledging packets: TCP sees
nothing wrong, and a statement would wait without end.  The limits that the server keeps
itself (`postgresql`) are of no use there.  So who waits for long tries to connect anew:
a server that is only busy lets it in.
"""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Any, Final, TypeVar

import psycopg

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping

    from psycopg.abc import PQGen

Result = TypeVar("Result")

#: After how many seconds without an answer the server is looked at, again and again.
DOUBT: Final = 5.0

#: How often it is seen whether that is over, in seconds.
_TURN: Final = 0.1


class Patient(psycopg.Connection[Any]):
    """A connection that is given up when its server answers nobody."""

    given: Mapping[str, Any]  # what it was made with

    @classmethod
    def made(cls, arguments: Mapping[str, Any]) -> Patient:
        """Connect.

        Raises:
            psycopg.OperationalError: that cannot be done.

        """
        connection = cls.connect(**arguments)
        connection.given = arguments
        return connection

    def wait(
        self,
        gen: PQGen[Result],
        interval: float = _TURN,
        timeout: float | None = None,
    ) -> Result:
        """Do what psycopg does, as long as the server answers anybody.

        Raises:
            psycopg.OperationalError: it does not; the connection is closed.

        """
        try:
            return super().wait(_doubting(gen, self._look), interval, timeout)
        except _SilentError:
            self.close()
            raise

    def _look(self) -> None:
        """See whether the server lets anybody in: this one, of several hosts."""
        info = self.info
        here = {"host": info.host, "port": info.port, "hostaddr": info.hostaddr}
        known = {word: value for word, value in here.items() if value}
        try:
            psycopg.connect(**{**self.given, **known}).close()
        except psycopg.OperationalError as error:
            message = f"no answer for {DOUBT:g} s, and none to another: {error}"
            raise _SilentError(message) from error


class _SilentError(psycopg.OperationalError):
    """The server answers nobody."""


def _doubting(
    gen: PQGen[Result], look: Callable[[], None]
) -> Generator[Any, Any, Result]:
    """Go on as ``gen``; call ``look`` whenever nothing has come for so long."""
    try:
        wanted = next(gen)
        doubtful = monotonic() + DOUBT
        while True:
            ready = yield wanted
            if ready:
                doubtful = monotonic() + DOUBT
            elif monotonic() > doubtful:
                look()
                doubtful = monotonic() + DOUBT
            wanted = gen.send(ready)
    except StopIteration as over:
        result: Result = over.value
        return result
