"""What the control surface of this process has counted.  Values."""

from __future__ import annotations

import threading
from collections import Counter


class Figures:
    """Counts deployments by how they ended, and what was uploaded.  Any thread."""

    def __init__(self) -> None:
        """Start with nothing."""
        self._lock = threading.Lock()  # guards all of them
        self._deployments: Counter[str] = Counter()
        self._uploads: Counter[str] = Counter()
        self._bytes = 0

    def deployed(self, outcome: str) -> None:
        """Count one deployment."""
        with self._lock:
            self._deployments[outcome] += 1

    def uploaded(self, outcome: str, size: int = 0) -> None:
        """Count one upload, and the bytes of it that are kept."""
        with self._lock:
            self._uploads[outcome] += 1
            self._bytes += size

    def deployments(self) -> dict[str, int]:
        """Return how many ended in which way."""
        with self._lock:
            return dict(self._deployments)

    def uploads(self) -> tuple[dict[str, int], int]:
        """Return how many ended in which way, and the bytes of those accepted."""
        with self._lock:
            return dict(self._uploads), self._bytes
