"""A cluster, reached through one of its servers.  Effects."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from pointsman.cli.hosts import Line

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pointsman.cli.hosts import Target
    from pointsman.cli.progress import Progress
    from pointsman.cli.reached import Change, Document
    from pointsman.cli.uploads import Upload

API = "/api/v1"
_NEWEST = 5
_ASIDE = 3.0  # seconds


class OverHttp:
    """Asks a running host; see `reached.Reached`."""

    def __init__(self, target: Target, timeout: float) -> None:
        """Connect with the first question; ``timeout`` is for each, in seconds."""
        self._line = Line(target, timeout)
        # For the thread that tells of votes; nobody waits long for what it has to say.
        self._aside = Line(target, min(timeout, _ASIDE))

    def close(self) -> None:
        """Let go of the connections."""
        self._line.close()
        self._aside.close()

    # CHANGES

    def deploy(
        self,
        uploads: Sequence[Upload],
        remove: Sequence[str],
        change: Change,
        progress: Progress,
    ) -> Document:
        """Deploy and remove packages; see `reached.Reached`."""
        if len(uploads) == 1 and uploads[0].package:
            return self._put(uploads[0], change, progress)
        form = _form(uploads, remove, progress)
        return self._changed("POST", "/packages", change, files=form)

    def _put(self, upload: Upload, change: Change, progress: Progress) -> Document:
        headers = {
            "Content-Length": str(upload.size),
            "Content-Digest": _digest_field(upload),
        }
        return self._changed(
            "PUT",
            f"/packages/{_segment(upload.package)}",
            change,
            headers=headers,
            params={"file": upload.name},
            content=upload.chunks(progress.sending(upload)),
        )

    def undeploy(
        self, names: Sequence[str], change: Change, *, cascade: bool
    ) -> Document:
        """Take packages away; see `reached.Reached`."""
        params = {"name": list(names), "cascade": "yes" if cascade else "no"}
        return self._changed("DELETE", "/packages", change, params=params)

    def rollback(self, package: str, to: str | None, change: Change) -> Document:
        """Go back with one package; see `reached.Reached`."""
        path = f"/packages/{_segment(package)}/rollback"
        return self._changed("POST", path, change, json={"to": to})

    def rollback_to(self, number: int, change: Change) -> Document:
        """Go back to a whole generation; see `reached.Reached`."""
        return self._changed("POST", f"/generations/{number}/rollback", change)

    def stop(self, services: Sequence[str], change: Change) -> Document:
        """Let services answer 503; see `reached.Reached`."""
        body = {"services": list(services)}
        return self._changed("POST", "/services/stop", change, json=body)

    def start(self, services: Sequence[str], change: Change) -> Document:
        """Let stopped services answer again; see `reached.Reached`."""
        body = {"services": list(services)}
        return self._changed("POST", "/services/start", change, json=body)

    def _changed(
        self, method: str, path: str, change: Change, **request: Any
    ) -> Document:
        """Ask for a change; a generation that fails is an answer, too."""
        params = {**request.pop("params", {}), "wait": f"{change.wait:g}"}
        if change.note:
            params["note"] = change.note
        headers = request.pop("headers", {})
        if change.if_match is not None:
            headers["If-Match"] = f'"{change.if_match}"'
        answer = self._line.ask(
            method,
            API + path,
            longer=change.wait,
            params=params,
            headers=headers,
            **request,
        )
        if "generation" in answer.document and "votes" in answer.document:
            return answer.document
        return answer.done()

    # LOOKS

    def plan(
        self, uploads: Sequence[Upload], remove: Sequence[str], progress: Progress
    ) -> Document:
        """Return what a deployment would do; see `reached.Reached`."""
        form = _form(uploads, remove, progress)
        return self._line.ask("POST", f"{API}/plan", files=form).done()

    def on_its_way(self) -> Document | None:
        """Return the generation that is staging; see `reached.Reached`."""
        params = {"limit": _NEWEST}
        newest = self._aside.ask("GET", f"{API}/generations", params=params).done()
        for one in newest["generations"]:
            if one["state"] == "staging":
                number = one["generation"]
                return self._aside.ask("GET", f"{API}/generations/{number}").done()
        return None

    def packages(self) -> Document:
        """Return the packages; see `reached.Reached`."""
        return self._get("/packages")

    def services(self) -> Document:
        """Return the services; see `reached.Reached`."""
        return self._get("/services")

    def nodes(self, *, leaks: bool = False) -> Document:
        """Return the nodes; see `reached.Reached`."""
        return self._get("/nodes", leaks="yes" if leaks else "no")

    def threads(self, node: str) -> Document:
        """Return the threads of a node; see `reached.Reached`."""
        return self._get(f"/nodes/{_segment(node)}/threads")

    def generations(self, limit: int) -> Document:
        """Return the newest generations; see `reached.Reached`."""
        return self._get("/generations", limit=limit)

    def generation(self, number: int) -> Document:
        """Return one generation; see `reached.Reached`."""
        return self._get(f"/generations/{number}")

    def diff(self, number: int) -> Document:
        """Return what a generation changed; see `reached.Reached`."""
        return self._get(f"/generations/{number}/diff")

    def events(self, limit: int) -> Document:
        """Return the audit log; see `reached.Reached`."""
        return self._get("/events", limit=limit)

    def _get(self, path: str, **params: Any) -> Document:
        return self._line.ask("GET", API + path, params=params).done()

    # PEOPLE

    def tokens(self) -> Document:
        """Return all tokens; see `reached.Reached`."""
        return self._get("/tokens")

    def create_token(
        self, name: str, role: str, packages: Sequence[str], lasts: float | None
    ) -> Document:
        """Make a token; see `reached.Reached`."""
        body = {"name": name, "role": role, "packages": list(packages)}
        if lasts is not None:
            body["expires_in"] = int(lasts)  # type: ignore[assignment]
        return self._line.ask("POST", f"{API}/tokens", json=body).done()

    def revoke_token(self, name: str) -> Document:
        """Revoke a token; see `reached.Reached`."""
        return self._line.ask("DELETE", f"{API}/tokens/{_segment(name)}").done()

    def users(self) -> Document:
        """Return all users; see `reached.Reached`."""
        return self._get("/users")

    def create_user(self, name: str, role: str, password: str) -> Document:
        """Make a user; see `reached.Reached`."""
        body = {"name": name, "role": role, "password": password}
        return self._line.ask("POST", f"{API}/users", json=body).done()

    def change_password(self, name: str, password: str) -> Document:
        """Give a user another password; see `reached.Reached`."""
        path = f"{API}/users/{_segment(name)}/password"
        return self._line.ask("PUT", path, json={"password": password}).done()

    def remove_user(self, name: str) -> Document:
        """Remove a user; see `reached.Reached`."""
        return self._line.ask("DELETE", f"{API}/users/{_segment(name)}").done()

    def lock(self, reason: str) -> Document:
        """Freeze deployments; see `reached.Reached`."""
        return self._line.ask("PUT", f"{API}/lock", json={"reason": reason}).done()

    def unlock(self, *, force: bool) -> Document:
        """End that; see `reached.Reached`."""
        params = {"force": "yes"} if force else {}
        return self._line.ask("DELETE", f"{API}/lock", params=params).done()

    # THE REST

    def reload(self, *, confirm_removals: bool, wait: float) -> Document:
        """Let every node read its sources; see `reached.Reached`."""
        body = {"confirm_removals": confirm_removals}
        params = {"wait": f"{wait:g}"}
        answer = self._line.ask(
            "POST", f"{API}/reload", longer=wait, params=params, json=body
        )
        return answer.document if "packages" in answer.document else answer.done()


class _Told:
    """A file whose reader tells how much it has read, as httpx wants one."""

    def __init__(self, upload: Upload, told: Callable[[int], None]) -> None:
        self._file = upload.file
        self._told = told

    def read(self, size: int = -1) -> bytes:
        found = self._file.read(size)
        self._told(len(found))
        return found

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def fileno(self) -> int:
        return self._file.fileno()


def _form(
    uploads: Sequence[Upload], remove: Sequence[str], progress: Progress
) -> list[tuple[str, Any]]:
    """Return the parts of multipart/form-data (RFC 7578) as httpx takes them."""
    parts: list[tuple[str, Any]] = [("remove", (None, name)) for name in remove]
    for one in uploads:
        headers = {"Content-Digest": _digest_field(one)}
        one.file.seek(0)
        told = _Told(one, progress.sending(one))
        kind = "application/octet-stream"
        parts.append(("file", (one.name, told, kind, headers)))
    return parts


def _digest_field(upload: Upload) -> str:
    """Return the field Content-Digest (RFC 9530)."""
    return f"sha-256=:{base64.b64encode(upload.digest()).decode()}:"


def _segment(text: str) -> str:
    return quote(text, safe="")
