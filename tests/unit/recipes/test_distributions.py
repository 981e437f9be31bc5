"""Distributions as files for a tree."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pointsman.errors import ConfigError, ReleaseError
from pointsman.recipes import interpreters, wheels
from pointsman.recipes.distributions import Distribution, is_of
from pointsman.recipes.working_set import needed


class Egg:
    """What a working set of zc.buildout holds, as far as it is looked at."""

    def __init__(self, name: str, location: Path, *requires: str) -> None:
        self.project_name, self.version, self.location = name, "1.0", str(location)
        self._requires = requires

    def requires(self, extras: tuple[str, ...]) -> list[Any]:
        from packaging.requirements import Requirement

        wanted = [*self._requires, *(f"only-for-{extra}" for extra in extras)]
        return [Requirement(text) for text in wanted]


def put(folder: Path, name: str, *files: str, platform: str = "") -> Path:
    """Write the files of a distribution, and its metadata with a RECORD."""
    meta = f"{name.replace('-', '_')}-1.0{platform}.dist-info"
    listed = [*files, f"{meta}/METADATA", f"{meta}/INSTALLER", f"{meta}/RECORD"]
    for each in listed:
        path = folder / each
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{name} {each}\n")
    lines = "".join(f'"{each}",sha256=x,1\n' for each in listed)
    (folder / meta / "RECORD").write_text(lines)
    return folder


def test_an_egg_goes_in_without_what_its_machine_added(tmp_path: Path) -> None:
    """No bytecode, no .pth, no note of the installer; metadata under its plain name."""
    egg = put(tmp_path, "my-dist", "my/a, b.py", "my.pth", platform="-py3.11-linux")
    (egg / "my" / "__pycache__").mkdir()
    (egg / "my" / "__pycache__" / "a.pyc").touch()
    found = Distribution("my-dist", "1.0", egg)

    assert ["my/a, b.py", "my_dist-1.0.dist-info/METADATA"] == sorted(
        relative for _, relative in found.files()
    )


def test_the_record_lists_what_is_there(tmp_path: Path) -> None:
    """The lines of left-out files are gone, and the metadata has its new name."""
    egg = put(tmp_path, "my-dist", "my/a, b.py", platform="-py3.11-linux")
    found = Distribution("my-dist", "1.0", egg)

    assert (
        '"my/a, b.py",sha256=x,1\n'
        "my_dist-1.0.dist-info/METADATA,sha256=x,1\n"
        "my_dist-1.0.dist-info/RECORD,,\n"
    ) == found.record()


def test_of_a_crowded_folder_only_its_own_files_are_taken(tmp_path: Path) -> None:
    """In the site-packages of the build, a RECORD says what belongs to whom."""
    put(tmp_path, "mine", "mine/a.py", "shared/mine.py")
    put(tmp_path, "mine-too", "mine/b.py", "shared/too.py")
    found = Distribution("mine", "1.0", tmp_path, crowded=True)

    assert ["mine-1.0.dist-info/METADATA", "mine/a.py", "shared/mine.py"] == sorted(
        relative for _, relative in found.files()
    )


@pytest.mark.parametrize(
    ("folder", "expected"),
    [
        ("my_dist-1.0.dist-info", True),
        ("My.Dist-1.0-py3.11-linux-x86_64.dist-info", True),
        ("my_dist-1.0.1.dist-info", False),
        ("my_dist_too-1.0.dist-info", False),
    ],
)
def test_metadata_is_known_by_its_name(folder: str, expected: bool) -> None:  # noqa: FBT001
    """Names are compared as PEP 503 says, versions exactly."""
    assert expected == is_of(folder, "my-dist", "1.0")


def test_only_what_is_required_comes_along(tmp_path: Path) -> None:
    """Of what lies beside a requirement in the build's environment, nothing comes."""
    eggs = [
        Egg("site", put(tmp_path / "site", "site", "site.py"), "Lib.Two>=1"),
        Egg("lib-two", put(tmp_path / "packages", "lib-two", "two.py")),
        Egg("only-for-web", put(tmp_path / "web", "only-for-web", "web.py"), "site"),
        Egg("pip", put(tmp_path / "packages", "pip", "pip.py")),
    ]
    found = needed(eggs, ["site[web]"], tmp_path)

    assert [("lib-two", True), ("only-for-web", False), ("site", False)] == [
        (one.name, one.crowded) for one in found
    ]


def test_what_is_in_development_is_known_by_pips_note(tmp_path: Path) -> None:
    """PEP 610 says where the source of a develop egg is."""
    note = tmp_path / "develop" / "my_site-1.0.dist-info" / "direct_url.json"
    note.parent.mkdir(parents=True)
    note.write_text('{"url": "file:///srv/my%20site", "dir_info": {"editable": true}}')
    (found,) = needed([Egg("my-site", tmp_path)], ["my_site"], tmp_path / "develop")

    assert Path("/srv/my site") == found.project


def test_what_is_no_distribution_is_told(tmp_path: Path) -> None:
    """A line that is no requirement, and an egg without metadata."""
    with pytest.raises(ConfigError, match=r"eggs: 'a b' names no distribution"):
        needed([], ["a b"], tmp_path)
    with pytest.raises(ReleaseError, match=r"site 1\.0 at .* is no egg"):
        needed([Egg("site", tmp_path)], ["site"], tmp_path)


def test_a_project_is_built_as_it_is_now(tmp_path: Path) -> None:
    """A module that is gone is not in the wheel, and the project stays as it was.

    Built in place, setuptools takes what a former build has left in ``build/lib``.
    """
    project = tmp_path / "project"
    stale = project / "build" / "lib" / "gone.py"
    stale.parent.mkdir(parents=True)
    stale.touch()
    (project / "setup.py").write_text(
        "from setuptools import setup\nsetup(name='p', version='1', packages=['p'])\n"
    )
    (project / "p").mkdir()
    (project / "p" / "__init__.py").touch()
    before = sorted(project.rglob("*"))
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    content = wheels.unpacked(project, scratch)

    assert ["p", "p-1.dist-info"] == sorted(path.name for path in content.iterdir())
    assert before == sorted(project.rglob("*"))


def test_a_project_that_cannot_be_built_is_told(tmp_path: Path) -> None:
    """The end of what its own code said is in the sentence."""
    (tmp_path / "setup.py").write_text("raise SystemExit('no compiler here')")
    scratch = tmp_path / "scratch"
    scratch.mkdir()

    with pytest.raises(ReleaseError, match=r"(?s)cannot be built.*no compiler here"):
        wheels.unpacked(tmp_path, scratch)


def test_another_python_of_the_same_version_can_run_a_release(tmp_path: Path) -> None:
    """It is asked for its version and its real path; links are followed."""
    own = interpreters.interpreter("")
    link = tmp_path / "python3"
    link.symlink_to(own.path)

    assert own == interpreters.interpreter(str(link))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("#!/bin/sh\nexit 1\n", "it is no Python"),
        (
            "#!/bin/sh\necho 3.8.1\necho /x\n",
            r"is Python 3\.8\.1, and the eggs are for",
        ),
    ],
)
def test_a_python_that_cannot_run_the_eggs_is_refused(
    tmp_path: Path, text: str, message: str
) -> None:
    """Something else, or another version, is told before anything is built."""
    program = tmp_path / "python"
    program.write_text(text)
    program.chmod(0o755)

    with pytest.raises(ConfigError, match=message):
        interpreters.interpreter(str(program))
