"""What is added to a service's answers, or said in its place.  Decisions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pointsman.problems import problem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

Header = tuple[str, str]

#: When a client may ask a stopped service again, in seconds.
RETRY_AFTER = 30

# The names that only the host may set, and their lengths: lengths are compared
# before letters are made small, because nearly no other header has one of them.
_OURS = frozenset(("pointsman-generation", "pointsman-digest"))
_LENGTHS = frozenset(map(len, _OURS))


def stamp_of(digest: str = "") -> tuple[Header, ...]:
    """Return what the answers of one artifact are stamped with.

    First the generation, for whose header there is an empty place; then the digest,
    unless nothing that has one answers: a module of the host, or the host itself.
    """
    generation = ("", "")
    if not digest:
        return (generation,)
    return generation, ("Pointsman-Digest", f"sha256:{digest}")


def stamped(
    start_response: StartResponse,
    stamp: tuple[Header, ...],
    status: str,
    headers: Iterable[Header],
    exc_info: Any = None,
) -> Callable[[bytes], object]:
    """Call the server's ``start_response`` with headers that say who answers.

    They replace those of the same names, whatever their case.  The service's own
    list stays as it is: it may be a constant, and used again for the next answer.
    """
    if type(headers) is not list:  # PEP 3333 wants one; most servers take any
        headers = list(headers)
    for name, _ in headers:
        if len(name) in _LENGTHS:
            headers = [one for one in headers if one[0].lower() not in _OURS]
            break
    if exc_info is None:
        return start_response(status, [*headers, *stamp])
    return start_response(status, [*headers, *stamp], exc_info)


def stopped(service: str) -> WSGIApplication:
    """Return the application that answers for a stopped service: 503, try later."""
    detail = f"the service {service} is stopped"
    status, headers, content = problem(503, detail)
    headers.append(("Retry-After", str(RETRY_AFTER)))  # RFC 9110, section 10.2.3

    def application(_: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
        start_response(status, list(headers))
        return [content]

    return application
