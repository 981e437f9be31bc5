"""The file: its modes, its errors, and what happens to it under a running node."""

from __future__ import annotations

import os
import shutil
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from contract.ledger.scene import ALICE, Scene, SqlitePlace, digest_of
from pointsman.errors import LedgerError
from pointsman.ledger import open_ledger, sqlite

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(name="place")
def _place(tmp_path: Path) -> Iterator[SqlitePlace]:
    place = SqlitePlace(tmp_path / "var")
    yield place
    place.close()


@pytest.fixture(name="file")
def _file(tmp_path: Path) -> Path:
    return tmp_path / "var" / "ledger.sqlite"


def mode(path: Path) -> str:
    """Return the permissions of a file."""
    return oct(stat.S_IMODE(path.stat().st_mode))


def run(file: Path, statement: str) -> None:
    """Change the database behind the ledger's back, and all rules."""
    connection = sqlite3.connect(file, isolation_level=None)
    connection.execute("PRAGMA ignore_check_constraints = ON")
    connection.execute(statement)
    connection.close()


# THE FILE


def test_for_its_owner_alone(place: SqlitePlace, file: Path) -> None:
    """The file and its log are 0600 in a folder of 0700, whatever the umask."""
    before = os.umask(0)
    try:
        Scene(place).join("n1")
    finally:
        os.umask(before)

    expected = {"ledger.sqlite", "ledger.sqlite-wal", "ledger.sqlite-shm"}
    assert expected == {path.name for path in file.parent.iterdir()}
    assert {"0o600"} == {mode(path) for path in file.parent.iterdir()}
    assert "0o700" == mode(file.parent)


def test_what_is_there_keeps_its_mode(place: SqlitePlace, file: Path) -> None:
    """Folder and file that an operator has made are left as they are."""
    file.parent.mkdir(mode=0o755)
    file.touch(mode=0o640)
    place.open()

    assert ("0o755", "0o640") == (mode(file.parent), mode(file))


def test_its_modes_are_safe(place: SqlitePlace) -> None:
    """A log written ahead, synchronised at each commit; references are enforced."""
    database = place.open()._database  # type: ignore[attr-defined]
    with database.writing() as connection:
        raw = connection.connection.driver_connection
        found = {
            name: raw.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("journal_mode", "synchronous", "foreign_keys", "auto_vacuum")
        }

    expected = {"synchronous": 2, "foreign_keys": 1, "auto_vacuum": 2}
    assert expected | {"journal_mode": "wal"} == found


@pytest.mark.parametrize(
    "url",
    ["sqlite://", "sqlite:///:memory:", "sqlite:///a.db?mode=ro", "nonsense", ""],
)
def test_urls_that_name_no_file(url: str) -> None:
    """Only a file will do, and the error names the URL."""
    with pytest.raises(LedgerError, match=r"a file is needed|no URL"):
        open_ledger(url)


def test_names_with_signs(tmp_path: Path) -> None:
    """A path may have blanks, question marks and percent signs."""
    place = SqlitePlace(tmp_path / "a b%20d#e")
    place.open()
    place.close()

    assert (tmp_path / "a b%20d#e" / "ledger.sqlite").exists()


# UNDER A RUNNING NODE


@pytest.mark.parametrize("how", ["file", "folder"])
def test_a_file_that_is_gone(place: SqlitePlace, file: Path, how: str) -> None:
    """Nothing is read or written of it any more, and none is made in its place."""
    scene = Scene(place)
    scene.ledger.changed()
    if how == "file":
        file.unlink()
    else:
        shutil.rmtree(file.parent)

    assert scene.ledger.changed(), "so that somebody looks"
    for attempt in (scene.ledger.nodes, lambda: scene.join("n1"), scene.ledger.check):
        with pytest.raises(LedgerError, match=r"is gone .* while this process had it"):
            attempt()
    assert not file.exists()


def test_a_file_that_was_replaced(place: SqlitePlace, file: Path) -> None:
    """Another file in its place is not taken for it, until a node starts on it."""
    scene = Scene(place)
    scene.join("n1")
    file.unlink()
    place.open()
    with pytest.raises(LedgerError, match="was replaced by another file"):
        scene.ledger.nodes()
    with pytest.raises(LedgerError, match="start the node again"):
        scene.ledger.leave("n1")

    assert () == place.open().nodes()


def test_a_file_that_comes_back(place: SqlitePlace, file: Path) -> None:
    """The same file put back is used again."""
    scene = Scene(place)
    scene.join("n1")
    aside = file.with_name("aside")
    file.rename(aside)
    with pytest.raises(LedgerError, match="is gone"):
        scene.ledger.nodes()
    aside.rename(file)

    assert ["n1"] == [node.id for node in scene.ledger.nodes()]


# ERRORS


def test_locked(
    place: SqlitePlace, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lock that is held for longer than we wait is told; reading goes on."""
    monkeypatch.setattr(sqlite, "BUSY", 0.05)
    scene = Scene(place)
    other = sqlite3.connect(file, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(LedgerError, match=r"kept it locked for 0\.05 s.*fuser"):
        scene.join("n1")
    assert () == scene.ledger.nodes()
    other.execute("ROLLBACK")
    other.close()
    scene.join("n1")


def test_locked_while_it_is_opened(
    place: SqlitePlace, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fresh file that another process keeps for itself is told as locked."""
    monkeypatch.setattr(sqlite, "BUSY", 0.05)
    file.parent.mkdir()
    other = sqlite3.connect(file, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    other.execute("CREATE TABLE mine (a)")
    with pytest.raises(LedgerError, match="locked for"):
        place.open()
    other.close()


def test_full(place: SqlitePlace, monkeypatch: pytest.MonkeyPatch) -> None:
    """When there is no space, nothing is changed, and it is said."""
    Scene(place).join("n1")
    pragmas = (*sqlite._PRAGMAS, "PRAGMA max_page_count = 60")
    monkeypatch.setattr(sqlite, "_PRAGMAS", pragmas)
    scene = Scene(place)
    with pytest.raises(LedgerError, match="no space is left on the disk"):
        scene.store("x" * 300_000)

    assert not scene.ledger.has(digest_of("x" * 300_000))
    scene.beat("n1")


def test_read_only(tmp_path: Path) -> None:
    """Without the right to write, it is read; writing says what is missing."""
    code = f"""
import os
from pathlib import Path
from contract.ledger.scene import *
from pointsman.errors import LedgerError
folder = Path({str(tmp_path / "var")!r})
Scene(SqlitePlace(folder)).join("n1")
if os.getuid() == 0:  # who may write everywhere
    for path in (folder, *folder.iterdir()):
        os.chown(path, 65534, 65534)
    os.setuid(65534)
(folder / "ledger.sqlite").chmod(0o400)
scene = Scene(SqlitePlace(folder))
assert [node.id for node in scene.ledger.nodes()] == ["n1"]
try:
    scene.join("n2")
except LedgerError as error:
    assert "cannot be written to" in str(error), error
    print("told")
"""
    for folder in (tmp_path, *tmp_path.parents[:3]):
        folder.chmod(folder.stat().st_mode | 0o111) if os.getuid() == 0 else None
    assert "told\n" == output_of(code)


def output_of(code: str) -> str:
    """Return what code prints in a process of its own."""
    path = os.pathsep.join([str(Path(__file__).parents[2]), *sys.path])
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": path},
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    ).stdout


@pytest.mark.parametrize("content", [b"no database at all " * 50, b"x"])
def test_something_else(place: SqlitePlace, file: Path, content: bytes) -> None:
    """A file that is no database is named as damaged, and left as it is."""
    file.parent.mkdir()
    file.write_bytes(content)
    with pytest.raises(LedgerError, match=r"is damaged .*put a backup in its place"):
        place.open()

    assert content == file.read_bytes()


def test_a_folder_in_its_place(place: SqlitePlace, file: Path) -> None:
    """What cannot be opened is named, with what is needed."""
    file.mkdir(parents=True)
    with pytest.raises(LedgerError, match="cannot be opened"):
        place.open()


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    """Where no folder can be made, the error names the place."""
    (tmp_path / "var").touch()
    with pytest.raises(LedgerError, match=r"/var.*needs to read and write"):
        SqlitePlace(tmp_path / "var" / "deep").open()


def damaged(file: Path) -> None:
    """Overwrite the middle of the file."""
    data = bytearray(file.read_bytes())
    half = len(data) // 2 // 4096 * 4096
    data[half : half + 8192] = b"\xff" * 8192
    file.write_bytes(data)


def test_damage_is_found_at_the_start(place: SqlitePlace, file: Path) -> None:
    """A file with broken pages is refused when it is opened."""
    scene = Scene(place)
    scene.join("n1")
    scene.deploy(*(scene.put(f"p{count}", str(count)) for count in range(300)))
    place.close()
    damaged(file)
    with pytest.raises(LedgerError, match="is damaged"):
        place.open()


def test_damage_is_found_by_the_check(place: SqlitePlace, file: Path) -> None:
    """The full check of a running ledger names the file and what is wrong with it."""
    scene = Scene(place)
    scene.join("n1")
    scene.deploy(*(scene.put(f"p{count}", str(count)) for count in range(300)))
    scene.ledger.close()
    identity = file.stat().st_ino
    damaged(file)
    assert identity == file.stat().st_ino

    found = scene.ledger.check()
    assert found
    assert all(str(file) in line for line in found)


def test_damaged_artifacts(place: SqlitePlace, file: Path) -> None:
    """Bytes that changed in the database are found, told, and never given whole."""
    scene = Scene(place)
    digest = scene.store("x" * 2_000_000)
    run(file, "UPDATE chunk SET data = zeroblob(length(data)) WHERE number = 0")

    given: list[bytes] = []
    with pytest.raises(LedgerError, match=f"{digest} is damaged"):
        given.extend(scene.ledger.chunks(digest))
    assert sum(map(len, given)) < 2_000_000
    (found,) = scene.ledger.check()
    assert f"the artifact {digest} is damaged" in found


def test_rows_that_refer_to_nothing(place: SqlitePlace, file: Path) -> None:
    """An artifact that a generation needs, and that is gone, is found."""
    scene = Scene(place)
    scene.join("n1")
    scene.deploy(scene.put("a", "1"))
    run(file, "UPDATE cluster SET active = 7, staging = 1")

    assert (
        "generation 7 should be active, and is missing",
        "generation 1 should be staging, and is active",
    ) == scene.ledger.check()
    run(file, "DELETE FROM artifact")
    found = scene.ledger.check()
    assert any("entry" in line and "missing artifact" in line for line in found)


# OTHER PROGRAMS


def test_another_programs_database(place: SqlitePlace, file: Path) -> None:
    """A database with tables that are not ours is left alone."""
    file.parent.mkdir()
    run(file, "CREATE TABLE guests (name)")
    with pytest.raises(
        LedgerError, match="of another program, with tables like guests"
    ):
        place.open()


def test_a_newer_program(place: SqlitePlace, file: Path) -> None:
    """What newer programs add is no harm; what we cannot use is refused."""
    Scene(place).join("n1")
    run(file, "UPDATE schema SET version = 99")
    run(file, "ALTER TABLE node ADD COLUMN colour TEXT DEFAULT 'green' NOT NULL")
    scene = Scene(place)
    scene.join("n2")
    assert ["n1", "n2"] == [node.id for node in scene.ledger.nodes()]
    run(file, "UPDATE schema SET oldest_usable_by = 98")

    with pytest.raises(LedgerError, match="of version 99, and this program knows"):
        place.open()


# SIZE


def test_the_file_stays_small(place: SqlitePlace, file: Path) -> None:
    """Three hundred generations, ten of which are kept, are no more than sixty."""
    scene = Scene(place)
    scene.join("n1")
    scene.deploy(*(scene.put(f"p{count}", str(count)) for count in range(100)))
    sizes = []
    for count in range(1, 301):
        scene.clock.now += 60
        scene.beat("n1")
        scene.deploy(scene.put("a", f"{count:05}" * 4000), claims=(f"c{count}",))
        scene.ledger.prune(10)
        if count in (100, 300):
            with sqlite3.connect(file) as connection:
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            connection.close()
            sizes.append(file.stat().st_size)

    after_100, after_300 = sizes
    assert after_300 < after_100 * 1.2
    assert after_300 < 3_000_000


def test_large_artifacts_give_their_space_back(place: SqlitePlace, file: Path) -> None:
    """When a large artifact is dropped, the file gets small again."""
    scene = Scene(place)
    digest = scene.store("x" * 8_000_000)
    scene.clock.now += 4000
    scene.ledger.prune(10)
    place.close()

    assert not place.open().has(digest)
    assert file.stat().st_size < 1_000_000
    scene.ledger.record(ALICE, "note")


def test_a_deployment_writes_what_it_changes(place: SqlitePlace, file: Path) -> None:
    """Twenty deployments into a host of 300 packages are twenty rows more."""
    scene = Scene(place)
    scene.join("n1")
    scene.deploy(*(scene.put(f"p{count}", str(count)) for count in range(300)))
    for count in range(20):
        scene.deploy(scene.put("p7", f"again {count}"))
    scene.ledger.close()
    connection = sqlite3.connect(file)
    found = [
        connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
        for table in ("entry", "change", "generation", "vote")
    ]
    connection.close()

    assert [320, 320, 21, 21] == found
