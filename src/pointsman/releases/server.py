"""What an activation asks of whatever serves a site.  Values.

Two implement it: ``paster serve`` (`pointsman.cli.served`), which hands its sockets to
the next release, and Apache (`pointsman.releases.apache`), whose processes are moved.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from pointsman.releases.layout import Release

    OnStep = Callable[[str, str], None]


@dataclass(frozen=True, slots=True)
class Account:
    """As whom the site is served."""

    uid: int
    gid: int


@dataclass(frozen=True, slots=True)
class Seen:
    """Who answers the site's clients at this moment.

    ``release`` is None when nobody does, or when it runs from elsewhere: ``tree`` says
    from where.  ``deaf``: it lives, and does not answer questions.  ``undecided``: a
    switch is on its way, and the server itself will end it, this way or that.
    ``refused`` is what it did not keep in its last switch, for the ``reason``.
    """

    running: bool = False
    release: Release | None = None
    tree: str = ""
    deaf: bool = False
    undecided: bool = False
    refused: Release | None = None
    reason: str = ""
    account: Account | None = None


@dataclass(frozen=True, slots=True)
class Moved:
    """What became of a switch; when it was not kept, what served before serves again.

    ``lost`` counts the requests that died with the new release; ``pid`` is that of
    the process that serves now, where there is one.
    """

    kept: bool
    reason: str = ""
    lost: int = 0
    pid: int = 0


class Server(Protocol):
    """Whatever serves.  One thread; every call may block."""

    @property
    def decides(self) -> bool:
        """Tell whether it ends a switch by itself when nobody waits for it."""

    def seen(self) -> Seen:
        """Look who serves now.

        Raises:
            ReleaseError: it cannot be known.

        """

    def switch(self, target: Release, *, watch: float, on_step: OnStep) -> Moved:
        """Let ``target`` serve, and watch it for ``watch`` seconds.

        Nobody is refused meanwhile.  ``on_step`` is told ``started``, ``ready``,
        ``watching`` with a detail, in this thread, before what comes next.

        Raises:
            ReleaseError: it was not begun, or how it ended cannot be known.

        """

    def start(self, target: Release, *, watch: float, on_step: OnStep) -> Moved:
        """Let ``target`` serve, where nobody does.

        When this thread is interrupted, nobody does afterwards.
        """

    def replace(self, target: Release, *, watch: float, on_step: OnStep) -> Moved:
        """End who is deaf, then start; whatever it was doing is lost."""

    def restore(self, release: Release | None, reason: str, on_step: OnStep) -> None:
        """End a switch that is not ended, and let ``release`` serve again.

        A server that decides itself knows what served before, and is told the reason.

        Raises:
            ReleaseError: it could not be done.

        """
