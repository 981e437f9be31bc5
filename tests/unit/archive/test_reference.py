"""The reference of archives says all that the code does."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from pointsman import archive
from pointsman.archive.manifest import PACKAGE_KEYS, SERVICE_KEYS
from pointsman.archive.names import LONGEST_NAME, LONGEST_PATH
from pointsman.archive.unfit import LIMITS
from pointsman.pack import _FILES, _FOLDERS
from pointsman.runtime import declarations

ROOT = Path(__file__).parents[3]
TEXT = " ".join((ROOT / "docs/reference/archives.md").read_text("utf-8").split())
PLACES = [
    *sorted(Path(archive.__file__).parent.glob("*.py")),
    Path(declarations.__file__),
]
# Reasons that are only passed on, or have no words of their own.
_WORDS = 12


def sentences(path: Path) -> list[str]:
    """Return the longest constant part of each reason that a module can give."""
    found = [
        _longest(call.args[-1])
        for call in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(call, ast.Call)
        and isinstance(call.func, ast.Name)
        and call.func.id in ("Unfit", "NoArtifact", "_bad", "_error")
        and call.args
    ]
    return [one for one in found if len(one) >= _WORDS]


def _longest(node: ast.expr) -> str:
    parts = [
        part.value
        for part in ast.walk(node)
        if isinstance(part, ast.Constant) and isinstance(part.value, str)
    ]
    return max(parts, key=len, default="").strip()


@pytest.mark.parametrize("path", PLACES, ids=lambda path: path.stem)
def test_every_refusal_is_explained(path: Path) -> None:
    """Each sentence that refuses a package is in the reference."""
    assert [] == [one for one in sentences(path) if one not in TEXT]


def test_sentences_are_found() -> None:
    """The look at the code finds what there is, and would miss what is not told."""
    found = [one for path in PLACES for one in sentences(path)]

    assert 60 < len(found)
    assert any("shares its bytes" in one for one in found)


def test_every_key_is_explained() -> None:
    """Each key of a manifest is in the reference."""
    assert [] == [k for k in (*PACKAGE_KEYS, *SERVICE_KEYS) if f"`{k}`" not in TEXT]


def test_every_limit_is_true() -> None:
    """The limits of the reference are those of the code."""
    mib = 1024 * 1024
    for told in (
        f"| files and folders | {LIMITS.entries:,} |",
        f"{LIMITS.total // mib} MiB, and no more than {LIMITS.slack // mib} MiB",
        f"and {LIMITS.ratio} times the size of the file",
        f"| `service.ini`, `METADATA`, `RECORD` | {LIMITS.told // mib} MiB each |",
        f"| list of files | {LIMITS.directory // mib} MiB |",
        f"| name of a file or folder | {LONGEST_NAME} bytes |",
        f"| path | {LONGEST_PATH} bytes |",
    ):
        assert told in TEXT


def test_what_packing_leaves_out_is_true() -> None:
    """What the reference says that packing leaves out is left out."""
    told = re.search(r"Left out are (.*?)\. Links", TEXT)
    assert told is not None
    names = [one.replace("*", "x") for one in re.findall(r"`([^`]+)`", told[1])]
    names.remove(".")

    assert [] == [n for n in names if not _FILES.match(n) and not _FOLDERS.match(n)]
