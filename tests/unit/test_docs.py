"""The documentation says all there is, and its links lead somewhere."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import TYPE_CHECKING

import click
import pytest

from pointsman import cli, errors
from pointsman.control.application import ROUTES
from pointsman.recipes.site import Site
from pointsman.releases.layout import Release
from pointsman.releases.manifest import Python
from pointsman.serving import arguments
from pointsman.serving import settings as server_settings
from pointsman.settings import INCLUDE, KEYS

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "docs" / "reference"
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)
_SHELL = re.compile(r"```sh\n(.*?)```", re.DOTALL)
_TYPED = re.compile(r"(?:^|bin/|&& |\()(pointsman [^#\n|&;)]*)", re.MULTILINE)
_ANCHOR = re.compile(r'id="([^"]+)"')


def pages() -> list[Path]:
    """Return every page that people read."""
    found = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    return sorted([*found, *(ROOT / "examples").rglob("*.md")])


def code(page: str) -> set[str]:
    """Return what a page of the reference sets in code."""
    text = (REFERENCE / page).read_text("utf-8")
    return set(re.findall(r"`([^`\n]+)`", text))


@pytest.mark.parametrize(
    "key", [*KEYS, INCLUDE, "service.<name>.<key>", "resource.<name>"]
)
def test_every_key_of_the_application_is_explained(key: str) -> None:
    """The reference of the ini has each key that is read."""
    assert key in code("ini.md")


def test_every_key_of_the_server_is_explained() -> None:
    """The reference of the ini has each key of [server:main]."""
    known = {*server_settings._CASTS, *server_settings._OURS}

    assert set() == known - code("ini.md")


def test_every_route_is_explained() -> None:
    """The reference of the control surface has each route, with its method."""
    assert set() == {f"{r.method} {r.path}" for r in ROUTES} - code("http.md")


def test_every_error_is_explained() -> None:
    """The reference of errors has each class of the tree."""
    classes = {
        name
        for name, kind in inspect.getmembers(errors, inspect.isclass)
        if issubclass(kind, errors.Error)
    }

    assert set() == classes - code("errors.md")


def commands(
    group: click.Group, name: str = "pointsman"
) -> Iterator[tuple[str, click.Command]]:
    """Return all commands, those of groups too, with all that is typed for them."""
    for word, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, f"{name} {word}")
        else:
            yield f"{name} {word}", command


def test_every_command_and_option_of_pointsman_is_explained() -> None:
    """The reference of commands has all that --help has."""
    text = (REFERENCE / "cli.md").read_text("utf-8")
    assert isinstance(cli.main, click.Group)
    found = dict(commands(cli.main))
    options = {
        (name, option.opts[0])
        for name, command in found.items()
        for option in command.params
        if isinstance(option, click.Option)
    }

    assert {"pointsman deploy", "pointsman token create"} <= found.keys()
    assert set() == {name for name in found if f"`{name}" not in text}
    assert set() == {(name, option) for name, option in options if option not in text}


def test_every_command_of_the_pages_exists() -> None:
    """No page tells people to type a command or an option that there is not."""
    assert isinstance(cli.main, click.Group)
    found = dict(commands(cli.main))
    wrong = set()
    for page in pages():
        for line in typed(page.read_text("utf-8")):
            words = line.split()
            command = found.get(" ".join(words[:3])) or found.get(" ".join(words[:2]))
            known = {"--help", "--version"}
            if command is not None:
                known |= {word for one in command.params for word in one.opts}
            options = {word.partition("=")[0] for word in words if word[:2] == "--"}
            if (command is None and words[1][:2] != "--") or options - known:
                wrong.add((page.name, line))

    assert set() == wrong


def typed(text: str) -> Iterator[str]:
    """Return the calls of our command in blocks of shell, and in lines of code."""
    shell = "\n".join(_SHELL.findall(text))
    yield from (line.strip() for line in re.findall(_TYPED, shell))
    yield from re.findall(r"`(pointsman [a-z][^`\n]*)`", text)


def test_every_option_of_paster_is_explained() -> None:
    """The reference of commands has all options of paster serve."""
    text = (REFERENCE / "cli.md").read_text("utf-8")
    wanted = {
        word
        for action in arguments._parser()._actions
        for word in action.option_strings
        if action.dest != "help"
    }

    assert {"--daemon", "-n"} <= wanted
    assert set() == {word for word in wanted if not re.search(rf"`{word}\b", text)}


def test_every_row_that_an_error_names_is_there() -> None:
    """What messages say of the reference of isolation can be found in it."""
    text = (REFERENCE / "isolation.md").read_text("utf-8")
    source = (ROOT / "src/pointsman/namespace/isolation.py").read_text("utf-8")
    rows = re.findall(r'told\(\s*"([^"]+)"', source)

    assert rows
    for row in rows:
        assert f">{row.replace(' ', '-')}" not in text
        assert f'<a id="{row.replace(" ", "-")}"></a>{row} |' in text


def links() -> Iterator[tuple[Path, str]]:
    """Return each link of each page that leads to a file of this repository."""
    for page in pages():
        for target in _LINK.findall(page.read_text("utf-8")):
            if not target.startswith(("http://", "https://")):
                yield page, target


def anchors(page: Path) -> set[str]:
    """Return where a link into a page can lead: headings as GitHub names them."""
    text = page.read_text("utf-8")
    named = (re.sub(r"[^\w\- ]", "", title.lower()) for title in _HEADING.findall(text))
    return {name.replace(" ", "-") for name in named} | set(_ANCHOR.findall(text))


def test_links_between_pages_resolve() -> None:
    """Every link leads to a file, and to a heading of it where it names one."""
    dead = []
    for page, target in links():
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        if not file.exists() or (anchor and anchor not in anchors(file)):
            dead.append((str(page.relative_to(ROOT)), target))

    assert [] == dead


def test_every_page_can_be_reached_from_the_readme() -> None:
    """No page of the documentation is left alone."""
    reached = {ROOT / "README.md"}
    todo = [ROOT / "README.md"]
    while todo:
        page = todo.pop()
        for target in _LINK.findall(page.read_text("utf-8")):
            file = (page.parent / target.partition("#")[0]).resolve()
            if file.suffix == ".md" and file.exists() and file not in reached:
                reached.add(file)
                todo.append(file)

    assert set() == set(pages()) - reached


def test_every_option_of_the_recipes_is_explained() -> None:
    """The reference of recipes has each option, and each name for templates."""
    folder = ROOT / "src" / "pointsman" / "recipes"
    read = re.compile(r'options(?:\.get\(|\.setdefault\(|\[)"([\w-]+)"')
    options = {
        option
        for name in ("tree.py", "config.py")
        for option in re.findall(read, (folder / name).read_text("utf-8"))
    }
    site = Site(Path("/srv"), Release("a", "1"), Python("3.11.1", "/usr/bin/python3"))

    assert {"eggs", "root", "templates"} <= options
    assert set() == {*options, *site.variables()} - code("recipes.md")
