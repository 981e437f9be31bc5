"""The manuals of the recipes: what they show is what a real buildout does."""

from __future__ import annotations

import doctest
import shutil
from pathlib import Path

import pytest

from recipes.buildouts import Folder, say
from system_packages import NO_NETWORK, require

MANUALS = sorted(Path(__file__).parent.glob("*.rst"))
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


@pytest.mark.parametrize("manual", MANUALS, ids=lambda path: path.stem)
def test_manual_is_true(
    manual: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every example of the manual gives what the manual says."""
    require("unshare", "util-linux")
    folder = Folder(tmp_path)
    names = {
        "site": folder,
        "buildout": lambda *words: print(folder.run(*words), end=""),  # noqa: T201
        "offline": lambda *words: print(folder.run(*words, program=NO_NETWORK), end=""),  # noqa: T201
        "run": lambda *words: print(folder.short(say([*words])), end=""),  # noqa: T201
        "move": shutil.move,
        "remove": shutil.rmtree,
    }
    result = doctest.testfile(
        str(manual), module_relative=False, globs=names, optionflags=FLAGS
    )
    print_ = capsys.readouterr().out

    assert doctest.TestResults(0, result.attempted) == result, print_
