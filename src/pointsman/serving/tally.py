"""How many answers a server owes, in memory that outlives it.

Effects: one page of shared memory (memfd_create(2)).  The server on probation writes;
the one that gave it the page reads how many requests died with it.  Each connection
has the byte of its descriptor's number, so nobody adds up and nobody waits: what is
written is whole at any instant, also that of a SIGKILL.

What nobody can count is a request that has arrived in the kernel, on a connection that
was idle, and that the server has not read yet.  So idle connections are counted too.
"""

from __future__ import annotations

import mmap
import os
import resource

# One byte for each descriptor that this process may open, within reason.
_MOST = 1 << 20
# A byte: 0 for no connection, one more than the answers owed, 255 for many.
_FULL = 255


class Tally:
    """The writing side; quiet until it is given a page."""

    def __init__(self) -> None:
        """Count nothing yet."""
        self._page: mmap.mmap | None = None
        #: Whether anybody reads it; asked before each note, on the request path.
        self.counts = False

    def begin(self, page: mmap.mmap) -> None:
        """Write to ``page`` from now on; before the first connection."""
        self._page, self.counts = page, True

    def end(self) -> None:
        """Stop: nobody reads any more.  A note that is under way harms nobody."""
        self.counts = False

    def note(self, number: int, owed: int) -> None:
        """Note the answers owed on the connection with this descriptor."""
        self._write(number, min(owed + 1, _FULL))

    def forget(self, number: int) -> None:
        """Note that the connection is closed."""
        self._write(number, 0)

    def _write(self, number: int, value: int) -> None:
        page = self._page
        if page is not None and number < len(page):
            page[number] = value


class Page:
    """The reading side, which makes the page; one thread.

    ``descriptor`` is what the writer is given.
    """

    def __init__(self) -> None:
        """Make a page with a zero for everybody."""
        limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        size = _MOST if limit == resource.RLIM_INFINITY else min(limit, _MOST)
        self.descriptor = os.memfd_create("in flight", os.MFD_CLOEXEC)
        os.ftruncate(self.descriptor, size)
        self._page = mmap.mmap(self.descriptor, size)

    def owed(self) -> int:
        """Return how many answers are owed on all connections together."""
        return sum(value - 1 for value in self._noted())

    def idle(self) -> int:
        """Return how many connections were open without an answer being owed."""
        return self._noted().count(1)

    def _noted(self) -> bytes:
        return self._page[:].replace(b"\0", b"")

    def close(self) -> None:
        """Let go of it."""
        self._page.close()
        os.close(self.descriptor)


def mapped(descriptor: int) -> mmap.mmap:
    """Map a page that was handed over; the descriptor is closed."""
    try:
        return mmap.mmap(descriptor, os.fstat(descriptor).st_size)
    finally:
        os.close(descriptor)
