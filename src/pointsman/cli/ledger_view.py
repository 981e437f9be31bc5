"""What a ledger tells without any server, as the servers would tell it.  Effects."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pointsman.cli.voters import not_answered
from pointsman.cluster import State
from pointsman.control import documents
from pointsman.control.services import documents_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from pointsman.cli.reached import Document
    from pointsman.cli.voters import Voters
    from pointsman.cluster import Contents
    from pointsman.deployments import Deployments
    from pointsman.interfaces import Ledger

_NEWEST = 5


class LedgerView:
    """The looks of `reached.Reached`, from a ledger.  Any thread."""

    _ledger: Ledger
    _deployments: Deployments
    _voters: Voters

    def on_its_way(self) -> Document | None:
        """Return the generation that is staging; see `reached.Reached`."""
        for one in self._ledger.generations(limit=_NEWEST):
            if one.state is State.STAGING:
                found = self._ledger.generation(one.number)
                return documents.generation(found) if found else None
        return None

    def packages(self) -> Document:
        """Return the packages; static ones are known to the nodes only."""
        active = self._deployments.active()
        named = _by_package(self._ledger.mounts())
        found = [
            {
                **(documents.entry(entry) or {}),
                "status": "active",
                "services": [key for key in named.get(name, ()) if _is_name(key)],
            }
            for name, entry in sorted(active.entries.items())
        ]
        return {"generation": active.number, "packages": found, "reload": None}

    def services(self) -> Document:
        """Return the services, as they were mounted by the last that served."""
        if self._voters.own is not None:
            return {"services": documents_of(self._voters.own)}
        active, mounts = self._deployments.active(), self._ledger.mounts()
        rows = (
            _service(name, path, package, active)
            for package, keys in _by_package(mounts).items()
            for name, path in _paired(keys)
        )
        return {"services": sorted(rows, key=lambda row: str(row["path"]))}

    def nodes(self, *, leaks: bool = False) -> Document:
        """Return the nodes; see `reached.Reached`."""
        now = self._ledger.observe("").now
        found = [documents.node(one, now) for one in self._ledger.nodes()]
        if leaks:
            alive = [one.id for one in self._voters.alive()]
            told = self._voters.asked(alive, "leaks")
            for each in found:
                each["leaks"] = told.get(each["node"], {}).get("leaks")
        return {"nodes": found}

    def threads(self, node: str) -> Document:
        """Return the threads of a node; see `reached.Reached`."""
        told = self._voters.asked([node], "threads").get(node)
        if told is None:
            raise not_answered(node)
        return {"node": node, **told}

    def generations(self, limit: int) -> Document:
        """Return the newest generations; see `reached.Reached`."""
        found = self._ledger.generations(limit=limit)
        return {"generations": [documents.generation(one) for one in found]}

    def generation(self, number: int) -> Document:
        """Return one generation; see `reached.Reached`."""
        document = documents.generation(self._deployments.generation(number))
        contents = self._ledger.contents(number)
        document["packages"] = document["stopped"] = None
        if contents is not None:
            entries = sorted(contents.entries.items())
            document["packages"] = [documents.entry(entry) for _, entry in entries]
            document["stopped"] = sorted(contents.stopped)
        return document

    def diff(self, number: int) -> Document:
        """Return what a generation changed; see `reached.Reached`."""
        found = self._deployments.diff(number)
        packages = [documents.difference(one) for one in found]
        return {"generation": number, "packages": packages}

    def events(self, limit: int) -> Document:
        """Return the audit log; see `reached.Reached`."""
        found = self._ledger.events(limit=limit)
        return {"events": [documents.event(one) for one in found]}

    def tokens(self) -> Document:
        """Return all tokens; see `reached.Reached`."""
        now = self._ledger.observe("").now
        return {"tokens": [documents.token(one, now) for one in self._ledger.tokens()]}

    def users(self) -> Document:
        """Return all users; see `reached.Reached`."""
        return {"users": [documents.user(one) for one in self._ledger.users()]}

    def service_names(self) -> frozenset[str]:
        """Return the services that are mounted anywhere, or were by the last."""
        if self._voters.own is not None:
            return frozenset(one["name"] for one in documents_of(self._voters.own))
        return frozenset(key for key in self._ledger.mounts() if _is_name(key))


def _is_name(key: str) -> bool:
    """Tell a service's name from a path, among the keys of `Ledger.mounts`."""
    return bool(key) and not key.startswith("/")


def _by_package(mounts: Mapping[str, str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for key, package in sorted(mounts.items()):
        found.setdefault(package, []).append(key)
    return found


def _paired(keys: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Return each service with its path, where that is certain; else with ``""``.

    The ledger knows who has a name and who has a path, but not which belong together.
    """
    names = {key for key in keys if _is_name(key)}
    paths = {key or "/" for key in keys if not _is_name(key)}
    own = {name: f"/{name.replace('.', '/', 1)}" for name in names}
    rest = names - {name for name, path in own.items() if path in paths}
    left = paths - set(own.values())
    if len(rest) == len(left) == 1:
        own[next(iter(rest))] = next(iter(left))
        paths |= left
    for name in sorted(names):
        yield name, own[name] if own[name] in paths else ""


def _service(name: str, path: str, package: str, active: Contents) -> Document:
    entry = active.entries.get(package)
    return {
        "name": name,
        "path": path,
        "package": package,
        "digest": entry.digest if entry else "",
        "origin": f"{entry.file} ({entry.source})" if entry else "",
        "state": "stopped" if name in active.stopped else "running",
        "in_flight": None,
    }
