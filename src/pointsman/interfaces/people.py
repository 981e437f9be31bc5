"""Who may do what, and what was done.  Values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from pointsman.cluster import Actor, DeployLock, Event, Token, User


class People(Protocol):
    """Part of `ledger.Ledger`, which says what holds for all of them."""

    def create_token(
        self,
        token: Token,
        digest: str,
        actor: Actor,
    ) -> Token:
        """Store a token by the SHA-256 of itself; return it with id and time.

        Raises:
            Refused: 409, a token of that name exists that is not revoked.

        """
        ...

    def token(self, digest: str) -> Token | None:
        """Return the token with this SHA-256, valid or not; note its use.

        The use is written down at most once a minute.
        """
        ...

    def tokens(self) -> tuple[Token, ...]:
        """Return all tokens, the newest first."""
        ...

    def revoke_token(self, name: str, actor: Actor) -> bool:
        """Revoke a token by its name or id; False if there is none."""
        ...

    def create_user(self, user: User, actor: Actor) -> User:
        """Store a user with the hash of a password; return it with id and time.

        Raises:
            Refused: 409, a user of that name exists that is not removed.

        """
        ...

    def user(self, name: str) -> User | None:
        """Return the user of this name, with the hash; None if removed."""
        ...

    def users(self) -> tuple[User, ...]:
        """Return all users, the newest first, the removed ones too; without hashes."""
        ...

    def change_password(self, name: str, hash_: str, actor: Actor) -> bool:
        """Replace the hash of a user's password; False if there is no such user."""
        ...

    def remove_user(self, name: str, actor: Actor) -> bool:
        """Disable a user for good, and forget the hash; False if there is none.

        The row stays, for the history; the name is free again.
        """
        ...

    def signed_in(self, user: User) -> None:
        """Note when a user has signed in; nothing where it cannot be written."""
        ...

    def lock(self, actor: Actor, reason: str) -> DeployLock:
        """Freeze deployments for everybody but the actor.

        Raises:
            Refused: 423, somebody else has frozen them.

        """
        ...

    def unlock(self, actor: Actor, *, force: bool = False) -> bool:
        """End it; False if there was none.

        Raises:
            Refused: 423, it is somebody else's, and not ``force``.

        """
        ...

    def lock_of(self) -> DeployLock | None:
        """Return the lock that there is."""
        ...

    def events(
        self, *, limit: int = 100, before: int | None = None
    ) -> tuple[Event, ...]:
        """Return the audit log, the newest first."""
        ...

    def record(
        self, actor: Actor, what: str, subject: str = "", detail: str = ""
    ) -> None:
        """Add a line to the audit log."""
        ...
