"""Users: who signs in with a name and a password.  Edge."""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from pointsman.cluster import Role, User
from pointsman.control import basic, bodies, documents, responses
from pointsman.control.call import forbidden
from pointsman.control.passwords import hashed
from pointsman.control.routes import Route
from pointsman.errors import Refused

if TYPE_CHECKING:
    from webob import Response

    from pointsman.control.call import Call

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@-]{0,99}\Z")
_SHORTEST, _LONGEST = 12, 200


def users(call: Call) -> Response:
    """Return all users, without their passwords."""
    found = [documents.user(each) for each in call.node.ledger.users()]
    return responses.of_json({"users": found})


def create_user(call: Call) -> Response:
    """Make a user, who signs in with this password."""
    call.who.may_change_all()
    body = bodies.json_object(call.request, {"name": str, "role": str, "password": str})
    made = call.node.ledger.create_user(user_wanted(body), call.actor)
    location = f"{call.request.script_name}/api/v1/users/{made.name}"
    return responses.of_json(documents.user(made), 201, Location=location)


def remove_user(call: Call) -> Response:
    """Remove a user: from now on nobody signs in with this name."""
    call.who.may_change_all()
    name = call.path["user"]
    if not call.node.ledger.remove_user(name, call.actor):
        raise nobody(name)
    return responses.of_json({"removed": name})


def change_password(call: Call) -> Response:
    """Give a user another password: one's own, or anybody's as an admin."""
    name = call.path["user"]
    if call.who.name != f"user {name}":
        if not call.who.role.covers(Role.ADMIN):
            detail = f"{call.who.name} is a {call.who.role}; this needs an admin"
            raise forbidden(detail)
        call.who.may_change_all()
    body = bodies.json_object(call.request, {"password": str})
    made = hash_of(body.get("password", ""))
    if not call.node.ledger.change_password(name, made, call.actor):
        raise nobody(name)
    return responses.of_json({"changed": name})


def user_wanted(body: dict[str, Any]) -> User:
    """Return the user that is asked for, with the hash of the password.

    Raises:
        Refused: 400, it cannot be made.

    """
    name, role = body.get("name", ""), body.get("role", "")
    if not _NAME.match(name):
        raise _bad("name is needed: at most 100 letters, digits, '_', '.', '@' and '-'")
    if role not in list(Role):
        raise _bad(f"role is one of {', '.join(Role)}")
    return User(0, name, Role(role), hash_of(body.get("password", "")))


def hash_of(password: str) -> str:
    """Return what is kept of a password that is good enough; takes some 20 ms.

    Raises:
        Refused: 400, it is not.

    """
    if not _SHORTEST <= len(password) <= _LONGEST:
        raise _bad(f"password is needed, of {_SHORTEST} to {_LONGEST} characters")
    if basic.has_control(password):
        raise _bad("password has control characters")
    try:
        return hashed(basic.composed(password))
    except UnicodeEncodeError:
        raise _bad("password is no text: it has a half of a character") from None


def nobody(name: str) -> Refused:
    """Return the refusal of a name that nobody has."""
    detail = f"there is no user {name[:200]!a}"
    return Refused(HTTPStatus.NOT_FOUND, "Not Found", detail)


def _bad(detail: str) -> Refused:
    return Refused(HTTPStatus.BAD_REQUEST, "Bad Request", detail)


_USERS = "/api/v1/users"

ROUTES = (
    Route("GET", _USERS, Role.ADMIN, users, {200: "Users"}, (503,)),
    Route(
        "POST",
        _USERS,
        Role.ADMIN,
        create_user,
        {201: "User"},
        (400, 409, 413, 503),
        (),
        "UserWanted",
    ),
    Route(
        "DELETE",
        f"{_USERS}/{{user}}",
        Role.ADMIN,
        remove_user,
        {200: "Removed"},
        (404, 503),
    ),
    Route(
        "PUT",
        f"{_USERS}/{{user}}/password",
        Role.VIEWER,
        change_password,
        {200: "Changed"},
        (400, 404, 413, 503),
        (),
        "PasswordWanted",
    ),
)
