"""Those who sign in with a name and a password.  Effects."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import bindparam, insert, select, update

from pointsman.cluster import Role, User
from pointsman.errors import LedgerError, Refused
from pointsman.ledger.part import Part
from pointsman.ledger.schema import user

if TYPE_CHECKING:
    from sqlalchemy import Connection, Row

    from pointsman.cluster import Actor

_ALL: Final = select(user).order_by(user.c.id.desc())
_BY_NAME: Final = select(user).where(
    user.c.name == bindparam("called"), user.c.disabled_at.is_(None)
)
_CREATE: Final = insert(user)
_CHANGE: Final = (
    update(user).where(user.c.id == bindparam("number")).values(hash=bindparam("made"))
)
# What nobody may sign in with any more is not kept either.
_DISABLE: Final = (
    update(user)
    .where(user.c.id == bindparam("number"))
    .values(disabled_at=bindparam("now"), hash="")
)
_USED: Final = (
    update(user)
    .where(user.c.id == bindparam("number"))
    .values(used_at=bindparam("now"))
)


class Users(Part):
    """Who may sign in."""

    def create_user(self, user: User, actor: Actor) -> User:
        """See `interfaces.Ledger.create_user`."""
        with self._database.writing() as connection:
            self._lock(connection)
            if _row(connection, user.name) is not None:
                detail = (
                    f"there is a user {user.name} already; remove that one first, or "
                    "give the new one another name"
                )
                raise Refused(409, "There is a user of that name", detail)
            now = self._database.now(connection)
            values = {
                "name": user.name,
                "hash": user.hash,
                "role": user.role,
                "created_at": now,
                "created_by": actor.name,
            }
            made = self._insert(connection, _CREATE, values)
            self._note(connection, actor, "user create", user.name, detail=user.role)
            return replace(user, id=made, created_at=now, created_by=actor.name)

    def user(self, name: str) -> User | None:
        """See `interfaces.Ledger.user`."""
        with self._database.reading() as connection:
            found = _row(connection, name)
        return None if found is None else _user(found, found.hash)

    def users(self) -> tuple[User, ...]:
        """See `interfaces.Ledger.users`."""
        with self._database.reading() as connection:
            return tuple(map(_user, connection.execute(_ALL)))

    def change_password(self, name: str, hash_: str, actor: Actor) -> bool:
        """See `interfaces.Ledger.change_password`."""
        with self._database.writing() as connection:
            self._lock(connection)
            found = _row(connection, name)
            if found is None:
                return False
            connection.execute(_CHANGE, {"number": found.id, "made": hash_})
            self._note(connection, actor, "user passwd", name)
            return True

    def remove_user(self, name: str, actor: Actor) -> bool:
        """See `interfaces.Ledger.remove_user`."""
        with self._database.writing() as connection:
            self._lock(connection)
            found = _row(connection, name)
            if found is None:
                return False
            now = self._database.now(connection)
            connection.execute(_DISABLE, {"number": found.id, "now": now})
            self._note(connection, actor, "user remove", name)
            return True

    def signed_in(self, user: User) -> None:
        """See `interfaces.Ledger.signed_in`."""
        # Whoever may look around may do so while nothing can be written.
        with contextlib.suppress(LedgerError), self._database.writing() as connection:
            now = self._database.now(connection)
            connection.execute(_USED, {"number": user.id, "now": now})


def _row(connection: Connection, name: str) -> Row[Any] | None:
    return connection.execute(_BY_NAME, {"called": name}).first()


def _user(row: Row[Any], hash_: str = "") -> User:
    return User(
        id=row.id,
        name=row.name,
        role=Role(row.role),
        hash=hash_,
        created_at=row.created_at,
        created_by=row.created_by,
        disabled_at=row.disabled_at,
        used_at=row.used_at,
    )
