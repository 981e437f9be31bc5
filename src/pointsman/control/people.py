"""People and their programs: tokens, the lock, the audit log.  Edge."""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from pointsman.cluster import Role, Token
from pointsman.control import bodies, documents, responses
from pointsman.control import parameters as p
from pointsman.control.authentication import digest_of, new_token
from pointsman.control.call import forbidden
from pointsman.control.routes import Field, Route
from pointsman.errors import Refused

if TYPE_CHECKING:
    from webob import Response

    from pointsman.control.call import Call

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@-]{0,99}\Z")
_PATTERN = re.compile(r"[A-Za-z0-9_.*?\[\]!-]{1,200}\Z")
_YEARS = 100 * 366 * 86400.0  # seconds; longer is none
_LONGEST_REASON = 500


def whoami(call: Call) -> Response:
    """Return whose token this is, and what it may do."""
    who = call.who
    return responses.of_json(
        {
            "name": who.name,
            "role": str(who.role),
            "packages": list(who.packages),
            "node": call.node.id,
        }
    )


# TOKENS


def tokens(call: Call) -> Response:
    """Return all tokens, without themselves."""
    ledger = call.node.ledger
    now = ledger.observe("").now
    found = [documents.token(each, now) for each in ledger.tokens()]
    return responses.of_json({"tokens": found})


def create_token(call: Call) -> Response:
    """Make a token; it is told in this answer and never again.

    A token that is bound to packages makes none: that one could be for all packages.
    """
    call.who.may_change_all()
    body = bodies.json_object(
        call.request,
        {
            "name": str,
            "role": str,
            "packages": list,
            "expires_in": (int, float, type(None)),
        },
    )
    wanted = token_wanted(body, call.node.ledger.observe("").now)
    secret = new_token()
    made = call.node.ledger.create_token(wanted, digest_of(secret), call.actor)
    document = documents.token(made, made.created_at)
    location = f"{call.request.script_name}/api/v1/tokens/{made.name}"
    return responses.of_json({**document, "token": secret}, 201, Location=location)


def token_wanted(body: dict[str, Any], now: float) -> Token:
    """Return what a request for a token asks for; ``now`` is the ledger's time.

    Raises:
        Refused: 400, it cannot be made.

    """
    name, role = body.get("name", ""), body.get("role", "")
    if not _NAME.match(name):
        raise _bad("name is needed: at most 100 letters, digits, '_', '.', '@' and '-'")
    if role not in list(Role):
        raise _bad(f"role is one of {', '.join(Role)}")
    packages = body.get("packages", [])
    if len(packages) > 100 or not all(  # noqa: PLR2004
        isinstance(each, str) and _PATTERN.match(each) for each in packages
    ):
        raise _bad('packages are patterns of package names, like ["crm*"]')
    lasts = body.get("expires_in")
    if lasts is not None and not 0 < lasts <= _YEARS:
        raise _bad("expires_in is a number of seconds above 0; null is for ever")
    expires_at = None if lasts is None else now + lasts
    return Token(0, name, Role(role), tuple(packages), expires_at=expires_at)


def revoke_token(call: Call) -> Response:
    """Revoke a token, by its name or id."""
    call.who.may_change_all()
    name = call.path["token"]
    if not call.node.ledger.revoke_token(name, call.actor):
        detail = f"there is no token {name[:200]!a} that is not revoked"
        raise Refused(HTTPStatus.NOT_FOUND, "Not Found", detail)
    return responses.of_json({"revoked": name})


# THE LOCK


def lock_of(call: Call) -> Response:
    """Return whether deployments are locked, and by whom."""
    return responses.of_json(documents.lock(call.node.ledger.lock_of()))


def lock(call: Call) -> Response:
    """Freeze deployments for everybody else."""
    call.who.may_change_all()
    body = bodies.json_object(call.request, {"reason": str})
    reason = reason_wanted(body.get("reason", ""))
    return responses.of_json(documents.lock(call.node.ledger.lock(call.actor, reason)))


def reason_wanted(text: str) -> str:
    """Return why deployments shall be locked, without the blanks around it.

    Raises:
        Refused: 400, it says nothing, or is too long.

    """
    reason = text.strip()
    if not 0 < len(reason) <= _LONGEST_REASON:
        raise _bad(f"reason is needed, of at most {_LONGEST_REASON} characters")
    return reason


def unlock(call: Call) -> Response:
    """Let everybody deploy again."""
    call.who.may_change_all()
    force = call.query["force"]
    if force and not call.who.role.covers(Role.ADMIN):
        detail = f"{call.who.name} is a {call.who.role}; force needs an admin"
        raise forbidden(detail)
    return responses.of_json(
        {"unlocked": call.node.ledger.unlock(call.actor, force=force)}
    )


def events(call: Call) -> Response:
    """Return the audit log, the newest first."""
    found = call.node.ledger.events(
        limit=call.query["limit"], before=call.query["before"]
    )
    return responses.of_json({"events": [documents.event(each) for each in found]})


def _bad(detail: str) -> Refused:
    return Refused(HTTPStatus.BAD_REQUEST, "Bad Request", detail)


_TOKENS, _LOCK = "/api/v1/tokens", "/api/v1/lock"
_FORCE = Field(
    "force", "boolean", "also when it is somebody else's; for admins", default=False
)

ROUTES = (
    Route("GET", "/api/v1/whoami", Role.VIEWER, whoami, {200: "Whoami"}, ()),
    Route("GET", _TOKENS, Role.ADMIN, tokens, {200: "Tokens"}, (503,)),
    Route(
        "POST",
        _TOKENS,
        Role.ADMIN,
        create_token,
        {201: "NewToken"},
        (400, 409, 413, 503),
        (),
        "TokenWanted",
    ),
    Route(
        "DELETE",
        f"{_TOKENS}/{{token}}",
        Role.ADMIN,
        revoke_token,
        {200: "Revoked"},
        (404, 503),
    ),
    Route("GET", _LOCK, Role.VIEWER, lock_of, {200: "Lock"}, (503,)),
    Route(
        "PUT",
        _LOCK,
        Role.DEPLOYER,
        lock,
        {200: "Lock"},
        (400, 413, 423, 503),
        (),
        "ReasonWanted",
    ),
    Route(
        "DELETE",
        _LOCK,
        Role.DEPLOYER,
        unlock,
        {200: "Unlocked"},
        (400, 423, 503),
        (_FORCE,),
    ),
    Route(
        "GET",
        "/api/v1/events",
        Role.VIEWER,
        events,
        {200: "Events"},
        (400, 503),
        (p.limit(100, 1000), p.BEFORE),
    ),
)
