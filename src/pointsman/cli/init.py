"""``init``: a new project for a site of one's own.  Edge.

The folder ``mysite`` beside this module is that project, with another name.
"""

from __future__ import annotations

import importlib.util
import keyword
import re
import shutil
import sys
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

import click

import pointsman
from pointsman.cli import tables
from pointsman.cli.options import ending, examples
from pointsman.errors import ConfigError, ReleaseError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from importlib.resources.abc import Traversable

_TEMPLATE = "mysite"
_VERSION = "POINTSMAN_VERSION"  # in versions.cfg: of the one that makes the site
_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}\Z")
# What a distribution of Python files would not bring along under its own name.
_HIDDEN = {"gitignore": ".gitignore"}
_PROGRAMS = {"bootstrap.py"}
_NEXT = (
    "python3 bootstrap.py            builds bin/, with what versions.cfg pins",
    "bin/test                        runs the tests",
    "bin/paster serve deploy.ini     serves it",
)


@click.command(
    epilog=examples(
        "pointsman init mysite",
        "cd mysite && python3 bootstrap.py && bin/test",
    )
)
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@ending
def init(*, folder: Path, as_json: bool) -> int:
    """Make a new project: services, their tests, and all that releases them.

    The last part of DIR is the name of the site, of its package, and of its releases.
    """
    made = make(folder)
    if as_json:
        tables.print_json({"folder": str(folder), "files": list(made)})
    else:
        tables.say(f"{folder} has a new site.  In there:")
        for line in _NEXT:
            tables.say(f"    {line}")
    return 0


def make(folder: Path) -> tuple[str, ...]:
    """Write a new project into a folder that is empty, or not there; return its files.

    Raises:
        ConfigError: the folder's name is no good, or something is in there.
        ReleaseError: it cannot be written; what was written is gone again.

    """
    name = folder.absolute().name
    _check_name(name)
    try:
        if folder.exists() and any(folder.iterdir()):
            raise ConfigError(f"{folder} is not empty; name a new folder")
        files = _files(name)
        _write(folder, files)
    except OSError as error:
        raise ReleaseError(f"cannot make a site in {folder}: {error}") from error
    return tuple(files)


def _check_name(name: str) -> None:
    if not _NAME.match(name) or keyword.iskeyword(name):
        raise ConfigError(
            f"{name!r} cannot be the name of a site, which is one of a Python package: "
            "a small letter first, then small letters, digits and '_'"
        )
    if name in sys.stdlib_module_names or name in {"pointsman", "tests"}:
        raise ConfigError(f"{name!r} is the name of a module already; take another one")
    found = importlib.util.find_spec(name)
    if found is not None:
        where = found.origin or name
        raise ConfigError(f"{name!r} is installed already ({where}); take another one")


def _files(name: str) -> dict[str, str]:
    """Return the content of each file of the new project, by its path."""
    template = resources.files("pointsman.cli") / _TEMPLATE
    found = {}
    for path, text in sorted(_walk(template, "")):
        # Last: a name may be a word of what is replaced before.
        filled = text.replace(_VERSION, pointsman.__version__).replace(_TEMPLATE, name)
        found[_HIDDEN.get(path, path).replace(_TEMPLATE, name)] = filled
    return found


def _walk(folder: Traversable, path: str) -> Iterator[tuple[str, str]]:
    for each in folder.iterdir():
        if each.name == "__pycache__":
            continue
        if each.is_dir():
            yield from _walk(each, f"{path}{each.name}/")
        else:
            yield f"{path}{each.name}", each.read_text("utf-8")


def _write(folder: Path, files: Mapping[str, str]) -> None:
    was_there = folder.exists()
    try:
        for relative, text in files.items():
            path = folder / relative
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, "utf-8")
            if relative in _PROGRAMS:
                path.chmod(0o755)
    except OSError:
        for each in list(folder.iterdir()) if folder.exists() else []:
            shutil.rmtree(each) if each.is_dir() else each.unlink()
        if folder.exists() and not was_there:
            folder.rmdir()
        raise
