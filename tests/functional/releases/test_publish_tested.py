"""Which runs of pytest leave the record that publishing asks for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from functional.releases.project import Project, python
from pointsman.releases import tested
from pointsman.releases.checkout import Checkout, digest

if TYPE_CHECKING:
    from pathlib import Path

PYTEST = ("-m", "pytest", "-ppointsman.releases.tested", "-q")
RED = "def test_hello():\n    assert False\n"
EDITS = "def test_hello():\n    open('hello.py', 'a').write('# more')\n"


@pytest.fixture(name="project")
def _project(tmp_path: Path) -> Project:
    return Project.small(tmp_path)


def run(project: Project, *words: str) -> str:
    """Run the tests of the project; return what was said."""
    return python(project.folder, *PYTEST, *words).stdout


def test_whole_green_run_is_recorded(project: Project) -> None:
    """The digest of what was tested is written down, and nothing else counts for it."""
    project.write("new.py", "not committed yet\n")
    said = run(project)
    recorded = tested.read(project.folder)
    project.commit()

    assert "recorded: this content can be released" in said
    assert digest(Checkout(project.folder).content()) == recorded


@pytest.mark.parametrize(
    "words",
    [
        ("tests",),
        ("-k", "hello"),
        ("-m", "not slow"),
        ("--deselect", "tests/test_other.py"),
        ("--ignore", "tests/other"),
        ("--lf",),
        ("--collect-only",),
    ],
)
def test_run_of_some_tests_is_not(project: Project, words: tuple[str, ...]) -> None:
    """What leaves tests out writes nothing, and takes no record back."""
    project.passes()
    before = (project.folder / ".tested.json").read_text()
    said = run(project, *words)

    assert "recorded" not in said
    assert before == (project.folder / ".tested.json").read_text()


def test_red_run_takes_the_record_back(project: Project) -> None:
    """Content that failed once is not what passed."""
    project.write("tests/test_red.py", RED)
    project.passes()
    run(project)

    assert "" == tested.read(project.folder)


def test_content_that_changes_meanwhile_is_not_recorded(project: Project) -> None:
    """Nobody knows what such a run has tested."""
    project.write("tests/test_edits.py", EDITS)
    said = run(project)

    assert "not recorded: files changed while the tests ran" in said
    assert "" == tested.read(project.folder)


def test_without_git_there_is_no_record(project: Project) -> None:
    """The tests of an unpacked archive pass, and leave nothing behind."""
    (project.folder / ".git").rename(project.folder.parent / "git-of-the-test")
    said = run(project)

    assert "1 passed" in said
    assert not (project.folder / ".tested.json").exists()


def test_mode_of_a_file_is_content(project: Project) -> None:
    """A script that can no longer be run is other content; a touched file is not."""
    path = project.write("script", "#!/bin/sh\n")
    before = digest(Checkout(project.folder).content())
    path.touch()
    touched = digest(Checkout(project.folder).content())
    path.chmod(0o755)

    assert before == touched
    assert before != digest(Checkout(project.folder).content())
