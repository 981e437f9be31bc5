"""What reads sources, runs code and follows generations.  Values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    from pointsman.cluster import Contents, Failed
    from pointsman.model import Package, Scan

#: One version of a package, as a runtime holds it.
Loaded = TypeVar("Loaded")


class Source(Protocol):
    """Something that knows which packages shall be served."""

    def scan(self) -> Scan:
        """Return what is wanted now.

        Called from one thread at a time; may block on files.  It never raises for
        what it looks at: whatever cannot be used is a problem of the scan, with
        its place, and does not hide the rest.  Scanning twice without a change in
        between gives packages of the same digests.
        """
        ...


class Runtime(Protocol[Loaded]):
    """Where versions of packages run.

    The steps of a version's life, in this order.  A deployment takes each step for
    all of its packages before it takes the next for any.  `open` and `forget` run
    nothing of the package's code and are called from one thread at a time; the
    others run it, on a thread that may be given up when it does not come back.
    """

    def open(self, package: Package) -> Loaded:
        """Lay out a version; run nothing of it.

        Raises:
            ReleaseError: this machine does not take it.

        """
        ...

    def load(self, loaded: Loaded) -> None:
        """Import it, make its services, let them check; once, however often called.

        Raises:
            LoadError: its code raised, whatever it raised.

        """
        ...

    def start(self, loaded: Loaded) -> None:
        """Let its services get ready; once, however often called.

        Raises:
            LoadError: one of them raised.

        """
        ...

    def stop(self, loaded: Loaded) -> None:
        """Let started services go; what they raise is logged."""
        ...

    def forget(self, loaded: Loaded, heir: Loaded | None) -> None:
        """Let go of a version that serves nothing any more.

        ``heir`` is what serves instead, if anything does.  Any thread, also while
        another version of the same package is being loaded.
        """
        ...


class Follower(Protocol):
    """One process's end of the generations, as the reconciler drives it.

    From one thread at a time.
    """

    @property
    def number(self) -> int:
        """Return the generation that serves; 0 if none does."""
        ...

    @property
    def staged(self) -> int | None:
        """Return the generation that waits for `switch` or `discard`."""
        ...

    def stage(self, contents: Contents) -> tuple[Failed, ...]:
        """Load a generation beside what serves; return who fails, and nothing then."""
        ...

    def switch(self) -> None:
        """Serve what was staged; cannot fail."""
        ...

    def discard(self) -> None:
        """Let go of what was staged, if anything is."""
        ...

    def join(self, contents: Contents) -> tuple[Failed, ...]:
        """Go to a generation that is decided; return who fails, and nothing then."""
        ...
