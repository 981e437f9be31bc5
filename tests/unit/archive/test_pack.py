"""Packing: the same input makes the same bytes, and what comes out can be deployed.

Broken on purpose, and seen to fail: times of files instead of 1980, modes of files,
the order of the folder, caches and hidden files taken along, RECORD kept.
"""

from __future__ import annotations

import hashlib
import os
import random
import subprocess
import sys
import zipfile
from typing import TYPE_CHECKING

import pytest

from pointsman.archive import Identity, identify
from pointsman.errors import ArtifactError, ReleaseError
from pointsman.model import Kind
from pointsman.pack import pack
from unit.archive.making import MANIFEST, wheel

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

FILES = {
    "service.ini": MANIFEST,
    "crm/__init__.py": "",
    "crm/web.py": "def app(e, s): ...\n",
    "crm/templates/Übersicht.html": "<p>\n",
}
LEFT_OUT = (
    *("crm/__pycache__/web.cpython-311.pyc", "crm/web.pyc", "crm/web.py~"),
    *("crm/.web.py.swp", "crm/#web.py#", ".git/config", ".env", "crm/web.py.orig"),
    *("crm-1.0.sar", "crm/web.py.part", "crm/.DS_Store", "__MACOSX/x"),
)


def write(folder: Path, names: Sequence[str]) -> Path:
    """Write a folder to be packed; files are made in the order of ``names``."""
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(FILES.get(name, "left out"))
    return folder


def test_the_same_input_makes_the_same_bytes(tmp_path: Path) -> None:
    """Neither order nor times, rights, umask, caches and hidden files matter."""
    order = [*FILES]
    digests = set()
    for number, umask in enumerate((0o022, 0o077, 0o000)):
        before = os.umask(umask)
        try:
            folder = write(tmp_path / str(number), order)
            write(folder, LEFT_OUT[::number] if number else ())
            for name in FILES:
                os.utime(folder / name, (10**9 + number, 10**9 * number))
                (folder / name).chmod(0o644 if number else 0o755)
            digests.add(pack(folder, tmp_path / f"{number}.sar").digest)
        finally:
            os.umask(before)
        random.Random(number).shuffle(order)

    assert 1 == len(digests)
    contents = {(tmp_path / f"{number}.sar").read_bytes() for number in range(3)}
    assert 1 == len(contents)
    assert digests == {hashlib.sha256(contents.pop()).hexdigest()}


def test_another_process_and_locale(tmp_path: Path) -> None:
    """Neither locale nor time zone nor the seed of hashes matters."""
    folder = write(tmp_path / "crm", [*FILES])
    found = set()
    for number, locale in enumerate(("C", "C.UTF-8")):
        program = (
            "import sys; sys.path[:] = sys.argv[3].split(':')\n"
            "from pathlib import Path; from pointsman.pack import pack\n"
            "print(pack(Path(sys.argv[1]), Path(sys.argv[2])).digest)"
        )
        done = subprocess.run(
            [
                *(sys.executable, "-c", program, str(folder)),
                *(str(tmp_path / f"{number}.sar"), ":".join(sys.path)),
            ],
            env={"LC_ALL": locale, "TZ": f"UTC{number}", "PYTHONHASHSEED": str(number)},
            capture_output=True,
            text=True,
            check=True,
        )
        found.add(done.stdout)

    assert {pack(folder, tmp_path / "x.sar").digest + "\n"} == found


def test_what_is_packed(tmp_path: Path) -> None:
    """All is in it but caches, hidden files and what editors leave behind."""
    folder = write(tmp_path / "crm", [*FILES, *LEFT_OUT])
    packed = pack(folder, folder / "crm-1.2.0.sar")
    output = folder / "crm-1.2.0.sar"

    assert sorted(FILES) == zipfile.ZipFile(output).namelist()
    assert (4, output.stat().st_size) == (packed.files, packed.size)
    assert Identity("crm", Kind.ARCHIVE, "1.2.0") == identify(output, output.name)
    assert packed == pack(folder, output)
    assert packed == pack(folder, folder / "again.zip")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("rm service.ini", "it has no service.ini; that names the package and its"),
        ("echo 'nmae = x' >> service.ini", "no key 'nmae'; did you mean 'name'?"),
        ("ln -s /etc/passwd crm/x", "crm/x is a link; put what it leads to in its"),
        ("ln -s /etc crm/x", "crm/x is a link; put what it leads to in its place"),
        ("ln -s nowhere crm/x", "crm/x is a link; put what it leads to in its place"),
        ("mkfifo crm/x", "crm/x is neither a file nor a folder"),
        ("touch crm/WEB.py", "are one name where capitals"),
        ("touch crm/x.so", "crm/x.so is compiled code"),
        ("touch 'crm/a\\b'", "has a backslash"),
    ],
)
def test_what_cannot_be_packed(tmp_path: Path, change: str, reason: str) -> None:
    """What could not be deployed is not packed, and no file is left."""
    folder = write(tmp_path / "crm", [*FILES])
    subprocess.run(["/bin/sh", "-c", change], cwd=folder, check=True)
    output = tmp_path / "crm.sar"
    output.write_text("the one before")
    with pytest.raises(ArtifactError) as caught:
        pack(folder, output)

    assert reason in str(caught.value)
    assert "the one before" == output.read_text()
    assert {folder, output} == set(tmp_path.iterdir())


def test_no_folder(tmp_path: Path) -> None:
    """A folder that is not there, or is a file, is named."""
    with pytest.raises(ArtifactError, match="there is no such folder"):
        pack(tmp_path / "gone", tmp_path / "x.sar")


def test_no_place_for_the_output(tmp_path: Path) -> None:
    """An output that cannot be written is the machine's fault."""
    folder = write(tmp_path / "crm", [*FILES])

    with pytest.raises(ReleaseError, match=r"cannot pack .*No such file or directory"):
        pack(folder, tmp_path / "gone" / "x.sar")


# LIBRARIES OF ITS OWN


def requirements(tmp_path: Path) -> Path:
    """Return a file that requires a library which lies on this machine."""
    library = tmp_path / "greeting-1.0-py3-none-any.whl"
    library.write_bytes(
        wheel(
            {"greeting/__init__.py": "def greet(): ...\n", "greeting/.libs/x": "x"},
            name="greeting",
            entry_points="[console_scripts]\ngreet = greeting:greet\n",
        )
    )
    path = tmp_path / "requirements.txt"
    path.write_text(f"--no-index\n{library}\n")
    return path


def test_libraries(tmp_path: Path) -> None:
    """What pip installs is in lib/, without what it says of this machine."""
    folder = write(tmp_path / "crm", [*FILES])
    required = requirements(tmp_path)
    first = pack(folder, tmp_path / "1.sar", requirements=required)
    second = pack(folder, tmp_path / "2.sar", requirements=required)
    names = zipfile.ZipFile(tmp_path / "1.sar").namelist()

    assert first == second
    assert sorted(FILES) == [name for name in names if not name.startswith("lib/")]
    info = "lib/greeting-1.0.dist-info"
    assert [
        *(f"{info}/METADATA", f"{info}/WHEEL", f"{info}/entry_points.txt"),
        *("lib/greeting/.libs/x", "lib/greeting/__init__.py"),
    ] == [name for name in names if name.startswith("lib/")]
    with pytest.raises(
        ArtifactError, match="has libraries of its own in lib/ and needs"
    ):
        identify(tmp_path / "1.sar", "1.sar")


def test_nothing_required(tmp_path: Path) -> None:
    """A file that requires nothing adds nothing."""
    folder = write(tmp_path / "crm", [*FILES])
    nothing = tmp_path / "requirements.txt"
    nothing.write_text("# nothing\n")

    assert pack(folder, tmp_path / "1.sar") == pack(
        folder, tmp_path / "2.sar", requirements=nothing
    )


def test_what_pip_cannot_install(tmp_path: Path) -> None:
    """What pip says is told, and no file is left."""
    folder = write(tmp_path / "crm", [*FILES])
    wrong = tmp_path / "requirements.txt"
    wrong.write_text("--no-index\nno-such-library\n")

    with pytest.raises(
        ReleaseError, match=r"(?s)pip cannot install .*requirements.txt.*no-such-lib"
    ):
        pack(folder, tmp_path / "1.sar", requirements=wrong)
    assert not (tmp_path / "1.sar").exists()


def test_libraries_twice(tmp_path: Path) -> None:
    """A folder that has a lib/ of its own is not mixed with what pip installs."""
    folder = write(tmp_path / "crm", [*FILES])
    (folder / "lib").mkdir()
    (folder / "lib" / "own.py").write_text("")
    pack(folder, tmp_path / "1.sar")

    with pytest.raises(ArtifactError, match="it has a lib/ already; take that out"):
        pack(folder, tmp_path / "2.sar", requirements=requirements(tmp_path))


def test_no_pip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An interpreter without pip is named."""
    folder = write(tmp_path / "crm", [*FILES])
    monkeypatch.setattr(sys, "executable", "/bin/false")

    with pytest.raises(ReleaseError, match="/bin/false has no pip, which fetches what"):
        pack(folder, tmp_path / "1.sar", requirements=requirements(tmp_path))
