"""Artifacts, in rows of at most 1 MiB.  Effects."""

from __future__ import annotations

import contextlib
import hashlib
from typing import TYPE_CHECKING, Final

from sqlalchemy import bindparam, delete, insert, select, update

from pointsman.errors import ArtifactError, DamagedError, LedgerError
from pointsman.ledger.part import Part
from pointsman.ledger.schema import CHUNK, artifact, chunk

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sqlalchemy import Connection

#: How many chunks are written in one transaction: what is smaller is stored in one,
#: and what is larger lets others write meanwhile.
AT_ONCE: Final = 4

#: How long an artifact stays that no generation names; in seconds.
UNCLAIMED: Final = 3600.0

_FIND: Final = select(artifact.c.id, artifact.c.size, artifact.c.stored_at).where(
    artifact.c.digest == bindparam("digest")
)
_TOUCH: Final = (
    update(artifact)
    .where(artifact.c.digest == bindparam("named"))
    .values(stored_at=bindparam("now"))
)
_BEGIN: Final = insert(artifact)
_CHUNK: Final = insert(chunk)
_FINISH: Final = (
    update(artifact)
    .where(artifact.c.id == bindparam("row"))
    .values(
        digest=bindparam("named"), size=bindparam("length"), stored_at=bindparam("now")
    )
)
_FORGET: Final = delete(artifact).where(artifact.c.id == bindparam("row"))
_DATA: Final = select(chunk.c.data).where(
    chunk.c.artifact == bindparam("row"), chunk.c.number == bindparam("number")
)
_ALL: Final = (
    select(artifact.c.digest)
    .where(artifact.c.digest.is_not(None))
    .order_by(artifact.c.digest)
)


class Artifacts(Part):
    """Bytes by their digest."""

    def has(self, digest: str) -> bool:
        """See `interfaces.Ledger.has`."""
        with self._database.reading() as connection:
            return connection.execute(_FIND, {"digest": digest}).first() is not None

    def store(self, digest: str, size: int, chunks: Iterable[bytes]) -> None:
        """See `interfaces.Ledger.store`.

        The row has no digest until its last chunk is there; what was cut off
        half-way is dropped by `prune`.
        """
        if self._is_stored(digest):
            return
        incoming = _Incoming(digest, size)
        row: int | None = None
        waiting: list[bytes] = []
        try:
            for piece in _pieces(incoming.watched(chunks)):
                if len(waiting) == AT_ONCE:
                    row = self._write(row, incoming, waiting)
                    waiting = []
                waiting.append(piece)
            incoming.require_complete()
        except BaseException:
            self._forget(row)
            raise
        self._write(row, incoming, waiting, last=True)

    def _is_stored(self, digest: str) -> bool:
        """Tell whether it is there, and see to it that it stays for an hour."""
        with self._database.reading() as connection:
            found = connection.execute(_FIND, {"digest": digest}).first()
            now = self._database.now(connection)
        if found is None:
            return False
        if 0 <= now - found.stored_at < UNCLAIMED / 2:
            return True
        with self._database.writing() as connection:
            now = self._database.now(connection)
            return bool(
                connection.execute(_TOUCH, {"named": digest, "now": now}).rowcount
            )

    def _write(
        self,
        row: int | None,
        incoming: _Incoming,
        pieces: list[bytes],
        *,
        last: bool = False,
    ) -> int:
        with self._database.writing() as connection:
            now = self._database.now(connection)
            if row is None:
                row = self._insert(connection, _BEGIN, {"stored_at": now})
            if pieces:
                connection.execute(
                    _CHUNK,
                    [
                        {"artifact": row, "number": number, "data": piece}
                        for number, piece in enumerate(pieces, incoming.written)
                    ],
                )
            incoming.written += len(pieces)
            if last:
                self._lock(connection)  # two may finish the same at one moment
                _finish(connection, row, incoming, now)
            return row

    def _forget(self, row: int | None) -> None:
        if row is None:
            return
        # Where the ledger itself has failed, that is what is told; `prune` drops it.
        with contextlib.suppress(LedgerError), self._database.writing() as connection:
            connection.execute(_FORGET, {"row": row})

    def chunks(self, digest: str) -> Iterator[bytes]:
        """See `interfaces.Ledger.chunks`.

        The last piece is given only when all have the digest: whoever has got it
        has the artifact.
        """
        with self._database.reading() as connection:
            found = connection.execute(_FIND, {"digest": digest}).first()
        if found is None:
            reason = f"the artifact {digest} is not stored in it"
            raise DamagedError(self.url, reason)
        return self._checked(digest, found.id)

    def _checked(self, digest: str, row: int) -> Iterator[bytes]:
        total = hashlib.sha256()
        number, last = 0, self._piece(row, 0)
        while last is not None:
            total.update(last)
            number += 1
            following = self._piece(row, number)
            if following is not None:
                yield last
            elif total.hexdigest() == digest:
                yield last
                return
            last = following
        if total.hexdigest() != digest:
            reason = (
                f"the artifact {digest} is damaged: what is stored has the digest "
                f"{total.hexdigest()}; deploy it again from its file"
            )
            raise DamagedError(self.url, reason)

    def _piece(self, row: int, number: int) -> bytes | None:
        with self._database.reading() as connection:
            found = connection.execute(_DATA, {"row": row, "number": number})
            data: bytes | None = found.scalar()
            return data

    def _damaged_artifacts(self) -> Iterator[str]:
        with self._database.reading() as connection:
            digests = connection.execute(_ALL).scalars().all()
        for digest in digests:
            try:
                for _ in self.chunks(str(digest)):
                    pass
            except LedgerError as error:
                yield error.reason


def _finish(connection: Connection, row: int, incoming: _Incoming, now: float) -> None:
    """Give the row its digest, unless somebody else has stored the same meanwhile."""
    if connection.execute(_FIND, {"digest": incoming.digest}).first() is not None:
        connection.execute(_FORGET, {"row": row})
        connection.execute(_TOUCH, {"named": incoming.digest, "now": now})
        return
    values = {"row": row, "named": incoming.digest, "length": incoming.size, "now": now}
    connection.execute(_FINISH, values)


class _Incoming:
    """Counts and hashes what comes in, and how many chunks of it were written."""

    def __init__(self, digest: str, size: int) -> None:
        self.digest = digest
        self.size = size
        self.written = 0
        self._total = hashlib.sha256()
        self._length = 0

    def watched(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """Hand ``chunks`` on, as long as there are not too many."""
        for piece in chunks:
            self._total.update(piece)
            self._length += len(piece)
            if self._length > self.size:
                self._refuse(f"it has more than {self.size} bytes")
            yield piece

    def require_complete(self) -> None:
        """Compare all of them with what they should be."""
        if self._length != self.size:
            self._refuse(f"it has {self._length} bytes instead of {self.size}")
        if self._total.hexdigest() != self.digest:
            self._refuse(f"its digest is {self._total.hexdigest()}")

    def _refuse(self, reason: str) -> None:
        raise ArtifactError(
            f"sha256:{self.digest}", "while it is stored", f"{reason}; send it again"
        )


def _pieces(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Cut and join chunks to pieces of `CHUNK` bytes; the last one may be shorter."""
    buffer = bytearray()
    for one in chunks:
        buffer += one
        while len(buffer) >= CHUNK:
            yield bytes(buffer[:CHUNK])
            del buffer[:CHUNK]
    if buffer:
        yield bytes(buffer)
