"""``recipe = pointsman:tree``: one release, sealed below its root.  Edge.

buildout installs a part anew when its options change, and removes what the part made
before.  A release is never one of these things: the recipe gives no path back, and
what it has sealed stays until ``pointsman release prune``.
"""

from __future__ import annotations

import logging
import tempfile
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from packaging.utils import canonicalize_name

from pointsman.errors import ConfigError, ReleaseError
from pointsman.recipes import commands, eggs, pins, wheels
from pointsman.recipes.failing import told
from pointsman.recipes.interpreters import interpreter
from pointsman.recipes.site import Site
from pointsman.recipes.working_set import needed, requirement
from pointsman.releases.layout import Release
from pointsman.releases.tree import Building

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from zc.buildout.buildout import Buildout, Options

    from pointsman.recipes.distributions import Distribution

log = logging.getLogger(__name__)


class Tree:
    """The recipe.  Options are those of ``docs/reference/recipes.md``."""

    def __init__(self, buildout: Buildout, name: str, options: Options) -> None:
        """Read the options; nothing is made and no egg is fetched yet."""
        self._buildout, self._options = buildout, options
        self._directory = Path(buildout["buildout"]["directory"])
        self._eggs = eggs.recipe(buildout, name, options)
        self._wanted = _lines(options.get("eggs", ""))
        self._scripts = options.get("scripts")
        self._entry_points = options.get("entry-points", "").split()
        self._etc = _lines(options.get("etc", ""))
        self._folders = _lines(options.get("folders", ""))
        self._root, self._name = options.get("root", ""), options.get("name", "")
        self._version = options.get("version", "")
        self._user = options.get("user", "")
        self._python = options.get("python", "")
        if not self._wanted:
            with told():
                raise ConfigError(f"[{name}] eggs: name what the release is made of")

    def install(self) -> tuple[str, ...]:
        """Build the release, unless it is there already; nothing belongs to buildout.

        Raises:
            UserError: it cannot be built; nothing of it is left.

        """
        with told():
            self._build()
        return ()

    update = install

    @cached_property
    def site(self) -> Site:
        """The release and its place, with what was left to its defaults.

        Raises:
            ReleaseError, ConfigError: it cannot be called so.

        """
        first = requirement(self._wanted[0]).name
        name = self._name or first
        version = self._version or self._version_of(first)
        root = self._root or f"../{name}-site"
        path = (self._directory / Path(root).expanduser()).resolve()
        python = interpreter(self._python)
        return Site(path, Release(name, version), python, self._user)

    @cached_property
    def _chosen(self) -> list[Distribution]:
        """What buildout has chosen; all of it is pinned."""
        chosen = self._eggs.working_set()[1]
        develop_eggs = Path(self._buildout["buildout"]["develop-eggs-directory"])
        found = needed(chosen, self._wanted, develop_eggs)
        versions = self._buildout["buildout"].get("versions", "versions")
        pinned: Mapping[str, str] = self._buildout.get(versions) or {}
        fetched = [(one.name, one.version) for one in found if one.project is None]
        missing = pins.unpinned(fetched, dict(pinned))
        if missing:
            raise ConfigError(
                f"what [{versions}] does not pin may be another one tomorrow; add:\n"
                + "\n".join(missing)
            )
        return found

    def _version_of(self, name: str) -> str:
        for each in self._chosen:
            if canonicalize_name(each.name) == canonicalize_name(name):
                return each.version
        raise ReleaseError(
            f"no egg tells the version of {name}; set the option version"
        )

    def _build(self) -> None:
        site = self.site
        log.info("Building %s in %s.", site.release, site.root.releases)
        release = site.release
        with Building(site.root.path, release.name, release.version) as building:
            self._fill(building)
            requires = {one.name: one.version for one in self._chosen}
            building.seal(requires=requires, python=site.python)
        site.prepare()
        if building.unchanged:
            log.info("%s is there already, with the same content.", site.tree)
        else:
            log.info("%s is sealed.", site.tree)

    def _fill(self, building: Building) -> None:
        with tempfile.TemporaryDirectory(prefix="pointsman-build-") as scratch:
            installed = list(self._installed(Path(scratch)))
            _put_distributions(building, installed)
        building.compile()
        self._put_scripts(building)
        for folder in self._etc:
            _put_folder(building, self._directory / folder, "etc")
        for folder in self._folders:
            _put_folder(building, self._directory / folder, Path(folder).name)

    def _installed(self, scratch: Path) -> Iterator[Distribution]:
        """Yield the distributions; those in development as they will be installed."""
        for number, each in enumerate(self._chosen):
            if each.project is None:
                yield each
            else:
                own = scratch / str(number)
                own.mkdir()
                yield replace(each, folder=wheels.unpacked(each.project, own))

    def _put_scripts(self, building: Building) -> None:
        wanted = [requirement(line).name for line in self._wanted]
        offered = commands.offered(building.path / "lib", wanted)
        for script in commands.chosen(offered, self._scripts, self._entry_points):
            text = script.text(self.site.python.path)
            building.write(f"bin/{script.name}", text, 0o555)


def _put_distributions(building: Building, found: Iterable[Distribution]) -> None:
    """Put all of them into one ``lib/``.

    Raises:
        ReleaseError: two of them have one file, with other content.

    """
    owners: dict[str, tuple[Path, str]] = {}
    for each in found:
        for source, relative in each.files():
            former, owner = owners.setdefault(relative, (source, each.name))
            if former is source:
                building.link_or_copy(source, f"lib/{relative}")
            elif former.read_bytes() != source.read_bytes():
                raise ReleaseError(
                    f"{owner} and {each.name} both have a {relative}, and not the "
                    "same one; one release cannot hold both"
                )
        building.write(f"lib/{each.metadata}/RECORD", each.record())


def _put_folder(building: Building, source: Path, target: str) -> None:
    if not source.is_dir():
        raise ConfigError(f"there is no folder {source} to put into the release")
    for path in sorted(source.rglob("*")):
        relative = path.relative_to(source)
        if path.is_file() and "__pycache__" not in relative.parts:
            building.link_or_copy(path, f"{target}/{relative}")


def _lines(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip()]
