"""What scanned directories showed, who scans them, and what was picked up.  Effects."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import bindparam, delete, insert, select, update

from pointsman.cluster import Sighting
from pointsman.ledger import decisions
from pointsman.ledger.part import Part
from pointsman.ledger.schema import claim, mount, node, scanner, sighting

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sqlalchemy import Connection

_FORGET_SIGHTING: Final = delete(sighting).where(
    sighting.c.location == bindparam("at"), sighting.c.file == bindparam("name")
)
_SIGHTING: Final = insert(sighting).inline()
_SIGHTINGS: Final = (
    select(sighting)
    .where(sighting.c.location == bindparam("location"))
    .order_by(sighting.c.file)
)
_FORGET_CLAIM: Final = delete(claim).where(claim.c.claim == bindparam("name"))
_CLAIM: Final = insert(claim)
_CLAIMED: Final = select(claim.c.generation).where(claim.c.claim == bindparam("name"))
_SCANNER: Final = (
    select(scanner, node.c.id.label("known"))
    .select_from(scanner.outerjoin(node, node.c.id == scanner.c.node))
    .where(scanner.c.location == bindparam("location"))
    .with_for_update(of=scanner)
)
_NEW_SCANNER: Final = insert(scanner).inline()
_SET_SCANNER: Final = (
    update(scanner)
    .where(scanner.c.location == bindparam("at"))
    .values(
        node=bindparam("who"),
        lease=bindparam("length"),
        lease_until=bindparam("until"),
    )
)
_BOUND_SCANNER: Final = (
    update(scanner)
    .where(scanner.c.location == bindparam("at"))
    .values(lease_until=bindparam("until"))
)
_MOUNTS: Final = select(mount.c.key, mount.c.package)
_FORGET_MOUNT: Final = delete(mount).where(mount.c.key == bindparam("name"))
_MOUNT: Final = insert(mount).inline()


class Directories(Part):
    """Sightings, claims, and who has which path."""

    def scanner(self, location: str, node: str, *, lease: float) -> bool:
        """See `interfaces.Ledger.scanner`."""
        with self._database.writing() as connection:
            self._lock(connection)
            now = self._database.now(connection)
            mine = {
                "at": location,
                "who": node,
                "length": lease,
                "until": now + lease,
            }
            row = connection.execute(_SCANNER, {"location": location}).first()
            if row is None:
                values = {
                    "location": location,
                    "node": node,
                    "lease": lease,
                    "lease_until": now + lease,
                }
                connection.execute(_NEW_SCANNER, values)
                return True
            until = decisions.bounded(row.lease_until, row.lease, now)
            if row.node == node or row.known is None or until <= now:
                connection.execute(_SET_SCANNER, mine)
                return True
            if until < row.lease_until:
                connection.execute(_BOUND_SCANNER, {"at": location, "until": until})
            return False

    def sightings(self, location: str) -> tuple[Sighting, ...]:
        """See `interfaces.Ledger.sightings`."""
        with self._database.reading() as connection:
            rows = connection.execute(_SIGHTINGS, {"location": location})
            return tuple(Sighting(*row) for row in rows)

    def sight(self, sightings: Iterable[Sighting]) -> None:
        """See `interfaces.Ledger.sight`."""
        found = tuple(sightings)
        with self._database.writing() as connection:
            self._lock(connection)
            keep_sightings(connection, found)

    def claimed(self, claim: str) -> int | None:
        """See `interfaces.Ledger.claimed`."""
        with self._database.reading() as connection:
            found = connection.execute(_CLAIMED, {"name": claim}).first()
            return None if found is None else found.generation

    def mounts(self) -> Mapping[str, str]:
        """See `interfaces.Ledger.mounts`."""
        with self._database.reading() as connection:
            return _mounts(connection)

    def keep_mounts(self, mounts: Mapping[str, str]) -> None:
        """See `interfaces.Ledger.keep_mounts`; only what differs is written."""
        wanted = dict(mounts)
        with self._database.writing() as connection:
            self._lock(connection)
            kept = _mounts(connection)
            old = [{"name": key} for key in kept if wanted.get(key) != kept[key]]
            new = [
                {"key": key, "package": package}
                for key, package in wanted.items()
                if kept.get(key) != package
            ]
            if old:
                connection.execute(_FORGET_MOUNT, old)
            if new:
                connection.execute(_MOUNT, new)


def _mounts(connection: Connection) -> dict[str, str]:
    return {row.key: row.package for row in connection.execute(_MOUNTS)}


def keep_sightings(connection: Connection, sightings: Iterable[Sighting]) -> None:
    """Record sightings; the last one of a file counts."""
    last = {(one.location, one.file): one for one in sightings}
    if not last:
        return
    places = [{"at": location, "name": file} for location, file in last]
    connection.execute(_FORGET_SIGHTING, places)
    there = [
        {
            "location": one.location,
            "file": one.file,
            "digest": one.digest,
            "package": one.package,
        }
        for one in last.values()
        if one.digest
    ]
    if there:
        connection.execute(_SIGHTING, there)


def keep_claims(connection: Connection, claims: Iterable[str], number: int) -> None:
    """Record which generation answers for picked-up files."""
    names = list(dict.fromkeys(claims))
    if names:
        connection.execute(_FORGET_CLAIM, [{"name": name} for name in names])
        connection.execute(
            _CLAIM, [{"claim": name, "generation": number} for name in names]
        )
