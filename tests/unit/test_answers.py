"""The headers that say who has answered."""

from __future__ import annotations

from typing import Any

import pytest

from pointsman.answers import stamp_of, stamped

GENERATION = ("Pointsman-Generation", "7")
STAMP = (GENERATION, *stamp_of("ab" * 32)[1:])


class Server:
    """Takes what a server would be given."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []

    def start_response(self, *call: Any) -> Any:
        self.calls.append(call)
        return "write"


def test_stamp_has_a_place_for_the_generation() -> None:
    """The first header is another table's each time; the digest stays."""
    assert (("", ""), ("Pointsman-Digest", "sha256:12ab")) == stamp_of("12ab")
    assert (("", ""),) == stamp_of()


@pytest.mark.parametrize("kind", [list, tuple, iter])
def test_stamp_is_added(kind: Any) -> None:
    """Whatever the headers come in, the server gets a list of all of them."""
    server = Server()
    own = [("Content-Type", "text/plain"), ("X-Sixteen-Chars-", "1")]

    write: Any = stamped(server.start_response, STAMP, "200 OK", kind(own))

    assert [("200 OK", [*own, *STAMP])] == server.calls
    assert "write" == write


def test_stamp_wins_over_the_service() -> None:
    """Headers of these names are replaced, whatever their case and number."""
    server = Server()
    own = [
        ("pointsman-generation", "1"),
        ("X-Kept", "1"),
        ("Pointsman-Digest", "2"),
        ("POINTSMAN-DIGEST", "3"),
    ]

    stamped(server.start_response, STAMP, "200 OK", own)

    assert [("200 OK", [("X-Kept", "1"), *STAMP])] == server.calls
    assert 4 == len(own)


def test_headers_of_a_service_stay_as_they_are() -> None:
    """A list that a service uses for every answer does not grow."""
    own = [("X-Kept", "1")]

    for _ in range(3):
        stamped(Server().start_response, STAMP, "200 OK", own)

    assert [("X-Kept", "1")] == own


def test_exc_info_is_passed_on() -> None:
    """A second call with an error in hand reaches the server with it."""
    server = Server()
    error = LookupError("late")
    exc_info = (LookupError, error, error.__traceback__)

    stamped(server.start_response, STAMP, "500 Oh", [], exc_info)

    assert [("500 Oh", [*STAMP], exc_info)] == server.calls


@pytest.mark.parametrize("headers", [None, 5, [5], [("one",)]])
def test_nonsense_is_the_services_error(headers: Any) -> None:
    """What is no list of pairs fails where the service has called."""
    server = Server()

    with pytest.raises((TypeError, ValueError)):
        stamped(server.start_response, STAMP, "200 OK", headers)

    assert [] == server.calls
