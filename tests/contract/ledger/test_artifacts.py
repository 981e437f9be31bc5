"""Artifacts: stored whole or not at all, given back as they were."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest

from contract.ledger.scene import ALICE, digest_of
from pointsman.errors import ArtifactError, LedgerError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from contract.ledger.scene import Scene

MIB = 1024 * 1024


def test_stored_artifacts_are_known(scene: Scene) -> None:
    """What is stored is there, for every connection; nothing else is."""
    digest = scene.store("x = 1")
    other = scene.place.open()

    assert (True, True) == (scene.ledger.has(digest), other.has(digest))
    assert not other.has(digest_of("x = 2"))


@pytest.mark.parametrize("size", [0, 1, MIB - 1, MIB, MIB + 1, 4 * MIB, 9 * MIB + 5])
def test_bytes_come_back(scene: Scene, size: int) -> None:
    """All bytes come back, in pieces of at most 1 MiB, however they were given."""
    data = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    digest = hashlib.sha256(data).hexdigest()
    step = 700_001
    scene.ledger.store(digest, size, (data[i : i + step] for i in range(0, size, step)))
    pieces = list(scene.ledger.chunks(digest))

    assert data == b"".join(pieces)
    assert max(map(len, pieces), default=0) <= MIB


def test_storing_twice_reads_nothing(scene: Scene) -> None:
    """What is stored already is not read again."""
    digest = scene.store("x = 1")

    def never() -> bytes:
        raise AssertionError

    scene.ledger.store(digest, 5, iter(never, b""))
    assert [b"x = 1"] == list(scene.ledger.chunks(digest))


@pytest.mark.parametrize("size", [4, 6])
def test_another_size_is_refused(scene: Scene, size: int) -> None:
    """Too few or too many bytes are not stored."""
    digest = digest_of("x = 1")
    with pytest.raises(ArtifactError, match=r"it has (5 bytes instead of 6|more than)"):
        scene.ledger.store(digest, size, [b"x = 1"])

    assert not scene.ledger.has(digest)


def test_another_digest_is_refused(scene: Scene) -> None:
    """Bytes that are not what they are called are not stored; 6 MiB neither."""
    digest = digest_of("x = 1")
    chunks = [bytes(MIB)] * 6
    with pytest.raises(ArtifactError, match="its digest is"):
        scene.ledger.store(digest, 6 * MIB, chunks)

    assert not scene.ledger.has(digest)


def test_cut_off_artifacts_are_not_stored(scene: Scene) -> None:
    """When reading it fails half-way, nothing is stored, and it can be tried again."""
    data = bytes(6 * MIB)
    digest = hashlib.sha256(data).hexdigest()

    def breaks() -> Iterator[bytes]:
        yield data[: 5 * MIB]
        raise OSError(5, "Input/output error")

    with pytest.raises(OSError, match="Input/output"):
        scene.ledger.store(digest, len(data), breaks())
    assert not scene.ledger.has(digest)
    scene.ledger.store(digest, len(data), [data])
    assert scene.ledger.has(digest)


def test_no_transaction_is_open_while_it_reads(scene: Scene) -> None:
    """Others write while the chunks of an artifact are made, or used."""
    data = bytes(6 * MIB)
    digest = hashlib.sha256(data).hexdigest()
    other = scene.place.open()

    def slow() -> Iterator[bytes]:
        for at in range(0, len(data), MIB):
            other.beat("n1", lease=1.0)
            scene.ledger.record(ALICE, "note")
            yield data[at : at + MIB]

    scene.ledger.store(digest, len(data), slow())
    for _ in scene.ledger.chunks(digest):
        other.record(ALICE, "note")
    assert ["note"] * 12 == scene.events()


def test_storing_the_same_at_once_stores_it_once(scene: Scene) -> None:
    """Somebody else stores the same artifact half-way through: both have stored it."""
    data = bytes(6 * MIB)
    digest = hashlib.sha256(data).hexdigest()
    other = scene.place.open()

    def overtaken() -> Iterator[bytes]:
        yield data[: 5 * MIB]
        other.store(digest, len(data), [data])
        yield data[5 * MIB :]

    scene.ledger.store(digest, len(data), overtaken())
    assert data == b"".join(scene.ledger.chunks(digest))
    assert () == scene.ledger.check()


def test_artifacts_that_are_not_there_are_told(scene: Scene) -> None:
    """Reading what is not stored is an error that names it, at once."""
    digest = digest_of("x = 1")
    with pytest.raises(LedgerError, match=f"{digest} is not stored"):
        scene.ledger.chunks(digest)


def test_check_finds_nothing_in_a_healthy_ledger(scene: Scene) -> None:
    """The full check of a ledger in which all is well has nothing to tell."""
    scene.join("n1")
    scene.deploy(scene.put("a", "x = 1"))

    assert () == scene.ledger.check()
