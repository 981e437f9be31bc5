"""Tokens, the lock, the audit log.  Effects."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import bindparam, insert, select, update

from pointsman.cluster import Actor, DeployLock, Event, Role, Token
from pointsman.errors import LedgerError, Refused
from pointsman.ledger.part import Part
from pointsman.ledger.schema import cluster, event, token

if TYPE_CHECKING:
    from sqlalchemy import Row

#: How often the use of a token is written down, in seconds.
USED_EVERY: Final = 60.0

_NEWEST: Final = 2**31 - 1
_NOW: Final[Any] = bindparam("now")

_ALL: Final = select(token).order_by(token.c.id.desc())
_BY_DIGEST: Final = select(token).where(token.c.digest == bindparam("sha256"))
_BY_NAME: Final = select(token).where(
    token.c.name == bindparam("called"), token.c.revoked_at.is_(None)
)
_BY_ID: Final = select(token).where(
    token.c.id == bindparam("number"), token.c.revoked_at.is_(None)
)
_CREATE: Final = insert(token)
_USED: Final = (
    update(token).where(token.c.id == bindparam("number")).values(used_at=_NOW)
)
_REVOKE: Final = (
    update(token).where(token.c.id == bindparam("number")).values(revoked_at=_NOW)
)
_CLUSTER: Final = select(cluster).where(cluster.c.id == 1)
_LOCKED: Final = (
    update(cluster)
    .where(cluster.c.id == 1)
    .values(
        lock_name=bindparam("by"),
        lock_address=bindparam("at"),
        lock_reason=bindparam("why"),
        lock_since=bindparam("since"),
    )
)
_EVENTS: Final = (
    select(event)
    .where(event.c.id < bindparam("before"))
    .order_by(event.c.id.desc())
    .limit(bindparam("limit"))
)


class People(Part):
    """Who may do what, and who did."""

    # TOKENS

    def create_token(self, token: Token, digest: str, actor: Actor) -> Token:
        """See `interfaces.Ledger.create_token`."""
        with self._database.writing() as connection:
            self._lock(connection)
            if connection.execute(_BY_NAME, {"called": token.name}).first() is not None:
                detail = (
                    f"there is a token {token.name} already; revoke it first, or give "
                    "the new one another name"
                )
                raise Refused(409, "There is a token of that name", detail)
            now = self._database.now(connection)
            values = {
                "digest": digest,
                "name": token.name,
                "role": token.role,
                "packages": list(token.packages),
                "created_at": now,
                "created_by": actor.name,
                "expires_at": token.expires_at,
            }
            made = self._insert(connection, _CREATE, values)
            detail = f"{token.role} for {', '.join(token.packages) or 'all packages'}"
            self._note(connection, actor, "token create", token.name, detail=detail)
            return replace(
                token,
                id=made,
                created_at=now,
                created_by=actor.name,
                revoked_at=None,
                used_at=None,
            )

    def token(self, digest: str) -> Token | None:
        """See `interfaces.Ledger.token`."""
        with self._database.reading() as connection:
            row = connection.execute(_BY_DIGEST, {"sha256": digest}).first()
            now = self._database.now(connection)
        if row is None:
            return None
        if row.used_at is None or abs(now - row.used_at) >= USED_EVERY:
            # Whoever may look around may do so while nothing can be written.
            with contextlib.suppress(LedgerError), self._database.writing() as writing:
                writing.execute(_USED, {"number": row.id, "now": now})
        return _token(row)

    def tokens(self) -> tuple[Token, ...]:
        """See `interfaces.Ledger.tokens`."""
        with self._database.reading() as connection:
            return tuple(map(_token, connection.execute(_ALL)))

    def revoke_token(self, name: str, actor: Actor) -> bool:
        """See `interfaces.Ledger.revoke_token`; a name counts before an id."""
        with self._database.writing() as connection:
            self._lock(connection)
            row = connection.execute(_BY_NAME, {"called": name}).first()
            number = _number(name)
            if row is None and number is not None:
                row = connection.execute(_BY_ID, {"number": number}).first()
            if row is None:
                return False
            now = self._database.now(connection)
            connection.execute(_REVOKE, {"number": row.id, "now": now})
            self._note(connection, actor, "token revoke", row.name)
            return True

    # THE LOCK

    def lock(self, actor: Actor, reason: str) -> DeployLock:
        """See `interfaces.Ledger.lock`; its holder may give another reason."""
        with self._database.writing() as connection:
            held = _held(self._lock(connection))
            if held is not None and held.actor.name != actor.name:
                _refuse_lock(held)
            since = self._database.now(connection) if held is None else held.since
            values = {
                "by": actor.name,
                "at": actor.address,
                "why": reason,
                "since": since,
            }
            connection.execute(_LOCKED, values)
            self._note(connection, actor, "lock", detail=reason)
            return DeployLock(actor, reason, since)

    def unlock(self, actor: Actor, *, force: bool = False) -> bool:
        """See `interfaces.Ledger.unlock`."""
        with self._database.writing() as connection:
            held = _held(self._lock(connection))
            if held is None:
                return False
            own = held.actor.name == actor.name
            if not own and not force:
                _refuse_lock(held)
            values = dict.fromkeys(("by", "at", "why", "since"))
            connection.execute(_LOCKED, values)
            detail = "" if own else f"by force; it was {held.actor.name}'s"
            self._note(connection, actor, "unlock", detail=detail)
            return True

    def lock_of(self) -> DeployLock | None:
        """See `interfaces.Ledger.lock_of`."""
        with self._database.reading() as connection:
            return _held(connection.execute(_CLUSTER).one())

    # THE AUDIT LOG

    def events(
        self, *, limit: int = 100, before: int | None = None
    ) -> tuple[Event, ...]:
        """See `interfaces.Ledger.events`."""
        values = {"limit": limit, "before": _NEWEST if before is None else before}
        with self._database.reading() as connection:
            return tuple(map(_event, connection.execute(_EVENTS, values)))

    def record(
        self, actor: Actor, what: str, subject: str = "", detail: str = ""
    ) -> None:
        """See `interfaces.Ledger.record`."""
        with self._database.writing() as connection:
            self._note(connection, actor, what, subject, detail=detail)


def _number(name: str) -> int | None:
    """Return the id that is meant, if any; Python refuses digits without end."""
    if name.isascii() and name.isdigit() and len(name) <= len(str(_NEWEST)):
        return min(int(name), _NEWEST)
    return None


def _token(row: Row[Any]) -> Token:
    return Token(
        id=row.id,
        name=row.name,
        role=Role(row.role),
        packages=tuple(row.packages),
        created_at=row.created_at,
        created_by=row.created_by,
        expires_at=row.expires_at,
        revoked_at=row.revoked_at,
        used_at=row.used_at,
    )


def _event(row: Row[Any]) -> Event:
    return Event(
        id=row.id,
        at=row.at,
        actor=Actor(row.actor, row.address),
        what=row.what,
        subject=row.subject,
        generation=row.generation,
        detail=row.detail,
    )


def _held(row: Row[Any]) -> DeployLock | None:
    if row.lock_name is None:
        return None
    actor = Actor(row.lock_name, row.lock_address)
    return DeployLock(actor, row.lock_reason, row.lock_since)


def _refuse_lock(held: DeployLock) -> None:
    why = f": {held.reason}" if held.reason else ""
    detail = f"{held.actor.name} has locked deployments{why}; ask there"
    raise Refused(423, "Deployments are locked", detail)
