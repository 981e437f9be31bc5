"""What an activation has done, written before it does the next thing.  Effects."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from pointsman import durable
from pointsman.errors import ReleaseError
from pointsman.faults import point
from pointsman.releases import sites

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Entry:
    """The last step that was begun, and every fact that was told since the first.

    `Store.prune` keeps all releases that a fact names.
    """

    step: str
    at: float  # seconds since the epoch, of this step
    facts: Mapping[str, Any]


class Journal:
    """At most one entry, on the disk before `write` returns.

    For one thread of the process that holds the store's lock.
    """

    def __init__(self, path: Path, clock: Callable[[], float] = time.time) -> None:
        """Touch nothing yet."""
        self._path = path
        self._clock = clock

    def read(self) -> Entry | None:
        """Return the last entry; None when nothing is under way.

        Raises:
            ReleaseError: the file is no journal.

        """
        try:
            document = json.loads(self._path.read_bytes())
            facts = MappingProxyType(dict(document["facts"]))
            return Entry(str(document["step"]), float(document["at"]), facts)
        except FileNotFoundError:
            return None
        except OSError as error:
            message = f"{self._path} cannot be read: {error.strerror}"
            raise ReleaseError(message) from error
        except (ValueError, KeyError, TypeError) as error:
            raise ReleaseError(
                f"{self._path} is no journal ({error!r}): see which release serves, "
                "and remove the file"
            ) from error

    def write(self, step: str, **facts: object) -> Entry:
        """Note that ``step`` begins; ``facts`` (JSON) join those of earlier steps.

        Raises:
            ReleaseError: it cannot be written, and the last entry is still there.

        """
        before = self.read()
        known = {**(before.facts if before else {}), **facts}
        entry = Entry(step, self._clock(), MappingProxyType(known))
        document = {"step": step, "at": entry.at, "facts": known}
        text = json.dumps(document, indent=1) + "\n"
        with sites.told(self._path, f"{step} cannot be noted"):
            durable.replace(self._path, text, lambda: point("release.noted"))
        return entry

    def end(self) -> None:
        """Note that nothing is under way; nothing happens when nothing was."""
        durable.remove(self._path)
