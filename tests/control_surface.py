"""Asking the control surface of a host in this process."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING, Any

from site_folder import get

if TYPE_CHECKING:
    from pointsman.wsgi import Host
    from site_folder import Answer

SERVICE = """
from pointsman import Service

class Hello(Service):
    def handle(self, request):
        return "{word}"
"""


def module(word: str) -> bytes:
    """Return a module whose one service says a word."""
    return SERVICE.format(word=word).encode()


class Surface:
    """The control surface of one host; ``token`` is that of its machine."""

    def __init__(self, host: Host) -> None:
        """Read the token."""
        self.host = host
        file = host.node.settings.control_token_file
        self.token = file.read_text().strip() if file is not None else ""

    def ask(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        *,
        json_body: Any = None,
        token: str | None = None,
        base: str = "/_pointsman/api/v1",
        **environ: Any,
    ) -> Answer:
        """Send one request; headers are given as WSGI has them."""
        if json_body is not None:
            body = json.dumps(json_body).encode()
        if body is not None:
            environ.setdefault("wsgi.input", io.BytesIO(body))
            environ.setdefault("CONTENT_LENGTH", str(len(body)))
        given = self.token if token is None else token
        environ.setdefault("HTTP_AUTHORIZATION", f"Bearer {given}")
        return get(self.host, base + path, REQUEST_METHOD=method, **environ)

    def document(self, method: str, path: str, *args: Any, **environ: Any) -> Any:
        """Send one request; return the JSON of the answer."""
        return json.loads(self.ask(method, path, *args, **environ).body)

    def put(self, name: str, word: str, **environ: Any) -> Answer:
        """Deploy a module whose service says a word."""
        return self.ask("PUT", f"/packages/{name}", module(word), **environ)

    def say(self, name: str) -> str:
        """Return what the service of a package says."""
        return get(self.host, f"/{name}/hello").text

    def token_of(self, role: str, *packages: str, **members: Any) -> str:
        """Make a token."""
        wanted = {
            "name": f"{role}{len(packages)}",
            "role": role,
            "packages": packages,
            **members,
        }
        made = self.document("POST", "/tokens", json_body=wanted)
        token: str = made["token"]
        return token


def form(*fields: tuple[str, str | None, bytes]) -> tuple[bytes, dict[str, str]]:
    """Return a form of name, file name and content, and its content type."""
    found = b""
    for name, file, content in fields:
        given = f'; filename="{file}"' if file is not None else ""
        head = f'Content-Disposition: form-data; name="{name}"{given}'
        found += b"--cut\r\n" + head.encode() + b"\r\n\r\n" + content + b"\r\n"
    return found + b"--cut--\r\n", {"CONTENT_TYPE": "multipart/form-data; boundary=cut"}
