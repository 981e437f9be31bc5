"""Where a rollback leads."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pointsman.cluster import Contents, Entry
from pointsman.errors import Refused
from pointsman.model import Kind
from pointsman.rollbacks import Target, by_digest, parsed, previous

if TYPE_CHECKING:
    from collections.abc import Iterator


def entry(letter: str, package: str = "crm") -> Entry:
    """Return an artifact whose digest is one letter, often."""
    return Entry(package, letter * 64, Kind.MODULE, f"{package}.py")


def history(*letters: str) -> list[Contents]:
    """Return generations, the oldest first; ``-`` did not have the package."""
    return [
        Contents(number, {} if letter == "-" else {"crm": entry(letter)})
        for number, letter in enumerate(letters, 1)
    ]


def back(*letters: str) -> Target:
    """Return where a rollback leads from the last of them."""
    *earlier, active = history(*letters)
    return previous("crm", active, reversed(earlier))


def test_the_previous_different_one() -> None:
    """Generations that changed something else do not count."""
    assert Target(1, entry("a")) == back("a", "b", "b", "b")


def test_there_and_back() -> None:
    """After a rollback, a rollback leads to what was rolled back."""
    assert Target(2, entry("b")) == back("a", "b", "a")


def test_one_that_is_gone() -> None:
    """What was undeployed comes back as it was last."""
    assert Target(2, entry("b")) == back("a", "b", "-", "-")


@pytest.mark.parametrize(
    ("letters", "status", "words"),
    [
        ("-a", 409, "generation 1 did not have it. Undeploy it"),
        ("a-b", 409, "generation 2 did not have it; generation 1 had another"),
        ("aaa", 409, "no generation that is still kept had another artifact"),
        ("a", 409, "no generation that is still kept had another artifact"),
        ("--", 404, "no generation that is still kept has a package 'crm'"),
    ],
)
def test_nothing_to_go_back_to(letters: str, status: int, words: str) -> None:
    """It is refused, and says why: nobody loses a package by a rollback."""
    with pytest.raises(Refused, match=words) as caught:
        back(*letters)

    assert status == caught.value.status


def test_no_more_is_read_than_needed() -> None:
    """Generations behind the target are not looked at."""
    *earlier, active = history("a", "b", "c")
    read: list[int] = []

    def reading() -> Iterator[Contents]:
        for contents in reversed(earlier):
            read.append(contents.number)
            yield contents

    previous("crm", active, reading())

    assert [2] == read


def test_by_digest() -> None:
    """The newest generation with that artifact is named; several are refused."""
    like_a = Entry("crm", "a" * 10 + "b" * 54, Kind.MODULE, "crm.py")
    known = [*history("a", "b"), Contents(3, {"crm": like_a})]

    assert Target(1, entry("a")) == by_digest("crm", "a" * 11, known)
    with pytest.raises(Refused, match="begins with cccccc") as none:
        by_digest("crm", "c" * 6, known)
    with pytest.raises(Refused, match="can be any of aaaaaaaaaa") as several:
        by_digest("crm", "a" * 6, known)
    assert [404, 409] == [none.value.status, several.value.status]


@pytest.mark.parametrize(
    ("to", "expected"),
    [
        (12, 12),
        ("0012", 12),
        (" 007 ", 7),
        ("3f9a1c", "3f9a1c"),
        ("3F9A1C", "3f9a1c"),
        ("sha256:123456", "123456"),
        ("1234567890", "1234567890"),
        ("a" * 64, "a" * 64),
    ],
)
def test_what_is_meant(to: int | str, expected: int | str) -> None:
    """Up to nine digits are a generation; hex digits are a digest."""
    assert expected == parsed(to)


@pytest.mark.parametrize(
    "to", ["", "abc", "abcdeg", "a" * 65, "-1", "\u0663\u0663", "1.5", "<b>", "\0"]
)
def test_what_is_neither(to: str) -> None:
    """It is refused, and what is accepted is said."""
    with pytest.raises(Refused, match="neither the number of a generation") as caught:
        parsed(to)

    assert 400 == caught.value.status
