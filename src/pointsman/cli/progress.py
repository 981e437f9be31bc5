"""What takes long, told while it does: on a terminal, and nowhere else.  Effects."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Self

from rich.console import Console
from rich.filesize import decimal
from rich.text import Text

from pointsman.errors import Error

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.status import Status

    from pointsman.cli.uploads import Upload

_LOOK = 0.25  # seconds between two looks at the votes


class Progress:
    """One line at the foot of the terminal.  `say` may be called from any thread.

    On standard error: standard output is for what was asked for.
    """

    def __init__(self, console: Console | None = None) -> None:
        """Show nothing yet."""
        self._console = console or Console(stderr=True, highlight=False)
        self._status: Status | None = None

    @property
    def is_shown(self) -> bool:
        """Tell whether anybody sees it."""
        return self._console.is_terminal

    def __enter__(self) -> Self:
        """Begin, where there is a terminal."""
        if self.is_shown:
            self._status = self._console.status("…")
            self._status.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Take the line away."""
        if self._status is not None:
            self._status.stop()
            self._status = None

    def say(self, sentence: str) -> None:
        """Replace the line."""
        if self._status is not None:
            self._status.update(Text(sentence))

    def sending(self, upload: Upload) -> Callable[[int], None]:
        """Return what counts the bytes of an upload."""
        sent = 0

        def told(more: int) -> None:
            nonlocal sent
            sent += more
            whole = decimal(upload.size)
            self.say(f"sending {upload.name}: {decimal(sent)} of {whole}")

        return told

    @contextmanager
    def votes(self, look: Callable[[], dict[str, Any] | None]) -> Iterator[None]:
        """Tell how many nodes have voted, for as long as the block takes.

        ``look`` returns the generation that is staging; it is called on a thread.
        """
        if not self.is_shown:
            yield
            return
        over = threading.Event()
        thread = threading.Thread(target=self._tell, args=(look, over), daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def _tell(
        self, look: Callable[[], dict[str, Any] | None], over: threading.Event
    ) -> None:
        while not over.wait(_LOOK):
            try:
                found = look()
            except Error:  # whoever waits will tell it
                continue
            if found is not None and not over.is_set():
                self.say(told_votes(found))


def told_votes(generation: dict[str, Any]) -> str:
    """Return who is waited for, in one line."""
    number, votes = generation["generation"], generation["votes"]
    counted = [vote for vote in votes if not vote["left"]]
    waiting = sum(vote["loaded"] is None for vote in counted)
    if not counted:
        return f"generation {number}: waiting for a node"
    if waiting:
        nodes = f"{len(counted)} node{'s' * (len(counted) != 1)}"
        return f"generation {number}: waiting for {waiting} of {nodes}"
    return f"generation {number}: all {len(counted)} nodes have voted"
