"""Who may: the tokens of the ledger, and the one of this machine.  Edge."""

from __future__ import annotations

import hashlib
import logging
import secrets
from http import HTTPStatus
from typing import TYPE_CHECKING

from pointsman.cluster import Role
from pointsman.control.call import Principal, forbidden
from pointsman.control.documents import time_of
from pointsman.errors import ConfigError, Refused

if TYPE_CHECKING:
    from collections.abc import Callable

    from webob import Request

    from pointsman.control.throttle import Throttle
    from pointsman.control.token import TokenFile
    from pointsman.interfaces import Ledger

_log = logging.getLogger(__name__)

_PREFIX = "pm_"
_BYTES = 32
_LONGEST = 200


def new_token() -> str:
    """Return 256 random bits as a token: ``pm_`` and 43 url-safe characters."""
    return _PREFIX + secrets.token_urlsafe(_BYTES)


def digest_of(token: str) -> str:
    """Return what is kept of a token: its SHA-256."""
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).hexdigest()


class Authentication:
    """Tells who asks.  Any thread; a refusal may take a second."""

    def __init__(
        self,
        ledger: Callable[[], Ledger],
        file: TokenFile | None,
        throttle: Throttle,
    ) -> None:
        """Take the collaborators; without ``file`` only the ledger's tokens count.

        ``ledger`` is called when a token of it comes.
        """
        self._ledger = ledger
        self._file = file
        self._throttle = throttle

    def principal(self, request: Request, role: Role) -> Principal:
        """Return who asks, if that one may do what ``role`` may.

        Raises:
            Refused: 401, nobody known, and why; 403, somebody who may not.
            LedgerError: the token is one of the ledger, which cannot be read.

        """
        found = self.known(request)
        if not found.role.covers(role):
            raise forbidden(
                f"{found.name} is a {found.role}; this needs a {role}, so use a token "
                "of that role"
            )
        return found

    def known(self, request: Request) -> Principal:
        """Return who asks.

        Raises:
            Refused: 401 or 403.
            LedgerError: the token is one of the ledger, which cannot be read.

        """
        given = request.environ.get("HTTP_AUTHORIZATION", "")
        scheme, _, token = given.partition(" ")
        token = token.strip()
        if scheme.lower() != "bearer" or not token or len(token) > _LONGEST:
            raise _unauthorized(
                "send the header Authorization: Bearer with a token: that of this "
                "host's control.token_file, or one of pointsman token create"
            )
        try:
            return self._by_token(token)
        except Refused as refused:
            address = request.environ.get("REMOTE_ADDR") or "unknown"
            self._throttle.failed(address, refused.detail)
            raise

    def _by_token(self, token: str) -> Principal:
        if self._file is not None:
            try:
                if self._file.matches(token):
                    return Principal("control.token", Role.ADMIN)
            except ConfigError as error:
                _log.error("%s", error)
                if not token.startswith(_PREFIX):
                    detail = "the token file is not usable; see the log"
                    raise forbidden(detail) from error
        if not token.startswith(_PREFIX):
            raise _unauthorized("this is not the token of this host")
        return self._of_ledger(token)

    def _of_ledger(self, token: str) -> Principal:
        # Looked up by a digest: how long that takes tells nothing about a token.
        found = self._ledger().token(digest_of(token))
        if found is None:
            raise _unauthorized("this token is not known")
        if found.revoked_at is not None:
            raise _unauthorized(
                f"the token {found.name} was revoked at {time_of(found.revoked_at)}"
            )
        if found.expires_at is not None:
            now = self._ledger().observe("").now
            if found.expires_at <= now:
                raise _unauthorized(
                    f"the token {found.name} has expired at "
                    f"{time_of(found.expires_at)}; make another one"
                )
        return Principal(f"token {found.name}", found.role, found.packages)


def _unauthorized(detail: str) -> Refused:
    return Refused(HTTPStatus.UNAUTHORIZED, "Unauthorized", detail)
