"""One call of the control surface: who asks what of which node.  Edge."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from pointsman.cluster import Actor, Role
from pointsman.control import preconditions
from pointsman.errors import Refused

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from webob import Request

    from pointsman.control.figures import Figures
    from pointsman.node import Node


@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks: a token or a user.  ``packages`` are patterns; empty is all."""

    name: str
    role: Role
    packages: tuple[str, ...] = ()

    def may_change(self, packages: Iterable[str]) -> None:
        """Let packages be changed.

        Raises:
            Refused: 403, one of them is none of this token's.

        """
        for package in packages:
            if self.packages and not any(
                fnmatchcase(package, pattern) for pattern in self.packages
            ):
                raise forbidden(
                    f"{self.name} is bound to {', '.join(self.packages)}, and "
                    f"{package[:200]!a} is none of these"
                )

    def may_change_all(self) -> None:
        """Let everything be changed.

        Raises:
            Refused: 403, this token is bound to packages.

        """
        if self.packages:
            raise forbidden(
                f"{self.name} is bound to {', '.join(self.packages)}; this concerns "
                "all packages and needs a token that is not bound"
            )


def forbidden(detail: str) -> Refused:
    """Return the refusal of what somebody known may not do."""
    return Refused(HTTPStatus.FORBIDDEN, "Forbidden", detail)


@dataclass(frozen=True, slots=True)
class Call:
    """A request whose route is found and allowed.

    ``path`` are the parts in braces, ``query`` all parameters of the route, those
    that were not sent too.
    """

    node: Node
    request: Request
    path: Mapping[str, str]
    query: Mapping[str, Any]
    principal: Principal | None
    figures: Figures

    @property
    def who(self) -> Principal:
        """Return who asks; only where the route needs somebody."""
        if self.principal is None:  # pragma: no cover - a route without a role
            raise forbidden("nobody has asked")
        return self.principal

    @property
    def actor(self) -> Actor:
        """Return who asks, and from where, for the audit log."""
        return Actor(self.who.name, self.request.environ.get("REMOTE_ADDR") or "")

    @property
    def number(self) -> int:
        """Return the generation that the path names.

        Raises:
            Refused: 404, it is no number of one.

        """
        text = self.path["number"]
        if text.isascii() and text.isdigit() and len(text) < 10:  # noqa: PLR2004
            return int(text)
        detail = f"{text[:80]!a} is not the number of a generation"
        raise Refused(HTTPStatus.NOT_FOUND, "Not Found", detail)

    def if_match(self) -> int | None:
        """Return the generation that the client has seen last, if it says one.

        Raises:
            Refused: 400, the header cannot be read; 412, it names none.

        """
        header = self.request.environ.get("HTTP_IF_MATCH")
        return preconditions.if_match(header, self.node.deployments.active().number)
