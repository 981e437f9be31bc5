"""What `pointsman init` makes, and where it does not.

The project itself is built, tested and released by the tests of the tutorial.
"""

from __future__ import annotations

import ast
import configparser
import importlib.metadata
import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import pointsman
from pointsman.cli import init, main

ROOT = Path(__file__).parents[2]
TEMPLATE = ROOT / "src" / "pointsman" / "cli" / "mysite"
# What a site is built with, besides what it needs.
BUILD = ["pointsman[buildout]", "pip", "pytest", "setuptools", "wheel"]


def pins(path: Path) -> dict[str, str]:
    """Return the pins of a versions.cfg."""
    parser = configparser.ConfigParser(interpolation=None)
    parser.read(path, "utf-8")
    return {canonicalize_name(name): pin for name, pin in parser["versions"].items()}


def needed(*roots: str) -> set[str]:
    """Return the distributions that these need, on any Python that is supported."""
    found, todo = set(), [Requirement(root) for root in roots]
    while todo:
        one = todo.pop()
        key = (canonicalize_name(one.name), frozenset(one.extras))
        if key in found:
            continue
        found.add(key)
        todo += _requires(one)
    return {name for name, _ in found}


def _requires(one: Requirement) -> list[Requirement]:
    environments = [
        {"extra": extra, "python_version": version}
        for extra in ("", *one.extras)
        for version in ("3.11", "3.13")
    ]
    try:
        lines = importlib.metadata.requires(one.name) or []
    except importlib.metadata.PackageNotFoundError:  # only another Python needs it
        lines = []
    wanted = [Requirement(line) for line in lines]
    return [
        each
        for each in wanted
        if each.marker is None or any(map(each.marker.evaluate, environments))
    ]


def run(*words: str) -> tuple[int, str]:
    """Call the command; return its exit code, and what it said."""
    done = CliRunner().invoke(main, ["init", *words])
    return done.exit_code, done.output


def test_every_file_has_the_name_of_the_site(tmp_path: Path) -> None:
    """Names and texts are those of the new site; what is Python can be compiled."""
    made = init.make(tmp_path / "shop")
    texts = {name: (tmp_path / "shop" / name).read_text() for name in made}

    assert {"setup.py", "deploy.cfg", ".gitignore", "etc/deploy.ini.in"} <= set(made)
    assert {"src/shop/__init__.py", "src/shop/hello.py"} <= set(made)
    assert [] == [name for name, text in texts.items() if "mysite" in name + text]
    assert f"pointsman = {pointsman.__version__}\n" in texts["versions.cfg"]
    assert [] == [name for name, text in texts.items() if "POINTSMAN_VERSION" in text]
    for name in made:
        if name.endswith(".py"):
            ast.parse(texts[name])
    assert 0o755 == (tmp_path / "shop" / "bootstrap.py").stat().st_mode & 0o777


def test_an_empty_folder_will_do(tmp_path: Path) -> None:
    """A folder that is there, with nothing in it, becomes the project."""
    (tmp_path / "shop").mkdir()
    code, said = run(str(tmp_path / "shop"))

    assert (0, True) == (code, "python3 bootstrap.py" in said)
    assert (tmp_path / "shop" / "setup.py").exists()


def test_json(tmp_path: Path) -> None:
    """With --json, one document names the folder and all files."""
    code, said = run(str(tmp_path / "shop"), "--json")
    document = json.loads(said)

    assert (0, str(tmp_path / "shop")) == (code, document["folder"])
    assert all((tmp_path / "shop" / name).is_file() for name in document["files"])


def test_a_folder_with_something_in_it_is_left_alone(tmp_path: Path) -> None:
    """Nothing of somebody's is written over, whatever it is."""
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / ".keep").touch()
    code, said = run(str(tmp_path / "shop"))

    assert (1, True) == (code, "is not empty; name a new folder" in said)
    assert [".keep"] == [path.name for path in (tmp_path / "shop").iterdir()]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("my-site", "cannot be the name of a site"),
        ("Shop", "cannot be the name of a site"),
        ("1shop", "cannot be the name of a site"),
        ("class", "cannot be the name of a site"),
        ("logging", "is the name of a module already"),
        ("tests", "is the name of a module already"),
        ("pointsman", "is the name of a module already"),
        ("webob", "is installed already"),
    ],
)
def test_names_that_would_not_work(tmp_path: Path, name: str, expected: str) -> None:
    """A name that cannot be imported, or means another module, is refused at once."""
    code, said = run(str(tmp_path / name))

    assert (1, True) == (code, expected in said)
    assert [] == list(tmp_path.iterdir())


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    """Where a file is, no project can be."""
    (tmp_path / "shop").write_text("")
    code, said = run(str(tmp_path / "shop"))

    assert (1, True) == (code, "cannot make a site in" in said)


def test_nothing_is_left_of_half_a_project(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the disk is full, what was written is taken away."""
    write = Path.write_text
    written: list[Path] = []

    def fills(path: Path, *words: str) -> int:
        if len(written) == 7:
            raise OSError(28, "No space left on device")
        written.append(path)
        return write(path, *words)

    monkeypatch.setattr(Path, "write_text", fills)
    code, said = run(str(tmp_path / "shop"))

    assert (1, True) == (code, "No space left on device" in said)
    assert [] == list(tmp_path.iterdir())


def test_its_pins_are_ours() -> None:
    """What a site pins is what we are tested with."""
    own, theirs = pins(ROOT / "versions.cfg"), pins(TEMPLATE / "versions.cfg")
    del theirs["pointsman"]

    assert {name: own.get(name) for name in theirs} == theirs


def test_its_pins_are_all_that_it_needs() -> None:
    """Nothing is missing in its versions.cfg, and nothing in there is for nobody."""
    assert needed(*BUILD) == set(pins(TEMPLATE / "versions.cfg"))


@pytest.mark.parametrize(
    "name", ["apache.conf.in", "app.wsgi.in", "site.service.in", "site.socket.in"]
)
def test_its_templates_are_ours(name: str) -> None:
    """What belongs to the machine is the same for every site."""
    assert (ROOT / "etc" / name).read_text() == (TEMPLATE / "etc" / name).read_text()


def test_its_distribution_has_all_of_it() -> None:
    """Each file of the project is in the package data that setup.py lists."""
    patterns = (ROOT / "setup.py").read_text().partition('"pointsman.cli": [')[2]
    listed = ast.literal_eval("[" + patterns.partition("]")[0] + "]")
    found = {path for one in listed for path in (TEMPLATE.parent).glob(one)}
    there = {path for path in TEMPLATE.rglob("*") if "__pycache__" not in path.parts}

    assert {p for p in there if p.is_file()} == {p for p in found if p.is_file()}
