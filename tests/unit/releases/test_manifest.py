"""What a tree says of itself."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from pointsman.errors import ReleaseError
from pointsman.releases import manifest
from pointsman.releases.layout import Release
from pointsman.releases.manifest import File, Manifest, Python

if TYPE_CHECKING:
    from pathlib import Path

ONE = File("1" * 64, 3, 0o444)
TWO = File("2" * 64, 5, 0o555)


def example(**changes: Any) -> Manifest:
    """Return a manifest."""
    whole = Manifest(
        release=Release("mysite", "1.4.0"),
        built_at="2026-11-21T10:00:00.000Z",
        built_by="deploy",
        python=Python("3.11.2", "/usr/bin/python3.11"),
        platform="linux-x86_64",
        requires={"WebOb": "1.8.11"},
        files={"lib/a.py": ONE, "bin/paster": TWO},
        links={"lib64": "lib"},
    )
    return replace(whole, **changes)


def test_what_is_written_is_read() -> None:
    """It comes back as it was, whatever the files are called."""
    odd = os.fsdecode(b"lib/\xff \xe4\"'\n.txt")
    whole = example(files={odd: ONE, "lib/ä.py": TWO, "bin/x": TWO})

    assert whole == manifest.parse(whole.text().encode("ascii"), "here")
    assert whole.digest == manifest.parse(whole.text().encode(), "here").digest


@pytest.mark.parametrize(
    "files", [{}, {"lib/a.py": ONE}, {"lib/a.py": ONE, "lib/b.py": TWO}]
)
def test_it_can_be_read_by_people(files: dict[str, File]) -> None:
    """Every file has a line of its own, and it is JSON for everybody."""
    whole = example(files=files)

    assert whole.document() == json.loads(whole.text())
    assert len(files) == whole.text().count('"sha256"')
    assert max(map(len, whole.text().splitlines())) < 150


@pytest.mark.parametrize(
    ("change", "same"),
    [
        ({"built_at": "2027-01-01T00:00:00.000Z", "built_by": "root"}, True),
        ({"files": {"bin/paster": TWO, "lib/a.py": ONE}}, True),  # another order
        ({"release": Release("mysite", "1.4.1")}, False),
        ({"python": Python("3.11.7", "/usr/bin/python3.11")}, False),
        ({"platform": "linux-aarch64"}, False),
        ({"requires": {"WebOb": "1.8.12"}}, False),
        ({"files": {"lib/a.py": replace(ONE, mode=0o555), "bin/paster": TWO}}, False),
        ({"links": {}}, False),
    ],
)
def test_the_digest_is_that_of_the_content(
    change: dict[str, Any], *, same: bool
) -> None:
    """Who built a tree, and when, makes no other one of it; all else does."""
    assert same == (example().digest == example(**change).digest)


def test_the_digest_leaves_bytecode_out() -> None:
    """What is made of a module in the tree does not count; what stands alone does.

    Two compilations of one module may have other bytes: marshal marks what the process
    has references to.
    """
    path = "lib/__pycache__/a.cpython-311.pyc"
    alone = "lib/__pycache__/b.cpython-311.pyc"
    files = {"lib/a.py": ONE, "bin/paster": TWO}
    compiled = example(files={**files, path: ONE})

    assert {path: "lib/a.py"} == compiled.bytecode()
    assert example().digest == compiled.digest
    assert example().digest != example(files={**files, alone: ONE}).digest


@pytest.mark.parametrize(
    "change",
    [
        {"files": {"../a": ONE}},
        {"files": {"/etc/passwd": ONE}},
        {"files": {"lib/./a": ONE}},
        {"links": {"lib/x": "/etc/passwd"}},
        {"links": {"lib/x": "../../x"}},
        {"links": {"x": ".."}},
    ],
)
def test_nothing_leaves_the_tree(change: dict[str, Any]) -> None:
    """Paths and links that lead out are refused, whoever wrote them."""
    with pytest.raises(ValueError, match="tree"):
        example(**change)


@pytest.mark.parametrize(
    ("sha256", "size", "mode"),
    [("x", 1, 0o444), ("a" * 64, -1, 0o444), ("a" * 64, 1, 0o644)],
)
def test_what_is_no_file(sha256: str, size: int, mode: int) -> None:
    """A digest has 64 digits, a size is no debt, and nobody may write."""
    with pytest.raises(ValueError, match="no digest, size and mode"):
        File(sha256, size, mode)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "Expecting value"),
        (b"\xff", "codec can't decode"),
        (b"[]", "list indices"),
        (b"{}", "'format' is missing"),
        (b'{"format": 2}', "its format is 2, not 1"),
        (b'{"format": 1}', "'files' is missing"),
    ],
)
def test_what_is_no_manifest(data: bytes, why: str) -> None:
    """It is refused in one sentence, with the file and what to do."""
    with pytest.raises(ReleaseError) as refused:
        manifest.parse(data, "/srv/x/MANIFEST.json")

    assert str(refused.value).startswith("/srv/x/MANIFEST.json is no manifest")
    assert why in str(refused.value)


def test_each_part_of_it_is_needed() -> None:
    """Without any of its keys, or with a path that leads out, it is none."""
    whole = example().document()
    broken = [{k: v for k, v in whole.items() if k != key} for key in whole]
    broken.append({**whole, "links": {"x": "../.."}})
    broken.append({**whole, "name": "../x"})
    for document in broken:
        with pytest.raises(ReleaseError):
            manifest.parse(json.dumps(document).encode(), "here")


def test_a_tree_has_its_own(tmp_path: Path) -> None:
    """None, one that cannot be read, and another tree's are told apart."""
    tree = tmp_path / "mysite-1.5.0"
    tree.mkdir()
    with pytest.raises(ReleaseError, match="it is no sealed release"):
        manifest.read(tree)
    (tree / manifest.FILE).write_text(example().text())
    with pytest.raises(ReleaseError, match="not of mysite-1"):
        manifest.read(tree)
    (tree / manifest.FILE).unlink()
    (tree / manifest.FILE).mkdir()
    with pytest.raises(ReleaseError, match="cannot be read: Is a directory"):
        manifest.read(tree)


def test_the_interpreter_is_not_that_of_a_virtual_environment() -> None:
    """A build's environment can be deleted without harm."""
    found = Python.running()

    assert not found.path.startswith(sys.prefix + "/") or sys.prefix == sys.base_prefix
    assert os.path.realpath(found.path) == found.path
