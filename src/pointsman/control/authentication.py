"""Who may: the tokens and users of the ledger, and the token of this machine.  Edge."""

from __future__ import annotations

import hashlib
import logging
import secrets
from http import HTTPStatus
from typing import TYPE_CHECKING

from pointsman.cluster import Role
from pointsman.control import basic
from pointsman.control.call import Principal, forbidden
from pointsman.control.documents import time_of
from pointsman.control.passwords import NOBODY, Passwords
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
    """Tells who asks.  Any thread; a refusal may take a second.

    A request with a password takes some 20 ms when the last one is a minute old.
    """

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
        self._passwords = Passwords()

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
                "of that role, or sign in as such a user"
            )
        return found

    def known(self, request: Request) -> Principal:
        """Return who asks.

        Raises:
            Refused: 401, 403, or 429: a password that comes too early.
            LedgerError: the token is one of the ledger, which cannot be read.

        """
        environ = request.environ
        address = environ.get("REMOTE_ADDR") or "unknown"
        scheme, _, text = environ.get("HTTP_AUTHORIZATION", "").partition(" ")
        text = text.strip()
        if scheme.lower() == "basic" and basic.is_foreign(environ):
            detail = "a page of another site asks with the password of its reader"
            raise forbidden(detail)
        try:
            if scheme.lower() == "basic" and text:
                return self._by_password(text, address)
            if scheme.lower() == "bearer" and 0 < len(text) <= _LONGEST:
                return self._by_token(text)
        except _TooEarly:
            raise
        except Refused as refused:
            self._throttle.failed(address, refused.detail)
            raise
        raise _unauthorized(
            "send the header Authorization: Bearer with a token: that of this host's "
            "control.token_file, or one of pointsman token create; or Basic, with name "
            "and password of a user"
        )

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

    def _by_password(self, text: str, address: str) -> Principal:
        given = basic.credentials(text)
        if given is None:
            raise _unauthorized("Basic is followed by NAME:PASSWORD, UTF-8 in base64")
        name, password = given
        ledger = self._ledger()
        user = ledger.user(name)
        if user is None or not self._passwords.remembers(user.hash, password):
            if early := self._throttle.early(address):
                raise _TooEarly(early)
            kept = NOBODY if user is None else user.hash
            if not self._passwords.matches(kept, password) or user is None:
                raise _unauthorized("there is no user of this name and this password")
            ledger.signed_in(user)
        return Principal(f"user {name}", user.role)


class _TooEarly(Refused):
    """429: nothing is compared, and nothing is counted."""

    def __init__(self, seconds: float) -> None:
        detail = (
            "too many wrong passwords have come from this address; try again in "
            f"{seconds:.1f} s"
        )
        super().__init__(HTTPStatus.TOO_MANY_REQUESTS, "Too Many Requests", detail)


def _unauthorized(detail: str) -> Refused:
    return Refused(HTTPStatus.UNAUTHORIZED, "Unauthorized", detail)
