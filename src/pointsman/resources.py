"""The shared resources of the ini, opened when they are first asked for.  Effects."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pointsman.errors import ConfigError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterator


class Resources(Mapping[str, Any]):
    """``resource.<name>`` of the ini, by name.  Any thread.

    Nothing is opened before it is asked for, and each only once.
    """

    def __init__(self, uris: Mapping[str, str]) -> None:
        """Take the URIs by name."""
        self._uris = dict(uris)
        self._open: dict[str, Any] = {}
        self._lock = threading.Lock()  # guards _open

    def __getitem__(self, name: str) -> Any:
        """Return the resource, opened.

        Raises:
            KeyError: the ini has no such resource.
            ConfigError: its URI is of no kind that is known.

        """
        if name not in self._uris:
            near = did_you_mean(name, self._uris)
            message = f"the ini has no resource.{name}{near}"
            raise KeyError(message)
        with self._lock:
            if name not in self._open:
                self._open[name] = _opened(name, self._uris[name])
            return self._open[name]

    def __iter__(self) -> Iterator[str]:
        """Return the names."""
        return iter(self._uris)

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._uris)


def _opened(name: str, uri: str) -> Any:
    raise ConfigError(f"resource.{name} = {uri}: not yet")
