"""A running host, asked over HTTP.  Effects."""

from __future__ import annotations

import ipaddress
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import httpx

from pointsman.cli import sections
from pointsman.errors import ConfigError, Error, Refused

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

_OK, _FAILED = 200, 422
_NO_PROXY = {"localhost", "unix"}


class UnreachableError(Error):
    """Nobody answers there, or somebody who is no host; exit code 3."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where a control surface is, and the token for it.

    ``unix_socket`` is the server's, where it listens on no port.
    """

    url: str
    token_file: Path | None
    unix_socket: str = ""


def target(
    ini: Path | None,
    variables: Mapping[str, str],
    url: str | None = None,
    token_file: Path | None = None,
    server: str = "main",
) -> Target:
    """Find out what was not given from the ini.

    Raises:
        ConfigError: the ini does not say it.

    """
    settings = sections.hosts(ini, variables)[0].settings if ini else None
    control = settings.control_path if settings else "/_pointsman"
    token = token_file or (settings.control_token_file if settings else None)
    if url is not None:
        bare = urlsplit(url).path in {"", "/"}
        return Target(url.rstrip("/") + (control if bare else ""), token)
    if ini is None:
        raise ConfigError("neither an ini nor a URL says where the host is")
    at = sections.address(ini, server, variables)
    if at.unix_socket:
        return Target(f"http://unix{control}", token, at.unix_socket)
    name = f"[{at.host}]" if ":" in at.host else at.host
    return Target(f"http://{name}:{at.port}{control}", token)


def reload(where: Target, timeout: float) -> dict[str, Any]:
    """Let the host read its sources again; blocks until it has switched.

    Raises:
        ConfigError, UnreachableError, Refused: see :func:`ask`.

    """
    return ask(where, "POST", "/api/v1/reload", timeout)


def services(where: Target, timeout: float) -> dict[str, Any]:
    """Return the services of the host.

    Raises:
        ConfigError, UnreachableError, Refused: see :func:`ask`.

    """
    return ask(where, "GET", "/api/v1/services", timeout)


def ask(where: Target, method: str, path: str, timeout: float) -> dict[str, Any]:
    """Send one request with the token; return the document.

    A document that tells of packages that failed (422) is an answer, too.

    Raises:
        ConfigError: the token cannot be read.
        UnreachableError: no host of ours answers there.
        Refused: the host does not do it.

    """
    headers = {"Authorization": f"Bearer {_token(where)}"}
    with _client(where, timeout) as client:
        response = client.request(method, where.url + path, headers=headers)
    document = _document(response)
    if document is None or ("detail" not in document and response.is_error):
        raise UnreachableError(
            f"{where.url} answered {response.status_code}, and not as a pointsman "
            "host does; check the URL and control.path"
        )
    if response.status_code in {_OK, _FAILED}:
        return document
    raise Refused(
        response.status_code, str(document.get("title")), str(document["detail"])
    )


@contextmanager
def _client(where: Target, timeout: float) -> Iterator[httpx.Client]:
    transport = (
        httpx.HTTPTransport(uds=where.unix_socket) if where.unix_socket else None
    )
    try:
        with httpx.Client(
            timeout=timeout, transport=transport, trust_env=not _is_here(where.url)
        ) as client:
            yield client
    except httpx.TimeoutException as error:
        raise UnreachableError(
            f"{where.url} has not answered within {timeout:g} s; a reload goes on, and "
            "the log of the host tells its end"
        ) from error
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        place = where.unix_socket or where.url
        raise UnreachableError(f"{place} is not reachable: {error}") from error


def _is_here(url: str) -> bool:
    """Tell whether a proxy would be of no use."""
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host in _NO_PROXY


def _document(response: httpx.Response) -> dict[str, Any] | None:
    try:
        found = response.json()
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _token(where: Target) -> str:
    if where.token_file is None:
        raise ConfigError("no token file is known; name it with --token-file")
    try:
        token = where.token_file.read_text("ascii").strip()
    except UnicodeDecodeError as error:
        raise ConfigError(f"{where.token_file} holds no token") from error
    except OSError as error:
        reason = f"{where.token_file}: {error.strerror}"
        raise ConfigError(
            f"the token cannot be read: {reason}; the host makes it at its first "
            "start, for its own user only"
        ) from error
    return token
