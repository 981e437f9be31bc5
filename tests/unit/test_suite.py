"""The pure parts of the suite; what it runs is seen by running it."""

import importlib
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(name="suite", scope="module")
def _suite() -> Iterator[ModuleType]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT)  # for bootstrap
        yield importlib.import_module("suite")


def test_newest_python_of_pyenv_first(suite: ModuleType, tmp_path: Path) -> None:
    """Pythons are looked for on the path, then among pyenv's, 3.12.10 after 3.12.9."""
    folders = [tmp_path / "bin"]
    folders += [tmp_path / f".pyenv/versions/3.12.{n}/bin" for n in (10, 9)]
    for folder in folders:
        folder.mkdir(parents=True)
        (folder / "python3.12").touch(mode=0o755)
    found = suite.candidates(12, str(folders[0]), tmp_path)

    assert [str(folder / "python3.12") for folder in folders] == [
        path for path in found if path.startswith(str(tmp_path))
    ]


def test_report_counts(suite: ModuleType, tmp_path: Path) -> None:
    """The counts of a JUnit report add up to its number of tests."""
    report = tmp_path / "report.xml"
    report.write_text(
        "<testsuites><testsuite tests='9' failures='1' errors='2' skipped='3'/>"
        "</testsuites>"
    )

    assert Counter(passed=3, failed=3, skipped=3) == suite.read_report(report)


def test_no_report_is_a_failure(suite: ModuleType, tmp_path: Path) -> None:
    """A pytest that died before its report counts as failed."""
    counts = suite.read_report(tmp_path / "report.xml")

    assert "0 passed, 1 failed" == suite.counted(counts)


def test_last_line_adds_up(
    suite: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    """The last line sums the tests of all runs; any failed check fails the whole."""
    results = [
        suite.Result("mypy", 1.0, ok=False, tests=Counter()),
        suite.Result("3.11", 1.0, ok=True, tests=Counter(passed=3, skipped=1)),
        suite.Result("3.12", 1.0, ok=True, tests=Counter(passed=2, failed=0)),
    ]
    code = suite.summarise(results)

    assert (1, "5 passed, 0 failed, 1 skipped") == (
        code,
        capsys.readouterr().out.splitlines()[-1],
    )


def test_examples_are_checked_beside_each_other(suite: ModuleType) -> None:
    """Each folder of the examples is one to import flat modules from."""
    folders = {path.parent for path in (ROOT / "examples").glob("*/*.py")}

    assert folders <= set(map(Path, suite.example_path().split(":")))


def test_other_pythons_are_of_the_listed_versions(suite: ModuleType) -> None:
    """This Python is not among the others, and each of them is what it is taken for."""
    found = suite.other_pythons()
    probe = "import sys; print(sys.version_info[1])"
    said = {
        minor: int(subprocess.check_output([python, "-c", probe]))
        for minor, python in found.items()
    }

    assert {minor: minor for minor in found} == said
    assert found.keys() <= set(suite.PYTHONS) - {sys.version_info[1]}
