"""Building a release from a folder or an archive, with small programs as its tools."""

from __future__ import annotations

import fcntl
import hashlib
import os
import subprocess
import sys
import tarfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pointsman.errors import ReleaseError
from pointsman.releases.layout import Release, Root
from pointsman.releases.source import BuildError, Built, build
from waiting import wait_for

#: Makes bin/: a buildout that says what the recipe says, and tests.
BOOTSTRAP = '''
import os
from pathlib import Path

assert "PYTHONWARNINGS" not in os.environ
Path("{log}.cache").write_text(os.environ.get("POINTSMAN_BUILD_CACHE", "-"))
Path("bin").mkdir()
for name, text in (
    ("buildout", """#!/bin/sh
echo "$@ in $(basename $PWD)" > {log}
test "$1" = -c || exit 9
root=${{3#release:root=}}
version=${{4#release:version=}}
echo "$root/releases/site-${{version:-1.0}} is {how}."
"""),
    ("test", "#!/bin/sh\\necho tests; exit {tests}\\n"),
):
    path = Path("bin", name)
    path.write_text(text)
    path.chmod(0o755)
'''


@pytest.fixture(name="log")
def _log(tmp_path: Path) -> Path:
    return tmp_path / "log"


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))


def project(
    folder: Path, log: Path, how: str = "sealed", tests: int = 0, bootstrap: str = ""
) -> Path:
    """Make a project below ``folder``."""
    made = folder / "site-1.0"
    made.mkdir()
    (made / "deploy.cfg").touch()
    text = bootstrap or BOOTSTRAP.format(log=log, how=how, tests=tests)
    (made / "bootstrap.py").write_text(text)
    return made


def archive(folder: Path) -> Path:
    """Pack a project as sdist does, with its checksum."""
    packed = folder.with_name(f"{folder.name}.tar.gz")
    with tarfile.open(packed, "w:gz") as tar:
        tar.add(folder, folder.name)
    digest = hashlib.sha256(packed.read_bytes()).hexdigest()
    Path(f"{packed}.sha256").write_text(f"{digest}  {packed.name}\n")
    return packed


def test_from_an_archive(
    tmp_path: Path, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An archive is unpacked to a place of its own, which is gone afterwards."""
    monkeypatch.setenv("PYTHONWARNINGS", "error")
    packed = archive(project(tmp_path, log))
    before = set(tmp_path.iterdir())
    told: list[str] = []

    built = build(
        packed, Root(tmp_path / "root"), on_line=lambda what, _line: told.append(what)
    )

    assert Built(Release("site", "1.0"), fresh=True) == built
    words = f"-c deploy.cfg release:root={tmp_path}/root in site-1.0\n"
    assert (words, ["buildout"]) == (log.read_text(), told)
    named = tmp_path / "log.cache"
    assert str(tmp_path / "caches" / "pointsman" / "build") == named.read_text()
    assert before | {log, named, tmp_path / "caches"} == set(tmp_path.iterdir())


def test_from_a_folder(tmp_path: Path, log: Path) -> None:
    """A folder that has its buildout is not bootstrapped again; tests come first."""
    folder = project(tmp_path, log, how="there already, with the same content")
    root = Root(tmp_path / "root")
    build(folder, root)
    (folder / "bootstrap.py").unlink()
    told: list[str] = []

    built = build(
        folder,
        root,
        version="1.1",
        test=True,
        on_line=lambda what, _line: told.append(what),
    )

    assert Built(Release("site", "1.1"), fresh=False) == built
    assert ["bin/test", "buildout"] == told


def test_root_below_a_folder_of_that_name(tmp_path: Path, log: Path) -> None:
    """A root may lie in a folder ``releases`` itself."""
    root = Root(tmp_path / "releases" / "site")
    root.releases.mkdir(parents=True)

    built = build(project(tmp_path, log), root)

    assert Built(Release("site", "1.0"), fresh=True) == built


def test_a_buildout_whose_python_is_gone(tmp_path: Path, log: Path) -> None:
    """A script whose interpreter has moved is told as that, and what to do."""
    folder = project(tmp_path, log)
    script = folder / "bin" / "buildout"
    script.parent.mkdir()
    script.write_text("#!/nowhere/python\n")
    script.chmod(0o755)

    with pytest.raises(ReleaseError, match="the Python of its first line is not"):
        build(folder, Root(tmp_path / "root"))


def test_a_checksum_that_is_no_text(tmp_path: Path, log: Path) -> None:
    """It is said of which file."""
    packed = archive(project(tmp_path, log))
    Path(f"{packed}.sha256").write_bytes(b"\xff\xfe")

    with pytest.raises(ReleaseError, match="sha256 is no checksum"):
        build(packed, Root(tmp_path / "root"))


def test_red_tests(tmp_path: Path, log: Path) -> None:
    """Where the tests fail nothing is built, and what they said is told."""
    folder = project(tmp_path, log, tests=3)

    with pytest.raises(BuildError, match="bin/test failed with exit code 3") as told:
        build(folder, Root(tmp_path / "root"), test=True)

    assert ("tests\n", False) == (told.value.output, log.exists())


def test_archive_that_has_changed(tmp_path: Path, log: Path) -> None:
    """An archive that is not what its checksum says is not unpacked."""
    packed = archive(project(tmp_path, log))
    packed.write_bytes(packed.read_bytes()[:-1] + b"?")

    with pytest.raises(ReleaseError, match="is not what was published"):
        build(packed, Root(tmp_path / "root"))


def test_archive_that_reaches_out(tmp_path: Path) -> None:
    """An archive with a path out of its folder is refused."""
    packed = tmp_path / "site-1.0.tar.gz"
    with tarfile.open(packed, "w:gz") as tar:
        tar.addfile(tarfile.TarInfo("../evil"))

    with pytest.raises(ReleaseError, match=r"\.\./evil"):
        build(packed, Root(tmp_path / "root"))


@pytest.mark.parametrize(
    ("name", "reason"),
    [("site.zip", r"neither a folder nor a \.tar\.gz"), ("folder", "no deploy.cfg")],
)
def test_nothing_to_build(tmp_path: Path, name: str, reason: str) -> None:
    """What is no project says what it lacks."""
    path = tmp_path / name
    if path.suffix:
        path.touch()
    else:
        path.mkdir()

    with pytest.raises(ReleaseError, match=reason):
        build(path, Root(tmp_path / "root"))


def test_command(tmp_path: Path, log: Path) -> None:
    """The command ends with 1 and shows the last lines of what has failed."""
    folder = project(
        tmp_path, log, bootstrap="print('no network'); raise SystemExit(5)"
    )
    code = "import sys; sys.path[:0] = sys.argv.pop(1).split(':')\n"
    code += "from pointsman.cli import main; main()"
    paths = ":".join(filter(None, sys.path))
    root = f"--root={tmp_path}/root"

    done = subprocess.run(
        [sys.executable, "-c", code, paths, "release", "build", str(folder), root],
        capture_output=True,
        text=True,
        check=False,
    )

    assert (1, "no network\n") == (done.returncode, done.stdout)
    assert "bootstrap.py failed with exit code 5" in done.stderr


def test_a_folder_has_its_own_libraries(tmp_path: Path, log: Path) -> None:
    """The commands that stay in its bin/ must not need a cache."""
    build(project(tmp_path, log), Root(tmp_path / "root"))

    assert "-" == (tmp_path / "log.cache").read_text()


@pytest.mark.parametrize("named", [True, False])
def test_the_cache_can_be_named(
    tmp_path: Path, log: Path, monkeypatch: pytest.MonkeyPatch, *, named: bool
) -> None:
    """Another folder, or none."""
    cache = str(tmp_path / "elsewhere") if named else ""
    monkeypatch.setenv("POINTSMAN_BUILD_CACHE", cache)
    build(archive(project(tmp_path, log)), Root(tmp_path / "root"))

    assert cache == (tmp_path / "log.cache").read_text()
    assert not (tmp_path / "caches").exists()


def test_a_cache_that_others_may_write_is_not_used(tmp_path: Path, log: Path) -> None:
    """Who writes there decides what is built.  Broken on purpose: not looked at."""
    folder = tmp_path / "caches" / "pointsman" / "build"
    folder.mkdir(parents=True)
    folder.chmod(0o777)
    told: list[tuple[str, str]] = []
    packed = archive(project(tmp_path, log))
    build(packed, Root(tmp_path / "root"), on_line=lambda *words: told.append(words))

    assert ("cache", f"without the cache {folder}: others may write there") == told[0]
    assert "" == (tmp_path / "log.cache").read_text()


def test_one_build_at_a_time_fills_the_cache(tmp_path: Path, log: Path) -> None:
    """The second one says so, and waits."""
    folder = tmp_path / "caches" / "pointsman" / "build"
    folder.mkdir(parents=True, mode=0o700)
    packed = archive(project(tmp_path, log))
    told: list[str] = []
    with ThreadPoolExecutor() as pool:
        held = os.open(folder, os.O_RDONLY)
        fcntl.flock(held, fcntl.LOCK_EX)
        second = pool.submit(
            build,
            packed,
            Root(tmp_path / "root"),
            on_line=lambda _what, line: told.append(line),
        )
        wait_for(lambda: told, "it says that it waits")
        early = log.exists()
        os.close(held)

    assert (f"another build fills {folder}; waiting", False) == (told[0], early)
    assert second.result().fresh
