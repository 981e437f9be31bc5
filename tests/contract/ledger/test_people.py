"""Tokens, users, the lock, the audit log."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from contract.ledger.scene import ALICE, BOB, digest_of
from pointsman.cluster import Actor, Event, Role, Token, User
from pointsman.errors import Refused

if TYPE_CHECKING:
    from contract.ledger.scene import Scene


def create(scene: Scene, name: str, **other: object) -> Token:
    """Create a token whose secret is its name."""
    token = Token(0, name, Role.DEPLOYER, **other)  # type: ignore[arg-type]
    return scene.ledger.create_token(token, digest_of(name), ALICE)


# TOKENS


def test_tokens_are_found_by_their_digest(scene: Scene) -> None:
    """A token comes back with its id, who made it and when."""
    made = create(scene, "ci", packages=("crm*", "x"), expires_at=scene.clock.now + 9)
    expected = Token(
        id=made.id,
        name="ci",
        role=Role.DEPLOYER,
        packages=("crm*", "x"),
        created_at=scene.clock.now,
        created_by="cli alice",
        expires_at=scene.clock.now + 9,
    )

    assert expected == made
    assert expected == scene.ledger.token(digest_of("ci"))
    assert None is scene.ledger.token(digest_of("another"))


def test_use_is_noted_once_a_minute(scene: Scene) -> None:
    """The first use is written down, then at most one each minute, also backwards."""
    create(scene, "ci")
    used = []
    for step in (0, 59, 1, 59, -600):
        scene.clock.now += step
        scene.ledger.token(digest_of("ci"))
        used.append(scene.ledger.tokens()[0].used_at)

    now = scene.clock.now + 600
    assert [now - 119, now - 119, now - 59, now - 59, now - 600] == used


def test_names_are_taken_until_revoked(scene: Scene) -> None:
    """A second token of one name is refused, while the first can be used."""
    create(scene, "ci")
    with pytest.raises(Refused, match="a token ci already") as caught:
        scene.ledger.create_token(
            Token(0, "ci", Role.VIEWER), digest_of("other"), ALICE
        )
    assert (409, 1) == (caught.value.status, len(scene.ledger.tokens()))
    assert scene.ledger.revoke_token("ci", BOB)
    again = Token(0, "ci", Role.VIEWER)
    scene.ledger.create_token(again, digest_of("other"), ALICE)

    newest, oldest = scene.ledger.tokens()
    assert (None, scene.clock.now) == (newest.revoked_at, oldest.revoked_at)
    found = scene.ledger.token(digest_of("ci"))
    assert found is not None, "valid or not"
    assert scene.clock.now == found.revoked_at


def test_revoking_by_name_or_id(scene: Scene) -> None:
    """A name counts before an id; what is not there, or revoked, is not revoked."""
    first, second = create(scene, "ci"), create(scene, "1")
    assert scene.ledger.revoke_token("1", ALICE), "the one that is called so"
    assert (None, 1) == (
        scene.ledger.tokens()[1].revoked_at,
        sum(token.revoked_at is not None for token in scene.ledger.tokens()),
    )
    assert scene.ledger.revoke_token(str(first.id), ALICE)
    again = [str(first.id), str(second.id), "ci", "none", "9" * 40, "²"]
    assert [False] * 6 == [scene.ledger.revoke_token(one, ALICE) for one in again]
    assert ["token create"] * 2 + ["token revoke"] * 2 == scene.events()


# USERS


def user(name: str, secret: str = "argon", role: Role = Role.DEPLOYER) -> User:
    """Return somebody who is to be created."""
    return User(0, name, role, secret)


def test_users_are_found_by_their_names(scene: Scene) -> None:
    """One comes back with the hash and who made it, but not in lists or in texts."""
    made = scene.ledger.create_user(user("anna@site"), ALICE)
    expected = User(
        made.id,
        "anna@site",
        Role.DEPLOYER,
        "argon",
        created_at=scene.clock.now,
        created_by="cli alice",
    )

    assert expected == made
    assert expected == scene.place.open().user("anna@site")
    assert [None, None, None] == [
        scene.ledger.user(name) for name in ("Anna@site", "anna", "")
    ]
    assert [""] == [one.hash for one in scene.ledger.users()]
    assert "argon" not in repr(made)


def test_a_user_name_is_taken_until_removed(scene: Scene) -> None:
    """A removed user has no hash left, is not found, and frees the name."""
    first = scene.ledger.create_user(user("anna"), ALICE)
    with pytest.raises(Refused, match="a user anna already") as caught:
        scene.ledger.create_user(user("anna", "other", Role.ADMIN), ALICE)
    assert scene.ledger.remove_user("anna", BOB)
    gone = scene.ledger.user("anna")
    second = scene.ledger.create_user(user("anna", "other", Role.ADMIN), BOB)

    assert (409, None) == (caught.value.status, gone)
    assert second == scene.ledger.user("anna")
    assert [(second.id, None), (first.id, scene.clock.now)] == [
        (one.id, one.disabled_at) for one in scene.ledger.users()
    ]
    assert ["user create", "user remove", "user create"] == scene.events()


def test_what_is_no_user_is_not_changed(scene: Scene) -> None:
    """Removing and a new password tell whether there was somebody."""
    scene.ledger.create_user(user("anna"), ALICE)
    changed = scene.ledger.change_password("anna", "new", BOB)
    found = scene.ledger.user("anna")
    scene.ledger.remove_user("anna", BOB)

    assert changed
    assert found is not None
    assert "new" == found.hash
    assert [False] * 4 == [
        scene.ledger.change_password("anna", "again", BOB),
        scene.ledger.change_password("none", "again", BOB),
        scene.ledger.remove_user("anna", BOB),
        scene.ledger.remove_user("none", BOB),
    ]
    assert ["user create", "user passwd", "user remove"] == scene.events()


def test_signing_in_is_noted(scene: Scene) -> None:
    """When, and nothing else of it: no event, and nobody else is touched."""
    anna = scene.ledger.create_user(user("anna"), ALICE)
    scene.ledger.create_user(user("berit"), ALICE)
    scene.clock.now += 5
    scene.ledger.signed_in(anna)

    assert [None, scene.clock.now] == [one.used_at for one in scene.ledger.users()]
    assert ["user create", "user create"] == scene.events()


# THE LOCK


def test_the_lock(scene: Scene) -> None:
    """One holds it, with a reason; its holder may change that, and end it."""
    assert (None, False) == (scene.ledger.lock_of(), scene.ledger.unlock(ALICE))
    held = scene.ledger.lock(ALICE, "incident 42")
    assert (ALICE, "incident 42", scene.clock.now) == (
        held.actor,
        held.reason,
        held.since,
    )
    assert held == scene.place.open().lock_of()
    scene.clock.now += 5
    changed = scene.ledger.lock(ALICE, "incident 43")
    assert ("incident 43", held.since) == (changed.reason, changed.since)
    assert scene.ledger.unlock(Actor(ALICE.name, "another host"))

    assert None is scene.ledger.lock_of()
    assert ["lock", "lock", "unlock"] == scene.events()


def test_the_lock_of_somebody_else(scene: Scene) -> None:
    """Nobody else takes or ends it, but by force, and that is written down."""
    scene.ledger.lock(ALICE, "incident 42")
    for attempt in (
        lambda: scene.ledger.lock(BOB, "mine"),
        lambda: scene.ledger.unlock(BOB),
    ):
        with pytest.raises(Refused, match=r"cli alice has .*: incident 42") as caught:
            attempt()
        assert 423 == caught.value.status
    assert scene.ledger.unlock(BOB, force=True)

    event = scene.ledger.events()[0]
    assert ("unlock", BOB, "by force; it was cli alice's") == (
        event.what,
        event.actor,
        event.detail,
    )


# THE AUDIT LOG


def test_events_the_newest_first(scene: Scene) -> None:
    """What is recorded comes back by pages, with who, from where and when."""
    for count in range(5):
        scene.clock.now -= 1  # the order is not that of times
        scene.ledger.record(ALICE, "note", f"subject {count}", "ß\nétail")
    first, *_ = page = scene.ledger.events(limit=2)
    last = scene.ledger.events(before=page[-1].id)

    expected = Event(
        first.id, scene.clock.now, ALICE, "note", "subject 4", None, "ß\nétail"
    )
    assert expected == first
    assert [f"subject {n}" for n in (4, 3, 2, 1, 0)] == [
        event.subject for event in (*page, *last)
    ]
