"""Which package has which service name and path, over a restart.  Effects.

Two packages want one path: the first keeps it.  Which one was first must not
depend on the order in which the next process happens to look at them.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_log = logging.getLogger(__name__)


class Claims:
    """A file with names, paths and their packages.  One thread at a time.

    It only decides clashes, so one that is lost or cannot be written costs no more
    than that: it is logged, and the order of the sources decides.
    """

    def __init__(self, path: Path) -> None:
        """Name the file; read it when it is first needed."""
        self._path = path
        self._known: dict[str, str] | None = None

    def read(self) -> Mapping[str, str]:
        """Return service name or path to package."""
        if self._known is None:
            self._known = {}
            with contextlib.suppress(OSError, ValueError):
                found = json.loads(self._path.read_text("utf-8"))
                self._known = {str(k): str(v) for k, v in dict(found).items()}
        return self._known

    def keep(self, claims: Mapping[str, str]) -> None:
        """Write what is served now, if that is different."""
        if claims == self.read():
            return
        self._known = dict(claims)
        half = self._path.with_name(f".{self._path.name}.{os.getpid()}")
        try:
            half.write_text(json.dumps(self._known), "utf-8")
            half.replace(self._path)
        except OSError as error:
            _log.warning("%s: cannot be written: %s", self._path, error.strerror)
