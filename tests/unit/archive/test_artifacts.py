"""The cache of artifacts: nothing in it is believed.

Broken on purpose: without the comparison in `Artifacts._here`, damaged files were
opened; without `mkdir`, a folder that vanished was the end; with links to files that
others may write, an edit of the file changed the cache.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import threading
from typing import TYPE_CHECKING, cast

import pytest

from pointsman.artifacts import YOUNG, Artifacts
from pointsman.cluster import Entry
from pointsman.errors import LedgerError, ReleaseError
from pointsman.model import Kind

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pointsman.interfaces import Ledger

SOURCE = b"x = 1\n" * 1000
DIGEST = hashlib.sha256(SOURCE).hexdigest()
ENTRY = Entry("crm", DIGEST, Kind.MODULE, "crm.py")


class Store:
    """As much of a ledger as the cache asks for."""

    url = "memory"

    def __init__(self) -> None:
        self.artifacts = {DIGEST: SOURCE}
        self.asked = 0

    def chunks(self, digest: str) -> Iterator[bytes]:
        self.asked += 1
        if digest not in self.artifacts:
            raise LedgerError(self.url, f"the artifact {digest} is not stored")
        content = self.artifacts[digest]
        for start in range(0, len(content), 1000):
            yield content[start : start + 1000]


@pytest.fixture(name="store")
def _store() -> Store:
    return Store()


@pytest.fixture(name="artifacts")
def _artifacts(tmp_path: Path, store: Store) -> Artifacts:
    return Artifacts(cast("Ledger", store), tmp_path / "var" / "artifacts")


def test_what_is_put_is_there(
    tmp_path: Path, artifacts: Artifacts, store: Store
) -> None:
    """A file that was taken in is opened without the ledger, and is ours alone."""
    upload = tmp_path / "upload"
    upload.write_bytes(SOURCE)
    artifacts.put(upload, DIGEST)
    upload.unlink()

    assert {"crm.py": SOURCE} == dict(artifacts.package(ENTRY).artifact.files)
    assert SOURCE == artifacts.path(DIGEST).read_bytes()
    assert 0o600 == stat.S_IMODE(artifacts.path(DIGEST).stat().st_mode)
    assert 0o700 == stat.S_IMODE(artifacts.path(DIGEST).parent.stat().st_mode)
    assert [DIGEST] == [p.name for p in artifacts.path(DIGEST).parent.iterdir()]
    assert 0 == store.asked


@pytest.mark.parametrize("mode", [0o644, 0o600, 0o400])
def test_a_file_that_is_changed_later(
    tmp_path: Path, artifacts: Artifacts, store: Store, mode: int
) -> None:
    """A file of somebody else is copied; one of ours is linked, and compared."""
    upload = tmp_path / "upload"
    upload.write_bytes(SOURCE)
    upload.chmod(mode)
    artifacts.put(upload, DIGEST)
    upload.write_bytes(b"x = 2\n")

    assert {"crm.py": SOURCE} == dict(artifacts.package(ENTRY).artifact.files)
    assert (mode == 0o600) == bool(store.asked)
    assert mode == stat.S_IMODE(upload.stat().st_mode)


def test_what_is_put_twice(tmp_path: Path, artifacts: Artifacts) -> None:
    """The same file may be taken in again."""
    upload = tmp_path / "upload"
    upload.write_bytes(SOURCE)
    upload.chmod(0o600)
    artifacts.put(upload, DIGEST)
    artifacts.put(upload, DIGEST)

    assert [DIGEST] == [p.name for p in artifacts.path(DIGEST).parent.iterdir()]


def test_what_is_missing_is_fetched(artifacts: Artifacts, store: Store) -> None:
    """What is not here is fetched from the ledger once."""
    artifacts.package(ENTRY)
    artifacts.package(ENTRY)

    assert 1 == store.asked


@pytest.mark.parametrize("damage", [b"", SOURCE[:-1], SOURCE + b"\n", b"y" + SOURCE])
def test_what_is_damaged_is_fetched(
    artifacts: Artifacts, store: Store, damage: bytes
) -> None:
    """A file that is cut or changed, even while we run, is fetched again."""
    path = artifacts.path(DIGEST)
    path.write_bytes(damage)

    assert {"crm.py": SOURCE} == dict(artifacts.package(ENTRY).artifact.files)
    assert 2 == store.asked
    assert SOURCE == path.read_bytes()


def test_a_folder_that_vanishes(artifacts: Artifacts) -> None:
    """The folder may be taken away at any time."""
    path = artifacts.path(DIGEST)
    shutil.rmtree(path.parent.parent)

    assert artifacts.package(ENTRY).name == "crm"
    assert SOURCE == path.read_bytes()


def test_something_else_in_its_place(artifacts: Artifacts) -> None:
    """What cannot be read is told by name, and is no reason to crash."""
    path = artifacts.path(DIGEST)
    path.unlink()
    path.mkdir()

    with pytest.raises(ReleaseError, match="does not take an artifact: Is a directory"):
        artifacts.package(ENTRY)


def test_what_nobody_has(artifacts: Artifacts, store: Store) -> None:
    """What the ledger has not either, or has damaged, is the ledger's error."""
    store.artifacts = {}
    with pytest.raises(LedgerError, match="is not stored"):
        artifacts.package(ENTRY)
    store.artifacts = {DIGEST: b"something else"}
    with pytest.raises(LedgerError, match="is damaged in it"):
        artifacts.package(ENTRY)

    assert [] == list((artifacts._folder).iterdir())


def test_a_digest_that_is_none(artifacts: Artifacts) -> None:
    """Nothing but a digest becomes the name of a file."""
    for digest in ("../x", "", "A" * 64, DIGEST[:-1], DIGEST + "\n"):
        with pytest.raises(ValueError, match="is no SHA-256 digest"):
            artifacts.path(digest)


def test_a_full_disk(
    tmp_path: Path, artifacts: Artifacts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that is full is told with the folder, and nothing half is left."""

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    upload = tmp_path / "upload"
    upload.write_bytes(SOURCE)
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ReleaseError, match="its disk is full; give work_dir room"):
        artifacts.package(ENTRY)
    with pytest.raises(ReleaseError, match="its disk is full; give work_dir room"):
        artifacts.put(upload, DIGEST)

    assert [] == list(artifacts._folder.iterdir())


def test_a_disk_without_links(
    tmp_path: Path, artifacts: Artifacts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where files cannot be linked, they are copied."""

    def no_links(*_arguments: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    upload = tmp_path / "upload"
    upload.write_bytes(SOURCE)
    upload.chmod(0o600)
    monkeypatch.setattr(os, "link", no_links)
    artifacts.put(upload, DIGEST)

    assert SOURCE == artifacts.path(DIGEST).read_bytes()
    assert 1 == artifacts.path(DIGEST).stat().st_nlink
    assert 0o600 == stat.S_IMODE(artifacts.path(DIGEST).stat().st_mode)


def test_sweeping(tmp_path: Path, store: Store) -> None:
    """What nobody needs goes, once it is an hour old; also half-written files."""
    now = 0.0
    artifacts = Artifacts(cast("Ledger", store), tmp_path / "c", clock=lambda: now)
    artifacts.sweep([])  # there is no folder yet
    path = artifacts.path(DIGEST)
    other = path.with_name("f" * 64)
    half = path.with_name(".tmp123")
    for one in (other, half):
        one.write_bytes(b"")
    now = path.stat().st_mtime + YOUNG - 10
    artifacts.sweep([DIGEST])
    assert {path, other, half} == set(path.parent.iterdir())
    now += 100
    artifacts.sweep([DIGEST])
    assert {path} == set(path.parent.iterdir())
    artifacts.sweep([])

    assert [] == list(path.parent.iterdir())


def test_many_threads(artifacts: Artifacts) -> None:
    """Threads that need one artifact at once, while it is damaged, all get it."""
    failed: list[object] = []

    def work() -> None:
        for number in range(20):
            try:
                found = artifacts.package(ENTRY).artifact.files["crm.py"]
                if found != SOURCE:
                    failed.append(found)
                if number % 5 == 0:
                    (artifacts._folder / DIGEST).unlink(missing_ok=True)
            except ReleaseError as error:
                failed.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert [] == failed
