"""The documents of the control surface, as JSON Schema tells them.  Values."""

from __future__ import annotations

from typing import Any, Final

Schema = dict[str, Any]

_TEXT: Final[Schema] = {"type": "string"}
_NUMBER: Final[Schema] = {"type": "integer", "minimum": 0}
_YES_NO: Final[Schema] = {"type": "boolean"}
_MS: Final[Schema] = {"type": ["number", "null"], "minimum": 0}
_TIME: Final[Schema] = {"type": "string", "format": "date-time"}
_MAYBE_TIME: Final[Schema] = {"type": ["string", "null"], "format": "date-time"}
_DIGEST: Final[Schema] = {"type": "string", "pattern": "^([0-9a-f]{64})?$"}
_ANY: Final[Schema] = {"type": "object"}


def ref(name: str) -> Schema:
    """Return a reference to one of `SCHEMAS`."""
    return {"$ref": f"#/components/schemas/{name}"}


def _maybe(name: str) -> Schema:
    return {"oneOf": [ref(name), {"type": "null"}]}


def _list(of: Schema) -> Schema:
    return {"type": "array", "items": of}


def _object(**members: Schema) -> Schema:
    """Return an object with these members, all of which are there."""
    return {"type": "object", "properties": members, "required": sorted(members)}


def _and(schema: Schema, **members: Schema) -> Schema:
    properties = {**schema["properties"], **members}
    return {**schema, "properties": properties, "required": sorted(properties)}


def _wanted(required: tuple[str, ...] = (), **members: Schema) -> Schema:
    """Return an object that a client sends: nothing else may be in it."""
    found = {"type": "object", "properties": members, "additionalProperties": False}
    return {**found, "required": list(required)} if required else found


_ENTRY = _object(
    package=_TEXT,
    digest=_DIGEST,
    kind=_TEXT,
    file=_TEXT,
    source=_TEXT,
    version=_TEXT,
    size=_NUMBER,
)
_PACKAGE = _and(
    _ENTRY,
    status={"enum": ["active", "static", "shadowed"]},
    services=_list(_TEXT),
)
_GENERATION = _object(
    generation=_NUMBER,
    state={"enum": ["queued", "staging", "active", "retired", "failed"]},
    what=_TEXT,
    actor=ref("Actor"),
    base=_NUMBER,
    note=_TEXT,
    reason=_TEXT,
    changes=_list(_object(package=_TEXT, entry=_maybe("Entry"))),
    stop=_list(_TEXT),
    start=_list(_TEXT),
    proposed_at=_TIME,
    staged_at=_MAYBE_TIME,
    decided_at=_MAYBE_TIME,
    votes=_list(ref("Vote")),
    timings=_object(queued_ms=_MS, staging_ms=_MS, switching_ms=_MS, spread_ms=_MS),
)
_DEPLOYMENT = _and(_GENERATION, unchanged=_YES_NO, timed_out=_YES_NO, late=_list(_TEXT))
_DIFFERENCE = _object(
    package=_TEXT,
    status={"enum": ["added", "updated", "unchanged", "removed"]},
    old=_maybe("Entry"),
    new=_maybe("Entry"),
    files=_list(
        _object(
            path=_TEXT,
            status={"enum": ["added", "updated", "removed"]},
            diff=_TEXT,
            note=_TEXT,
        )
    ),
)
_PLAN = _object(
    generation=_NUMBER,
    packages=_list(
        _and(_DIFFERENCE, importers=_list(_TEXT), mounts=_list(_TEXT), clash=_TEXT)
    ),
)
_REPORT = _object(
    pid=_NUMBER,
    generation=_NUMBER,
    switches=_NUMBER,
    duration_ms={"type": "number"},
    shadowed=_list(_TEXT),
    request=_NUMBER,
    directories=_list(_ANY),
    packages=_list(_ANY),
    problems=_list(_ANY),
    stuck=_list(_TEXT),
)
_TOKEN = _object(
    id=_NUMBER,
    name=_TEXT,
    role={"enum": ["viewer", "deployer", "admin"]},
    packages=_list(_TEXT),
    state={"enum": ["valid", "expired", "revoked"]},
    created_at=_TIME,
    created_by=_TEXT,
    expires_at=_MAYBE_TIME,
    revoked_at=_MAYBE_TIME,
    used_at=_MAYBE_TIME,
)
_USER = _object(
    id=_NUMBER,
    name=_TEXT,
    role={"enum": ["viewer", "deployer", "admin"]},
    state={"enum": ["valid", "removed"]},
    created_at=_TIME,
    created_by=_TEXT,
    removed_at=_MAYBE_TIME,
    used_at=_MAYBE_TIME,
)
_PASSWORD: Final[Schema] = {
    "type": "string",
    "minLength": 12,
    "maxLength": 200,
    "pattern": "^[^\\u0000-\\u001f\\u007f-\\u009f]*$",
    "writeOnly": True,
}
_NOTE: Final[Schema] = {"type": "string", "maxLength": 500}

SCHEMAS: Final[dict[str, Schema]] = {
    # what is answered
    "Problem": {
        "type": "object",
        "properties": {
            "type": _TEXT,
            "title": _TEXT,
            "status": {"type": "integer"},
            "detail": _TEXT,
        },
        "required": ["detail", "status", "title", "type"],
    },
    "Actor": _object(name=_TEXT, address=_TEXT),
    "Entry": _ENTRY,
    "Package": _PACKAGE,
    "Packages": _object(
        generation=_NUMBER,
        packages=_list(ref("Package")),
        reload={"type": ["object", "null"]},
    ),
    "Vote": _object(
        node=_TEXT,
        loaded={"type": ["boolean", "null"]},
        reason=_TEXT,
        failures=_list(_object(package=_TEXT, reason=_TEXT, traceback=_TEXT)),
        voted_at=_MAYBE_TIME,
        duration_ms=_MS,
        switched_at=_MAYBE_TIME,
        left=_TEXT,
    ),
    "Generation": _GENERATION,
    "Generations": _object(generations=_list(ref("Generation"))),
    "Deployment": _DEPLOYMENT,
    "Difference": _DIFFERENCE,
    "Differences": _object(generation=_NUMBER, packages=_list(ref("Difference"))),
    "Plan": _PLAN,
    "DeploymentOrPlan": {"anyOf": [ref("Deployment"), ref("Plan")]},
    "Services": _object(
        services=_list(
            _object(
                name=_TEXT,
                path=_TEXT,
                package=_TEXT,
                digest=_DIGEST,
                origin=_TEXT,
                state={"enum": ["running", "stopped"]},
                in_flight=_NUMBER,
            )
        )
    ),
    "Nodes": _object(
        nodes=_list(
            _object(
                node=_TEXT,
                host=_TEXT,
                pid=_NUMBER,
                release=_TEXT,
                python=_TEXT,
                state={"enum": ["joining", "ready", "behind", "draining"]},
                generation=_NUMBER,
                serves=_YES_NO,
                alive=_YES_NO,
                joined_at=_TIME,
                lease_until=_TIME,
                reason=_TEXT,
                report=_ANY,
            )
        )
    ),
    "Threads": _object(node=_TEXT),
    "Leaks": _object(leaks=_list(_ANY)),
    "Reload": _and(_REPORT, nodes=_list(_ANY), late=_list(_TEXT)),
    "Tokens": _object(tokens=_list(ref("Token"))),
    "Token": _TOKEN,
    "NewToken": _and(_TOKEN, token={"type": "string", "pattern": "^pm_[\\w-]{43}$"}),
    "Revoked": _object(revoked=_TEXT),
    "Users": _object(users=_list(ref("User"))),
    "User": _USER,
    "Removed": _object(removed=_TEXT),
    "Changed": _object(changed=_TEXT),
    "Lock": {
        "type": "object",
        "properties": {
            "locked": _YES_NO,
            "actor": ref("Actor"),
            "reason": _TEXT,
            "since": _TIME,
        },
        "required": ["locked"],
    },
    "Unlocked": _object(unlocked=_YES_NO),
    "Events": _object(
        events=_list(
            _object(
                id=_NUMBER,
                at=_TIME,
                actor=ref("Actor"),
                what=_TEXT,
                subject=_TEXT,
                generation={"type": ["integer", "null"]},
                detail=_TEXT,
            )
        )
    ),
    "Whoami": _object(name=_TEXT, role=_TEXT, packages=_list(_TEXT), node=_TEXT),
    "Live": _object(status={"const": "live"}),
    "Ready": _object(status=_TEXT),
    "OpenAPI": _ANY,
    # what is sent
    "Rollback": _wanted(
        to={
            "type": ["integer", "string", "null"],
            "description": "a generation, or the first hex digits of a digest; "
            "without it, what the package was before",
        },
        note=_NOTE,
    ),
    "Note": _wanted(note=_NOTE),
    "ServicesWanted": _wanted(
        ("services",), services={"type": "array", "items": _TEXT, "minItems": 1}
    ),
    "ReloadWanted": _wanted(
        confirm_removals={
            "type": "boolean",
            "description": "a directory that is held is believed",
        }
    ),
    "TokenWanted": _wanted(
        ("name", "role"),
        name={"type": "string", "pattern": "^[A-Za-z0-9_][A-Za-z0-9_.@-]{0,99}$"},
        role={"enum": ["viewer", "deployer", "admin"]},
        packages={
            "type": "array",
            "maxItems": 100,
            "items": {
                "type": "string",
                "pattern": "^[A-Za-z0-9_.*?\\[\\]!-]{1,200}$",
            },
        },
        expires_in={
            "type": ["number", "null"],
            "exclusiveMinimum": 0,
            "maximum": 3_162_240_000,
            "description": "seconds; null is for ever",
        },
    ),
    "UserWanted": _wanted(
        ("name", "role", "password"),
        name={"type": "string", "pattern": "^[A-Za-z0-9_][A-Za-z0-9_.@-]{0,99}$"},
        role={"enum": ["viewer", "deployer", "admin"]},
        password=_PASSWORD,
    ),
    "PasswordWanted": _wanted(("password",), password=_PASSWORD),
    "ReasonWanted": _wanted(
        ("reason",),
        reason={
            "type": "string",
            "minLength": 1,
            "maxLength": 500,
            "pattern": "\\S",
        },
    ),
}
