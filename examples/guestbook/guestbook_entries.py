"""What is written into a guest book: the class of the objects in the database.

It is a package of its own, deployed and gone back to like any other.  Objects name the
plain module and class, ``guestbook_entries.Entry``, and never a version: what one
version wrote, each other reads.  So an attribute that comes later has a default in the
class, for the objects that were written before.
"""

from __future__ import annotations

from datetime import UTC, datetime

from persistent import Persistent


class Entry(Persistent):  # type: ignore[misc]  # persistent has no types
    """One entry; raises ValueError where nobody could have meant it."""

    def __init__(self, name: str, text: str, at: float) -> None:
        """Take who writes what, and when, in seconds since the epoch."""
        if not 0 < len(name.strip()) <= 100:  # noqa: PLR2004
            raise ValueError("the name has 1 to 100 characters")
        if not 0 < len(text.strip()) <= 2000:  # noqa: PLR2004
            raise ValueError("the text has 1 to 2000 characters")
        self.name = name.strip()
        self.text = text.strip()
        self.at = at

    def told(self) -> dict[str, object]:
        """Return what readers see."""
        at = datetime.fromtimestamp(self.at, UTC).isoformat(timespec="seconds")
        return {"name": self.name, "text": self.text, "at": at}
