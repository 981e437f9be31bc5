"""A running host, asked over HTTP.  Effects."""

from __future__ import annotations

import base64
import ipaddress
import os
import socket
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import httpx

from pointsman.errors import ConfigError, Error, Refused

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pointsman.cli.where import Where
    from pointsman.settings import Settings

_NO_PROXY = {"localhost", "unix"}
_KNOCK = 2.0  # seconds that a server may take to accept a connection


class UnreachableError(Error):
    """Nobody answers there, or somebody who is no host; exit code 3."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where a control surface is, and the token, or the user, for it.

    ``unix_socket`` is the server's, where it listens on no port.  ``token_file`` is
    read when a token is needed; ``token`` wins over it, and ``user`` over both.
    """

    url: str
    token_file: Path | None
    unix_socket: str = ""
    token: str = field(default="", repr=False)
    user: str = ""
    password: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a host has answered: a JSON document."""

    status: int
    document: dict[str, Any]

    @property
    def is_refusal(self) -> bool:
        """Tell whether the host did not do it."""
        return self.status >= 400  # noqa: PLR2004 - RFC 9110, section 15

    def done(self) -> dict[str, Any]:
        """Return the document of what was done.

        Raises:
            Refused: it was not done.

        """
        if self.is_refusal:
            title, detail = self.document.get("title"), self.document.get("detail")
            raise Refused(self.status, str(title), str(detail))
        return self.document


def target(where: Where) -> Target:
    """Find out what was not given from the ini.

    Raises:
        ConfigError: the ini does not say it.

    """
    settings = None
    if where.ini is not None:
        # It imports all of the host: half a second that a client elsewhere saves.
        from pointsman.cli import sections  # noqa: PLC0415

        settings = sections.hosts(where.ini, where.variables)[0].settings
    control = settings.control_path if settings else "/_pointsman"
    token, file = _token_of(where, settings)
    if where.url is not None:
        bare = urlsplit(where.url).path in {"", "/"}
        url = where.url.rstrip("/") + (control if bare else "")
        return Target(url, file, token=token)
    if where.ini is None:
        raise ConfigError("neither an ini nor a URL says where the host is")
    at = sections.address(where.ini, where.server_name, where.variables)
    if at.unix_socket:
        return Target(f"http://unix{control}", file, at.unix_socket, token)
    name = f"[{at.host}]" if ":" in at.host else at.host
    return Target(f"http://{name}:{at.port}{control}", file, token=token)


def _token_of(where: Where, settings: Settings | None) -> tuple[str, Path | None]:
    if where.token_file is not None:
        return "", where.token_file
    given = os.environ.get("POINTSMAN_TOKEN", "").strip()
    return given, settings.control_token_file if settings else None


def is_here(url: str) -> bool:
    """Tell whether a URL leads to this machine: no proxy is of use then."""
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host in _NO_PROXY


def accepts(where: Target) -> bool:
    """Tell whether anybody accepts a connection there; sends nothing."""
    try:
        if where.unix_socket:
            with socket.socket(socket.AF_UNIX) as line:
                line.settimeout(_KNOCK)
                line.connect(where.unix_socket)
        else:
            parts = urlsplit(where.url)
            address = (parts.hostname or "", parts.port or 80)
            socket.create_connection(address, _KNOCK).close()
    except OSError:
        return False
    return True


class Line:
    """A connection to one host, with the token.  One thread, and one at a time."""

    def __init__(self, where: Target, timeout: float) -> None:
        """Connect with the first question; it waits ``timeout`` seconds at most."""
        self.where = where
        self._timeout = timeout
        transport = (
            httpx.HTTPTransport(uds=where.unix_socket) if where.unix_socket else None
        )
        self._client = httpx.Client(
            transport=transport, trust_env=not is_here(where.url)
        )

    def close(self) -> None:
        """Let go of the connection."""
        self._client.close()

    def ask(
        self, method: str, path: str, *, longer: float = 0.0, **request: Any
    ) -> Answer:
        """Send one request; ``longer`` seconds more may pass than usual.

        Raises:
            ConfigError: the token cannot be read.
            UnreachableError: no host of ours answers there.

        """
        headers = {
            "Authorization": _authorization(self.where),
            **request.pop("headers", {}),
        }
        timeout = httpx.Timeout(self._timeout + longer, connect=self._timeout)
        with self._told(self._timeout + longer):
            response = self._client.request(
                method,
                self.where.url + path,
                headers=headers,
                timeout=timeout,
                **request,
            )
        document = _document(response)
        if document is None or ("detail" not in document and response.is_error):
            raise UnreachableError(
                f"{self.where.url} answered {response.status_code}, and not as a "
                "pointsman host does; check the URL and control.path"
            )
        return Answer(response.status_code, document)

    @contextmanager
    def _told(self, seconds: float) -> Iterator[None]:
        try:
            yield
        except httpx.TimeoutException as error:
            raise UnreachableError(
                f"{self.where.url} has not answered within {seconds:g} s; what was "
                "asked goes on, and the log of the host tells its end"
            ) from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            place = self.where.unix_socket or self.where.url
            raise UnreachableError(f"{place} is not reachable: {error}") from error


def _document(response: httpx.Response) -> dict[str, Any] | None:
    try:
        found = response.json()
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _authorization(where: Target) -> str:
    """Return the header that says who asks (RFC 6750, RFC 7617)."""
    if where.user:
        told = f"{where.user}:{where.password}".encode()
        return f"Basic {base64.b64encode(told).decode()}"
    return f"Bearer {_token(where)}"


def _token(where: Target) -> str:
    if where.token:
        return where.token
    if where.token_file is None:
        raise ConfigError(
            "no token is known; name its file with --token-file, or put it into "
            "POINTSMAN_TOKEN"
        )
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
