"""What is read from an archive, and what is not unpacked from one."""

from __future__ import annotations

import tarfile
from io import BytesIO
from typing import TYPE_CHECKING

import pytest

from pointsman.errors import ReleaseError
from pointsman.releases import checkout, parcel
from pointsman.releases.checkout import Entry

if TYPE_CHECKING:
    from pathlib import Path

TOP = "mysite-1.0"
INFO = b"Metadata-Version: 2.4\nName: mysite\nVersion: 1.0\n\nsays hello\n"


def pack(folder: Path, *members: tarfile.TarInfo, **files: bytes) -> Path:
    """Return an sdist with these files, and with anything else."""
    path = folder / f"{TOP}.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        for name, content in {"PKG-INFO": INFO, **files}.items():
            one = tarfile.TarInfo(f"{TOP}/{name}")
            one.size = len(content)
            one.mode = 0o700 if name.startswith("bin/") else 0o600
            archive.addfile(one, BytesIO(content))
        for member in members:
            archive.addfile(member)
    return path


def member(
    name: str, kind: bytes = tarfile.REGTYPE, target: str = ""
) -> tarfile.TarInfo:
    """Return an empty member of any kind."""
    one = tarfile.TarInfo(name)
    one.type, one.linkname = kind, target
    return one


def test_an_archive_says_what_it_is(tmp_path: Path) -> None:
    """Name and version are those of its metadata; some files are not the project's."""
    files = {
        "setup.py": b"",
        "setup.cfg": b"[egg_info]",
        "src/mysite.egg-info/SOURCES.txt": b"",
        "wheels/WebOb-1.8-py3-none-any.whl": b"",
        "src/wheels.py": b"",
    }
    found = parcel.read(pack(tmp_path, **files))

    assert ("mysite", "1.0") == (found.name, found.version)
    assert {"PKG-INFO", *files} == set(found.files)
    assert {"setup.py", "src/wheels.py"} == set(found.own)


def test_an_archive_without_metadata_is_none(tmp_path: Path) -> None:
    """What does not say its version cannot be published."""
    with pytest.raises(ReleaseError, match="does not say its name and version"):
        parcel.read(pack(tmp_path, **{"PKG-INFO": b"Name: mysite\n"}))


def test_strangers_are_known_by_their_bytes(tmp_path: Path) -> None:
    """A file may lie elsewhere; other content is a stranger."""
    found = parcel.read(pack(tmp_path, **{"a.py": b"1\n", "b.py": b"2\n"}))
    content = {"src/a.py": Entry(found.files["a.py"].sha256)}

    assert ["b.py"] == list(parcel.strangers(found, content))


def test_a_link_is_what_it_says(tmp_path: Path) -> None:
    """A link of the tree is known, and one that leads elsewhere is a stranger."""
    names = {"known": "setup.py", "strange": "/etc/passwd"}
    links = [member(f"{TOP}/{n}", tarfile.SYMTYPE, to) for n, to in names.items()]
    (tmp_path / "known").symlink_to("setup.py")
    found = parcel.read(pack(tmp_path, *links))

    entry = checkout.entry(tmp_path / "known")
    assert entry is not None
    assert ["strange"] == list(parcel.strangers(found, {"known": entry}))


def test_unpacked_as_it_was_packed(tmp_path: Path) -> None:
    """Content is the same; who may run a file is kept, and everybody may read it."""
    archive = pack(tmp_path, **{"bin/run": b"#!/bin/sh\n", "setup.py": b"pass\n"})
    parcel.unpack(archive, tmp_path / "here")

    run, setup = (tmp_path / "here" / TOP / name for name in ("bin/run", "setup.py"))
    assert (b"#!/bin/sh\n", b"pass\n") == (run.read_bytes(), setup.read_bytes())
    modes = [path.stat().st_mode & 0o777 for path in (run, setup)]
    assert [0o755, 0o644] == modes


@pytest.mark.parametrize(
    ("evil", "expected"),
    [
        (member(f"{TOP}/../../out"), "leads out of it"),
        (member("/tmp/out"), "leads out of it"),
        (member(f"{TOP}/link", tarfile.SYMTYPE, "/etc"), "neither a file nor a folder"),
        (
            member(f"{TOP}/link", tarfile.LNKTYPE, "/etc/passwd"),
            "neither a file nor a folder",
        ),
        (member(f"{TOP}/pipe", tarfile.FIFOTYPE), "neither a file nor a folder"),
        (member(f"{TOP}/PKG-INFO"), "cannot be unpacked"),
    ],
)
def test_what_is_not_unpacked(
    tmp_path: Path, evil: tarfile.TarInfo, expected: str
) -> None:
    """Nothing is written outside of the folder, nothing but files, and none twice."""
    with pytest.raises(ReleaseError, match=expected):
        parcel.unpack(pack(tmp_path, evil), tmp_path / "here")

    assert not (tmp_path / "out").exists()
    assert INFO == (tmp_path / "here" / TOP / "PKG-INFO").read_bytes()


def test_damaged_archive_is_named(tmp_path: Path) -> None:
    """Half an archive is not unpacked silently."""
    archive = pack(tmp_path, **{"a.py": bytes(range(256)) * 100})
    archive.write_bytes(archive.read_bytes()[:-200])

    with pytest.raises(ReleaseError, match="cannot be unpacked"):
        parcel.unpack(archive, tmp_path / "here")
