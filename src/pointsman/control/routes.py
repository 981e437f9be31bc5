"""What can be asked, as one table: calls, who may, and what they take.  Decisions."""

from __future__ import annotations

from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Literal

from pointsman.errors import Refused

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from webob import Response

    from pointsman.cluster import Role
    from pointsman.control.call import Call

Kind = Literal["boolean", "seconds", "count", "generation", "text"]

YES, NO = ("", "1", "yes", "true", "on"), ("0", "no", "false", "off")
LARGEST_NUMBER = 999_999_999
LONGEST_WAIT = 3600.0
LONGEST_TEXT = 500


@dataclass(frozen=True, slots=True)
class Field:
    """One parameter of the query.  ``default`` counts where it is not sent."""

    name: str
    kind: Kind
    about: str
    default: Any = None
    most: int = LARGEST_NUMBER
    repeated: bool = False


@dataclass(frozen=True, slots=True)
class Route:
    """One call.

    ``path`` has parts in braces, which take one segment each.  Without ``role``
    anybody may.  ``answers`` has the schema of each status that is no refusal,
    ``refusals`` the statuses of problem documents beside those that every call has.
    """

    method: str
    path: str
    role: Role | None
    handle: Callable[[Call], Response]
    answers: Mapping[int, str]
    refusals: tuple[int, ...] = ()
    query: tuple[Field, ...] = ()
    body: str = ""
    segments: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        """Cut the path once."""
        object.__setattr__(self, "segments", tuple(self.path.split("/")))

    @property
    def about(self) -> str:
        """Return the first sentence of the handler's docstring."""
        return (self.handle.__doc__ or "").strip().partition("\n")[0]

    def match(self, segments: tuple[str, ...]) -> dict[str, str] | None:
        """Return the parts in braces, or None where the path is another."""
        if len(segments) != len(self.segments):
            return None
        found: dict[str, str] = {}
        for wanted, given in zip(self.segments, segments, strict=True):
            if wanted.startswith("{"):
                if not given:
                    return None
                found[wanted[1:-1]] = given
            elif wanted != given:
                return None
        return found


def find(
    routes: Iterable[Route], method: str, path: str
) -> tuple[Route, dict[str, str]]:
    """Return the call that is meant; HEAD is GET.

    Raises:
        Refused: 404, there is nothing at the path; 405, with what it takes.

    """
    routes = tuple(routes)
    segments = tuple(path.split("/"))
    fitting = [
        (route, found)
        for route in routes
        if (found := route.match(segments)) is not None
    ]
    if not fitting:
        known = ", ".join(sorted({route.path for route in routes}))
        detail = f"there is nothing at {path[:200]!a}; there are {known}"
        raise Refused(HTTPStatus.NOT_FOUND, "Not Found", detail)
    wanted = "GET" if method == "HEAD" else method
    for route, found in fitting:
        if route.method == wanted:
            return route, found
    raise WrongMethod(path, method, allowed(route for route, _ in fitting))


class WrongMethod(Refused):
    """405: the path is right and takes other methods."""

    def __init__(self, path: str, method: str, allow: str) -> None:
        """Say which; ``allow`` is for the header (RFC 9110, section 15.5.6)."""
        detail = f"{path[:200]!a} takes {allow}, not {method[:20]!a}"
        super().__init__(HTTPStatus.METHOD_NOT_ALLOWED, "Method Not Allowed", detail)
        self.allow = allow


def allowed(routes: Iterable[Route]) -> str:
    """Return what the header Allow has for some routes of one path."""
    methods = {route.method for route in routes}
    if "GET" in methods:
        methods.add("HEAD")
    return ", ".join(sorted({*methods, "OPTIONS"}))


def value(one: Field, text: str) -> Any:
    """Return what a parameter of the query says.

    Raises:
        Refused: 400, with what is accepted.

    """
    match one.kind:
        case "boolean":
            if text.lower() in YES or text.lower() in NO:
                return text.lower() in YES
            accepted = "yes and no"
        case "seconds":
            if (seconds := _seconds(text)) is not None:
                return seconds
            accepted = f"a number of seconds from 0 to {LONGEST_WAIT:g}"
        case "count" | "generation":
            if text.isascii() and text.isdigit() and 1 <= _number(text) <= one.most:
                return int(text)
            accepted = f"a number from 1 to {one.most}"
        case "text":
            if len(text) <= LONGEST_TEXT and "\0" not in text:
                return text
            accepted = f"at most {LONGEST_TEXT} characters"
    detail = f"{one.name}={text[:80]!a} is not accepted; accepted are {accepted}"
    raise Refused(HTTPStatus.BAD_REQUEST, "Bad Request", detail)


def _number(text: str) -> int:
    """Return an integer; digits without end are read as one that is too large."""
    return int(text) if len(text) < 20 else LARGEST_NUMBER + 1  # noqa: PLR2004


def _seconds(text: str) -> float | None:
    try:
        seconds = float(text)
    except ValueError:
        return None
    return seconds if 0 <= seconds <= LONGEST_WAIT else None
