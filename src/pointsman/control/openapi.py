"""The OpenAPI document (3.1), made of the table of routes.  Decisions."""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import pointsman
from pointsman.control.routes import LARGEST_NUMBER, LONGEST_TEXT, LONGEST_WAIT, NO, YES
from pointsman.control.schemas import SCHEMAS, ref

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pointsman.control.routes import Field, Route

Document = dict[str, Any]

#: Every call can be refused so: by its token or password, and by a fault of ours.
_ALWAYS = (500,)
_WITH_TOKEN = (401, 403, 429)

_PATHS: dict[str, Document] = {
    "name": {"type": "string", "minLength": 1, "maxLength": 200, "pattern": "^[^/]+$"},
    "number": {"type": "integer", "minimum": 1, "maximum": LARGEST_NUMBER},
    "node": {"type": "string", "minLength": 1, "pattern": "^[^/]+$"},
    "token": {"type": "string", "minLength": 1, "pattern": "^[^/]+$"},
    "user": {"type": "string", "minLength": 1, "pattern": "^[^/]+$"},
}
_KINDS: dict[str, Document] = {
    "boolean": {"type": "string", "enum": [*YES, *NO]},
    "seconds": {"type": "number", "minimum": 0, "maximum": LONGEST_WAIT},
    "count": {"type": "integer", "minimum": 1},
    "generation": {"type": "integer", "minimum": 1},
    "text": {"type": "string", "maxLength": LONGEST_TEXT},
}
_FILE = {"type": "string", "format": "binary"}
_MEDIA = {
    "Artifact": "application/octet-stream",
    "Metrics": "text/plain",
}


def document(routes: Iterable[Route], base: str) -> Document:
    """Return the description of all calls; ``base`` is where they are mounted."""
    paths: dict[str, Document] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "pointsman",
            "version": pointsman.__version__,
            "description": "Deploys, upgrades and rolls back services inside "
            "running WSGI servers.",
        },
        "servers": [{"url": base or "/"}],
        "paths": paths,
        "components": {
            "schemas": SCHEMAS,
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer"},
                "user": {"type": "http", "scheme": "basic"},
            },
        },
    }


def _operation(route: Route) -> Document:
    words = re.findall(r"[a-z_]+", route.path.removeprefix("/api/v1"))
    operation: Document = {
        "operationId": "_".join([route.method.lower(), *words]),
        "summary": route.about,
        "responses": _responses(route),
        "security": [{"token": []}, {"user": []}] if route.role else [],
    }
    parameters = [_path_parameter(name) for name in _names(route.path)]
    parameters += [_query_parameter(field) for field in route.query]
    if 412 in route.refusals:  # noqa: PLR2004
        parameters.append(_IF_MATCH)
    if route.body == "artifact":
        parameters += _DIGESTS
    if parameters:
        operation["parameters"] = parameters
    if route.role:
        operation["description"] = f"Needs a token or a user of the role {route.role}."
    if route.body:
        operation["requestBody"] = _body(route.body)
    return operation


def _names(path: str) -> list[str]:
    return re.findall(r"{(\w+)}", path)


def _path_parameter(name: str) -> Document:
    return {"name": name, "in": "path", "required": True, "schema": _PATHS[name]}


def _query_parameter(field: Field) -> Document:
    schema = dict(_KINDS[field.kind])
    if field.kind in ("count", "generation"):
        schema["maximum"] = field.most
    if field.kind == "boolean":
        schema["default"] = "no"
    elif field.default not in (None, ""):
        schema["default"] = field.default
    if field.repeated:
        schema = {"type": "array", "items": schema, "minItems": 1}
    return {
        "name": field.name,
        "in": "query",
        "required": field.repeated,
        "description": field.about,
        "schema": schema,
    }


_IF_MATCH: Document = {
    "name": "If-Match",
    "in": "header",
    "required": False,
    "description": 'refuse it unless this generation is the active one: "12"',
    "schema": {"type": "string"},
}
_DIGESTS: list[Document] = [
    {
        "name": name,
        "in": "header",
        "required": False,
        "description": "compared with what comes (RFC 9530): sha-256=:BASE64:",
        "schema": {"type": "string"},
    }
    for name in ("Content-Digest", "Repr-Digest")
]


def _body(kind: str) -> Document:
    if kind == "artifact":
        schema: Document = {"schema": _FILE}
        return {"required": True, "content": {"application/octet-stream": schema}}
    if kind == "files":
        properties = {
            "file": {"type": "array", "items": _FILE},
            "remove": {"type": "array", "items": {"type": "string"}},
            "note": {"type": "string"},
        }
        form = {"type": "object", "properties": properties}
        return {"required": True, "content": {"multipart/form-data": {"schema": form}}}
    required = "required" in SCHEMAS[kind]
    content = {"application/json": {"schema": ref(kind)}}
    return {"required": required, "content": content}


def _responses(route: Route) -> Document:
    found: Document = {}
    for status, name in route.answers.items():
        media = _MEDIA.get(name, "application/json")
        schema = _FILE if name == "Artifact" else {"type": "string"}
        content = {media: {"schema": schema if name in _MEDIA else ref(name)}}
        found[str(status)] = {"description": name, "content": content}
    refusals = {*route.refusals, *_ALWAYS, *(_WITH_TOKEN if route.role else ())}
    for status in sorted(refusals):
        found.setdefault(
            str(status),
            {
                "description": HTTPStatus(status).phrase,
                "content": {"application/problem+json": {"schema": ref("Problem")}},
            },
        )
    return found
