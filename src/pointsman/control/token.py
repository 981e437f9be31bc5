"""The administrator's token of this machine, in a file.  Effects."""

from __future__ import annotations

import contextlib
import hmac
import os
import secrets
import stat
from typing import TYPE_CHECKING

from pointsman.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

_BITS = 256


class TokenFile:
    """A file with one random token, which only its owner can read.  Any thread.

    It is made at the first start.  It is read again for each check, so replacing
    the file replaces the token.
    """

    def __init__(self, path: Path) -> None:
        """Name the file; touch nothing."""
        self.path = path

    def ensure(self) -> None:
        """Make the file if there is none; several processes may do so at once.

        Raises:
            ConfigError: it cannot be made, or others can read it.

        """
        if not self.path.exists():
            try:
                self._make()
            except OSError as error:
                message = (
                    f"control.token_file = {self.path}: cannot be made: "
                    f"{error.strerror or error}"
                )
                raise ConfigError(message) from error
        self._read()

    def matches(self, token: str) -> bool:
        """Tell, in constant time, whether this is the token.

        Raises:
            ConfigError: the file is not fit to be believed.

        """
        return hmac.compare_digest(self._read().encode(), token.encode())

    def _make(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        # Not by the pid: two containers that share the folder can have the same.
        half = self.path.with_name(f".{self.path.name}.{secrets.token_hex(8)}")
        descriptor = os.open(half, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(descriptor, "w") as file:
                file.write(secrets.token_urlsafe(_BITS // 8) + "\n")
                file.flush()
                os.fsync(file.fileno())
            # A link never replaces: of two processes, both go on with the first's.
            with contextlib.suppress(FileExistsError):
                os.link(half, self.path)
        finally:
            half.unlink()

    def _read(self) -> str:
        try:
            with self.path.open() as file:
                mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
                token = file.read().strip()
        except OSError as error:
            message = f"control.token_file = {self.path}: {error.strerror or error}"
            raise ConfigError(message) from error
        if mode & 0o077:
            message = (
                f"control.token_file = {self.path}: others can read it (mode "
                f"{mode:04o}); take it as known: delete it for a new one, or "
                f"chmod 600 {self.path}"
            )
            raise ConfigError(message)
        if len(token) < 16:  # noqa: PLR2004
            message = f"control.token_file = {self.path}: it has no token of 16 or more"
            raise ConfigError(message)
        return token
