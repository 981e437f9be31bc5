"""From an uploaded file to a package: kinds, names, and what is refused."""

from __future__ import annotations

import hashlib
import io
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pointsman.archive import Identity, identify, open_package, opening
from pointsman.archive.opening import inspect
from pointsman.archive.unfit import Limits
from pointsman.cluster import Entry
from pointsman.errors import ArtifactError, KindError
from pointsman.model import Declared, Kind
from unit.archive.making import MANIFEST, Part, Zip, archive

if TYPE_CHECKING:
    from pathlib import Path

SERVICE = MANIFEST + "[service:crm.web]\nuse = crm.web:app\n"


def refused(content: bytes, file: str, package: str = "") -> str:
    """Return why a file is not taken, which is told with its name."""
    with pytest.raises(ArtifactError) as caught:
        inspect(io.BytesIO(content), file, package)
    assert f"({file or 'an upload without a name'})" in str(caught.value)
    return str(caught.value)


# KINDS


@pytest.mark.parametrize(
    ("file", "content", "package", "identity"),
    [
        ("crm.py", b"x = 1\n", "", Identity("crm", Kind.MODULE)),
        ("crm.PY", b"", "crm", Identity("crm", Kind.MODULE)),
        ("", b"x = 1\n", "crm", Identity("crm", Kind.MODULE)),
        ("a.sar", archive({}), "", Identity("crm", Kind.ARCHIVE, "1.2.0")),
        ("a b (1).zip", archive({}), "crm", Identity("crm", Kind.ARCHIVE, "1.2.0")),
        ("", archive({}), "crm", Identity("crm", Kind.ARCHIVE, "1.2.0")),
        ("crm", archive({}), "", Identity("crm", Kind.ARCHIVE, "1.2.0")),
    ],
)
def test_kinds(file: str, content: bytes, package: str, identity: Identity) -> None:
    """What a file is follows from its name and from its content."""
    assert identity == inspect(io.BytesIO(content), file, package)


@pytest.mark.parametrize(
    ("file", "content", "reason"),
    [
        ("crm.txt", b"x", "neither a module (.py) nor an archive (.sar, .zip) nor a"),
        ("crm.tar.gz", b"\x1f\x8b", "neither a module (.py) nor an archive"),
        ("crm.egg", archive({}), "neither a module (.py) nor an archive"),
        ("crm.py", archive({}), "crm.py is called like a module, and is a zip file"),
        ("crm.py", b"\x7fELF\0\0", "is no Python source: it has null bytes"),
        ("crm.py", b"x" * 300_000 + b"\0", "is no Python source: it has null bytes"),
        ("crm.sar", b"x = 1\n", "crm.sar is called like an archive, and is no zip"),
        ("crm.zip", b"", "is no zip file"),
        ("crm.whl", b"Rar!", "is no zip file"),
        ("crm.sar", b"#!/bin/sh\n" + archive({}), "is no zip file"),
    ],
)
def test_what_is_no_artifact(file: str, content: bytes, reason: str) -> None:
    """What is of no kind, or is called like another, is no artifact at all."""
    assert reason in refused(content, file)
    with pytest.raises(KindError):
        inspect(io.BytesIO(content), file)


@pytest.mark.parametrize(
    "file",
    [
        "crm web.py",
        "crm-1.2.py",
        "1crm.py",
        "сrm.py",
        "a.b.py",
        "x" * 300 + ".py",
        "../crm/..py",
        "crm\0.py",
        ".py",
    ],
)
def test_modules_that_cannot_be_imported(file: str) -> None:
    """A module's name is one that can stand behind ``import``, in plain letters."""
    assert "cannot be imported; a module's name has letters" in refused(b"", file)


def test_a_large_module(monkeypatch: pytest.MonkeyPatch) -> None:
    """A module is not larger than all files of an archive may be."""
    monkeypatch.setattr(opening, "LIMITS", Limits(total=10))
    assert "crm" == inspect(io.BytesIO(b"x" * 10), "crm.py").package

    assert "it is larger than 10 bytes" in refused(b"x" * 11, "crm.py")


def test_another_name_than_expected() -> None:
    """A file whose own name is not the one that was asked for is refused."""
    expected = "crm (a.sar): its name is crm, and shop was expected"

    assert expected == refused(archive({}), "a.sar", "shop").replace("shop (", "crm (")
    assert "its name is crm, and shop was" in refused(b"", "crm.py", "shop")


# ARCHIVES


@pytest.mark.parametrize(
    ("files", "manifest", "reason"),
    [
        (
            {"lib/flask/__init__.py": ""},
            MANIFEST,
            (
                "it has libraries of its own in lib/ "
                "and needs a process of its own (isolation = process), which this "
                "release "
                "cannot give it yet; install them into the host's environment, and "
                "pack it "
                "without lib/"
            ),
        ),
        (
            {},
            MANIFEST + "isolation = process\n",
            (
                "it needs a process of its own "
                "(isolation = process), which this release cannot give it yet; if it "
                "can live "
                "beside others, write isolation = namespace into its service.ini"
            ),
        ),
        (
            {"lib/x.py": ""},
            MANIFEST + "isolation = namespace\n",
            (
                "isolation = "
                "namespace, and it has libraries of its own in lib/; take one of them "
                "out"
            ),
        ),
        ({"crm/_x.so": ""}, MANIFEST, "crm/_x.so is compiled code"),
        ({"crm/x.pyc": ""}, MANIFEST, "crm/x.pyc is bytecode without its source"),
        ({}, "[package]\nname = x\nnmae = y\n", "no key 'nmae'; did you mean 'name'?"),
        ({"../x": ""}, MANIFEST, "leads to a parent folder"),
        ({"Service.ini": ""}, MANIFEST, "are one name"),
    ],
)
def test_archives_that_are_refused(
    files: dict[str, str], manifest: str, reason: str
) -> None:
    """An archive that cannot run here says what is missing, and what to do."""
    told = refused(archive(files, manifest), "crm.sar")

    assert reason in told
    assert "\n" not in told


def test_a_reason_is_short() -> None:
    """A reason that tells what was sent is cut, however long that was."""
    manifest = MANIFEST + f"[{'x' * 100_000}]\n"

    assert 1100 > len(refused(archive({}, manifest), "crm.sar"))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (Zip([Part("crm.py", b"")]).made(), "it has no service.ini; that names"),
        (
            Zip([Part("crm-1.2/service.ini", b"")]).made(),
            (
                "its service.ini is crm-1.2/service.ini, and must be at the top; pack "
                "the "
                "content of the folder, not the folder"
            ),
        ),
        (
            Zip([Part("service.ini", "[package]\nname = ü".encode("latin-1"))]).made(),
            "service.ini is not UTF-8 text (byte 17); save it as UTF-8",
        ),
        (
            Zip([Part("service.ini", b"#" * 1_100_000)]).made(),
            "service.ini is larger than 1048576 bytes",
        ),
    ],
)
def test_manifests_that_cannot_be_read(content: bytes, reason: str) -> None:
    """A manifest that is missing, misplaced, or no text is told as that."""
    assert reason in refused(content, "crm.sar")


def test_damage_anywhere_is_found(tmp_path: Path) -> None:
    """A file of an archive that is damaged is found before it is proposed."""
    manifest = Part("service.ini", MANIFEST.encode())
    content = Zip([manifest, Part("crm.py", b"x", checksum=1)]).made()

    assert "crm.py is damaged" in refused(content, "crm.sar")


# OPENING


def test_a_module_is_opened(tmp_path: Path) -> None:
    """A module's package has its one file, and offers it."""
    path = tmp_path / "x"
    path.write_bytes(b"x = 1\n")
    digest = hashlib.sha256(b"x = 1\n").hexdigest()
    package = open_package(path, Entry("crm", digest, Kind.MODULE, "crm.py"))

    assert {"crm.py": b"x = 1\n"} == dict(package.artifact.files)
    assert ("crm", ("crm",), "push") == (package.name, package.offers, package.source)
    assert ("crm.py (upload)", digest) == (
        package.artifact.origin,
        package.artifact.digest,
    )


def test_an_archive_is_opened(tmp_path: Path) -> None:
    """An archive's package has its files, its services, and its file's digest."""
    path = tmp_path / "x"
    files: dict[str, str | bytes] = {
        "crm/web.py": "",
        "crm/.hidden": b"\xff",
        "crm/__pycache__/web.cpython-311.pyc": b"old",
        "__MACOSX/crm/._web.py": b"x",
    }
    path.write_bytes(archive(files, SERVICE))
    entry = Entry("crm", "a" * 64, Kind.ARCHIVE, "crm-1.sar", "archives:one/crm-1.sar")
    package = open_package(path, entry)

    assert {"service.ini", "crm/web.py", "crm/.hidden"} == set(package.artifact.files)
    assert ((), "a" * 64) == (package.offers, package.artifact.digest)
    assert (Declared("crm.web", "crm.web:app"),) == package.declared
    assert "crm-1.sar (archives:one)" == package.artifact.origin


def test_an_archive_of_another_name(tmp_path: Path) -> None:
    """An entry that names another package than its artifact does is refused."""
    path = tmp_path / "x"
    path.write_bytes(archive({}))

    with pytest.raises(ArtifactError, match="its name is crm, not shop"):
        open_package(path, Entry("shop", "a" * 64, Kind.ARCHIVE, "crm.sar"))


@given(st.binary(max_size=400), st.sampled_from(["a.py", "a.sar", "a.whl", "a", ""]))
def test_any_bytes(content: bytes, file: str) -> None:
    """Whatever bytes are sent, they are identified or refused, and nothing else."""
    try:
        identity = inspect(io.BytesIO(content), file, "a")
    except ArtifactError:
        return
    assert Identity("a", Kind.MODULE) == identity


GOOD = archive({"crm/web.py": "def app(): ...\n" * 20}, SERVICE)


@given(st.integers(0, len(GOOD) - 1), st.integers(0, 255))
def test_any_damage(position: int, value: int) -> None:
    """An archive with any byte changed is what it was, or is refused."""
    content = bytearray(GOOD)
    content[position] = value
    try:
        identity = inspect(io.BytesIO(content), "crm.sar")
    except ArtifactError:
        return
    assert Identity("crm", Kind.ARCHIVE, "1.2.0") == identity


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    """A file that is not there is the machine's fault, and not the artifact's."""
    with pytest.raises(FileNotFoundError):
        identify(tmp_path / "gone", "crm.py")
