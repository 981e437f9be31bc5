"""One opened resource, and the view of it that each version has.  Effects."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pointsman.namespace.space import Namespace


class Shared(ABC):
    """What all versions share (a storage, a pool), and what each has alone.

    Two versions of a class are alive at once, so nothing that remembers classes
    may be shared: each namespace gets a view of its own, which ends with it.
    ``None`` stands for callers of no namespace.  Any thread.
    """

    def __init__(self) -> None:
        """Start without a view."""
        self._lock = threading.RLock()  # guards _views, and the making of one
        self._views: dict[Namespace | None, Any] = {}

    def view(self, space: Namespace | None) -> Any:
        """Return the view of ``space``; make it when it is first asked for."""
        with self._lock:
            view = self._views.get(space)
            if view is not None and not self._ended(view):
                return view
            if space is not None and space not in self._views:
                space.belongings.at_exit.append((self.leave, (space,), {}))
            view = self._views[space] = self._make(space)
            return view

    def leave(self, space: Namespace | None) -> None:
        """End the view of ``space``, if it has one; what is shared stays open."""
        with self._lock:
            view = self._views.pop(space, None)
            if view is not None:
                self._end(view)

    def close(self) -> None:
        """End all views, and close what is shared."""
        for space in tuple(self._views):
            self.leave(space)
        self._close()

    @abstractmethod
    def _make(self, space: Namespace | None) -> Any:
        """Make a view."""

    @abstractmethod
    def _end(self, view: Any) -> None:
        """End a view, also one that its user has ended."""

    def _ended(self, view: Any) -> bool:  # noqa: ARG002 - most cannot be
        """Tell whether the user of a view has ended it himself."""
        return False

    @abstractmethod
    def _close(self) -> None:
        """Close what all views have shared."""
