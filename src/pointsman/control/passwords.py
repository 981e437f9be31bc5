"""Passwords: hashed by argon2, and known for a minute once right.  Effects."""

from __future__ import annotations

import hmac
import secrets
import threading
import time
from typing import TYPE_CHECKING, Final

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError

if TYPE_CHECKING:
    from collections.abc import Callable

# The second of the choices of OWASP: 19 MiB, so that no crowd of attempts takes the
# memory of the services; some 20 ms.
_HASHER: Final = PasswordHasher(time_cost=2, memory_cost=19456, parallelism=1)

#: The hash of no password: who is nobody shall take as long as somebody.
NOBODY: Final = (
    "$argon2id$v=19$m=19456,t=2,p=1$bm9ib2R5IG5vYm9keSBubw"
    "$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
)

_REMEMBERED = 60.0  # seconds
_MOST = 1024


def hashed(password: str) -> str:
    """Return what is kept of a password; takes some 20 ms, without the GIL."""
    return _HASHER.hash(password)


class Passwords:
    """Compares passwords with their hashes.  Any thread.

    What is remembered of a right one is a digest with a key that only this process
    has, never written down.  It covers the hash: a new password ends it at once.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Start with nothing."""
        self._clock = clock
        self._key = secrets.token_bytes(32)
        self._lock = threading.Lock()  # guards the next; held for no argon2
        self._right: dict[bytes, float] = {}  # digest, until when

    def remembers(self, hash_: str, password: str) -> bool:
        """Tell whether this was right within the last minute."""
        digest, now = self._digest(hash_, password), self._clock()
        with self._lock:
            return self._right.get(digest, now) > now

    def matches(self, hash_: str, password: str) -> bool:
        """Tell whether a password is right; takes as long for a wrong one."""
        try:
            _HASHER.verify(hash_, password)
        except (Argon2Error, InvalidHashError):
            return False
        self._remember(self._digest(hash_, password))
        return True

    def _remember(self, digest: bytes) -> None:
        now = self._clock()
        with self._lock:
            if len(self._right) >= _MOST:
                left = {key: end for key, end in self._right.items() if end > now}
                self._right = left if len(left) < _MOST else {}
            self._right[digest] = now + _REMEMBERED

    def _digest(self, hash_: str, password: str) -> bytes:
        return hmac.digest(self._key, f"{hash_}\0{password}".encode(), "sha256")
