"""Wheels: what they say of themselves, and whether this host has what they need.

Each check of `archive.wheel` was taken out in turn; a test here failed for each.
"""

from __future__ import annotations

import io
import platform
from importlib.metadata import version
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pointsman.archive import identify, open_package
from pointsman.archive.opening import Identity, inspect
from pointsman.cluster import Entry
from pointsman.errors import ArtifactError
from pointsman.model import Declared, Kind
from unit.archive.making import archive, wheel

if TYPE_CHECKING:
    from pathlib import Path

FILE = "crm_web-1.0-py3-none-any.whl"
SERVICES = "[console_scripts]\nx = a:b\n[pointsman.services]\ncrm.web = crm.web : app\n"


def refused(tmp_path: Path, content: bytes, file: str = FILE) -> str:
    """Return why a wheel is not taken."""
    path = tmp_path / "upload"
    path.write_bytes(content)
    with pytest.raises(ArtifactError) as caught:
        identify(path, file)
    return str(caught.value)


def test_a_wheel(tmp_path: Path) -> None:
    """Name and version are those of the metadata; services are its entry points."""
    path = tmp_path / FILE
    files = {"crm/web.py": "def app(e, s): ...\n", "crm/t.txt": "x"}
    path.write_bytes(wheel(files, name="Crm_Web", entry_points=SERVICES))
    package = open_package(path, Entry("crm-web", "1" * 64, Kind.WHEEL, FILE))

    assert Identity("crm-web", Kind.WHEEL, "1.0") == identify(path, FILE)
    assert (Declared("crm.web", "crm.web:app"),) == package.declared
    assert "1" * 64 == package.artifact.digest
    assert {"crm/web.py", "crm/t.txt"} < package.artifact.files.keys()
    assert "Crm_Web-1.0.dist-info/METADATA" in package.artifact.files


def test_a_library(tmp_path: Path) -> None:
    """A wheel without entry points has no services, and can be imported from."""
    path = tmp_path / FILE
    path.write_bytes(wheel({"crm.py": ""}))

    assert (
        () == open_package(path, Entry("crm-web", "1" * 64, Kind.WHEEL, FILE)).declared
    )


@pytest.mark.parametrize(
    "requires",
    [
        "webob",
        f"SQLAlchemy=={version('sqlalchemy')}",
        "WebOb >= 1.0, < 99",
        "no-such-library; python_version < '3'",
        "no-such-library; extra == 'test'",
        "no-such-library ; sys_platform == 'win32'",
        "httpx[no-such-extra]",
        "webob @ https://example.org/webob.whl",
    ],
)
def test_requirements_that_the_host_has(tmp_path: Path, requires: str) -> None:
    """What is required, as far as its marker is true here, is in the environment."""
    path = tmp_path / FILE
    path.write_bytes(wheel({"crm.py": ""}, metadata=f"Requires-Dist: {requires}\n"))

    assert Kind.WHEEL == identify(path, FILE).kind


@pytest.mark.parametrize(
    ("metadata", "reason"),
    [
        (
            "Requires-Dist: no-such-library>=2",
            (
                "it requires no-such-library>=2, and the host's environment has none: "
                "a "
                "package with libraries of its own needs a process of its own "
                "(isolation "
                "= process), which this release cannot give it yet; install the "
                "library "
                "into the host's environment"
            ),
        ),
        (
            "Requires-Dist: webob>=99",
            (
                "requires webob>=99, and the host's environment"
                f" has {version('webob')}: "
            ),
        ),
        ("Requires-Dist: webob\nRequires-Dist: nothing-x", "requires nothing-x, and"),
        ("Requires-Dist: httpx[http2]", "requires h2"),
        ("Requires-Dist: =!=", "requires '=!=', which cannot be read"),
        ("Requires-Dist: a; no_such_marker == '1'", "which cannot be read"),
        (
            "Requires-Python: <3",
            (f"requires Python <3, and this is Python {platform.python_version()}"),
        ),
        ("Requires-Python: whatever", "its Requires-Python is 'whatever', which is"),
    ],
)
def test_requirements_that_the_host_has_not(
    tmp_path: Path, metadata: str, reason: str
) -> None:
    """What is missing is named, with what there is instead, and what to do."""
    content = wheel({"crm.py": ""}, metadata=metadata + "\n")

    assert reason in refused(tmp_path, content)


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ({"crm_web-1.0.data/scripts/crm": "#!python"}, "it has scripts to install"),
        ({"crm_web-1.0.data/platlib/crm.py": ""}, "it has platlib to install"),
        ({"crm_web-1.0.data/purelib/crm.py": ""}, "it has purelib to install"),
        ({"crm_web-1.0.data/data/etc/crm": ""}, "it has data to install elsewhere"),
        ({"crm/_fast.cpython-311-x86_64-linux-gnu.so": ""}, "is compiled code"),
        (
            {"crm/_fast.abi3.so": ""},
            (
                "is compiled code, which a process can load once "
                '(see "extension modules" in docs/reference/isolation.md)'
            ),
        ),
        ({"crm/_fast.pyd": ""}, "is compiled code"),
        ({"crm/lib/libfast.so.12": ""}, "is compiled code"),
        ({"crm/lib/libfast.so.1.2.3": ""}, "is compiled code"),
        ({"crm/web.pyc": ""}, "crm/web.pyc is bytecode without its source"),
        ({"crm.pth": "import crm"}, "it has crm.pth, which works only in an envi"),
    ],
)
def test_files_that_a_wheel_must_not_have(
    tmp_path: Path, files: dict[str, str], reason: str
) -> None:
    """Scripts, compiled code, and what only an environment uses are refused."""
    assert reason in refused(tmp_path, wheel({"crm/__init__.py": "", **files}))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (
            wheel({"a.py": ""}, pure="false"),
            (
                "one platform (Root-Is-Purelib): a package "
                "with compiled code needs a process of its own"
            ),
        ),
        (wheel({"a.py": ""}, pure=""), "Root-Is-Purelib"),
        (wheel({"a.py": ""}, tag="cp27-none-any"), "it is for cp27-none-any, and this"),
        (wheel({"a.py": ""}, tag="py3-none-win32"), "it is for py3-none-win32, and"),
        (wheel({"a.py": ""}, metadata="Name: b\n"), "cannot be a package's name"),
        (wheel({"a.py": ""}, name="../x"), "leads to a parent folder"),
        (wheel({"a.py": "", "b-2.dist-info/WHEEL": ""}), "has no .dist-info/WHEEL"),
        (archive({}), "it is called .whl, and has no .dist-info/WHEEL"),
        (archive({"a-1.dist-info/WHEEL": "Wheel-Version: 2.0"}), "of format 2.0; 1.0"),
        (archive({"a-1.dist-info/WHEEL": "x"}), "of format ?; 1.0 is understood"),
        (
            archive(
                {"a-1.dist-info/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true"}
            ),
            "it has no a-1.dist-info/METADATA",
        ),
        (
            archive(
                {
                    "a-1.dist-info/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true",
                    "a-1.dist-info/METADATA": "Name: b\nVersion: 1\n",
                }
            ),
            "its folder is a-1.dist-info, and its METADATA says b 1",
        ),
        (
            archive(
                {
                    "a-1.dist-info/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true",
                    "a-1.dist-info/METADATA": "Name: a\nVersion: x\n",
                }
            ),
            "'x' is no version",
        ),
        (
            archive(
                {
                    "a-1.dist-info/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true",
                    "a-1.dist-info/METADATA": "Name: a\nVersion: 1\n",
                }
            ),
            "it has no a-1.dist-info/RECORD",
        ),
    ],
)
def test_wheels_that_are_none(tmp_path: Path, content: bytes, reason: str) -> None:
    """A wheel that contradicts itself, or is for another Python, is refused."""
    assert reason in refused(tmp_path, content)


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (
            "a.py,sha256=47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU,0",
            ("a.py is not the file that crm_web-1.0.dist-info/RECORD records"),
        ),
        ("", "do not agree: a.py is not listed there"),
        ("a.py,,", "has no SHA-256 of a.py"),
        ("a.py,md5=abc,1", "has no SHA-256 of a.py"),
        ("a.py,sha256=!,1", "a.py is not the file that"),
        ("a.py,sha256=abcde,1", "cannot be read"),
        ("a.py", "cannot be read"),
        ('"a.py', "cannot be read"),
    ],
)
def test_records(tmp_path: Path, record: str, reason: str) -> None:
    """A file that is not what RECORD says, or that it does not say, is refused."""
    content = wheel({"a.py": "x = 1\n"}, record={"a.py": record})

    assert reason in refused(tmp_path, content)
    path = tmp_path / "upload"
    entry = Entry("crm-web", "1" * 64, Kind.WHEEL, FILE)
    with pytest.raises(ArtifactError):
        open_package(path, entry)


def test_a_record_of_what_is_not_there(tmp_path: Path) -> None:
    """A file that RECORD has and the wheel has not is missed."""
    content = wheel({"a.py": ""}, record={"b": "b.py,sha256=abcd,1"})

    assert "do not agree: b.py is not in it" in refused(tmp_path, content)


@pytest.mark.parametrize(
    ("entry_points", "reason"),
    [
        ("[pointsman.services]\na/b = x:y", "a/b: 'a/b' cannot be a service's name"),
        ("[pointsman.services]\na = x", "a: 'x' is no module:callable"),
        ("[pointsman.services]\na = x:y [extra]", "is no module:callable"),
        ("[pointsman.services]\na = x:y\na = x:z", "cannot be read: "),
        ("nonsense", "crm_web-1.0.dist-info/entry_points.txt cannot be read: "),
    ],
)
def test_entry_points_that_are_wrong(
    tmp_path: Path, entry_points: str, reason: str
) -> None:
    """A service that cannot be one is told with its file and name."""
    content = wheel({"crm.py": ""}, entry_points=entry_points)

    assert reason in refused(tmp_path, content)


def test_a_wheel_that_is_called_otherwise(tmp_path: Path) -> None:
    """A wheel that is called .sar is told to be called .whl."""
    reason = refused(tmp_path, wheel({"crm.py": ""}), "crm.sar")

    assert "it is a wheel, and is called crm.sar; call it .whl" in reason


@given(st.text(max_size=60), st.text(max_size=60), st.text(max_size=60))
def test_any_metadata(metadata: str, entry_points: str, record: str) -> None:
    """Whatever text is in a wheel's files, it is taken or refused with a sentence."""
    content = wheel(
        {"crm.py": ""},
        metadata=metadata.replace("\n\n", "\n"),
        entry_points=entry_points,
        record={"crm.py": record},
    )
    try:
        told = inspect(io.BytesIO(content), FILE).package
    except ArtifactError as error:
        told = error.package

    assert told in ("crm-web", "crm_web-1.0-py3-none-any")
