"""Passwords are compared by argon2, and remembered for a minute."""

from __future__ import annotations

import threading

import pytest

from pointsman.control import passwords
from pointsman.control.passwords import NOBODY, Passwords, hashed

SECRET = "correct horse battery"


class Verifier:
    """Counts what argon2 is asked, and may keep it waiting."""

    def __init__(self) -> None:
        self.asked = 0
        self.go = threading.Event()
        self.go.set()
        self.reached = threading.Semaphore(0)
        self._real = passwords._HASHER

    def verify(self, hash_: str, password: str) -> bool:
        self.asked += 1
        self.reached.release()
        assert self.go.wait(20)
        return self._real.verify(hash_, password)


@pytest.fixture(name="argon2")
def _argon2(monkeypatch: pytest.MonkeyPatch) -> Verifier:
    found = Verifier()
    monkeypatch.setattr(passwords, "_HASHER", found)
    return found


KEPT = hashed(SECRET)


def test_hashes_have_salt_and_the_strength_of_ours() -> None:
    """Each is another one; that of nobody takes as long as that of somebody."""
    assert KEPT != hashed(SECRET)
    assert KEPT.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert not passwords._HASHER.check_needs_rehash(NOBODY)
    assert len(KEPT) == len(NOBODY)


def test_a_right_one_is_known_for_a_minute(argon2: Verifier) -> None:
    """Then it is compared again; a wrong one always is."""
    now = [100.0]
    known = Passwords(lambda: now[0])
    before = known.remembers(KEPT, SECRET)
    matched = known.matches(KEPT, SECRET)
    now[0] += 59
    within = known.remembers(KEPT, SECRET)
    now[0] += 1
    after = known.remembers(KEPT, SECRET)

    assert [False, True, True, False] == [before, matched, within, after]
    assert [False, False] == [known.matches(KEPT, "wrong") for _ in range(2)]
    assert not known.remembers(KEPT, "wrong")
    assert 3 == argon2.asked


def test_a_new_password_ends_what_is_remembered() -> None:
    """So does the same password with another salt: it may be somebody else's."""
    known = Passwords()
    known.matches(KEPT, SECRET)

    assert [True, False, False] == [
        known.remembers(KEPT, SECRET),
        known.remembers(hashed(SECRET), SECRET),
        Passwords().remembers(KEPT, SECRET),
    ]


CASES = ["", "nonsense", NOBODY, KEPT[:-1]]


@pytest.mark.parametrize("kept", CASES, ids=["none", "nonsense", "nobody", "cut"])
def test_what_is_no_hash_is_nobodys(kept: str) -> None:
    """Whatever is in the ledger, nothing but the right hash lets anybody in."""
    known = Passwords()

    assert [False, False] == [known.matches(kept, word) for word in ("", SECRET)]


def test_nothing_readable_is_remembered() -> None:
    """Neither the password nor a digest that others could make."""
    known = Passwords()
    known.matches(KEPT, SECRET)

    assert SECRET not in str(vars(known))
    assert set() == set(known._right) & set(Passwords()._right)


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """What has ended goes first; when nothing has, all of it goes."""
    now = [0.0]
    known = Passwords(lambda: now[0])
    for number in range(1500):
        known._remember(str(number).encode())
    crowd = len(known._right)
    now[0] = 61.0
    for number in range(1024):
        known._remember(str(number).encode())

    assert (476, 1024) == (crowd, len(known._right))


def test_argon2_runs_outside_of_any_lock(argon2: Verifier) -> None:
    """While two are being compared, a third that is remembered goes on.

    Broken on purpose: with the lock around `verify`, the third waits for ever.
    """
    known = Passwords()
    known.matches(KEPT, SECRET)
    argon2.reached.acquire()
    argon2.go.clear()
    slow = [
        threading.Thread(target=known.matches, args=(KEPT, "wrong")) for _ in range(2)
    ]
    for thread in slow:
        thread.start()
    for _ in slow:
        assert argon2.reached.acquire(timeout=20)
    seen: list[bool] = []
    third = threading.Thread(target=lambda: seen.append(known.remembers(KEPT, SECRET)))
    third.start()
    third.join(20)
    found = list(seen)
    argon2.go.set()
    for thread in [*slow, third]:
        thread.join()

    assert [True] == found
