"""``recipe = pointsman:config``: renders the templates of an ``etc/``.  Edge.

What it makes lies below buildout's ``parts/`` and may be made again at any time; the
part ``pointsman:tree`` takes it into the release.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from pointsman.errors import ConfigError
from pointsman.recipes import templates
from pointsman.recipes.failing import told

if TYPE_CHECKING:
    from zc.buildout.buildout import Buildout, Options

_TEMPLATE = ".in"
# Those of this recipe and of buildout; every other option is a variable of templates.
_OWN = {"recipe", "templates", "release", "location", "__buildout_signature__"}


class Config:
    """The recipe.  Options are those of ``docs/reference/recipes.md``."""

    def __init__(self, buildout: Buildout, name: str, options: Options) -> None:
        """Read the options; the templates and the release are looked at later."""
        self._buildout = buildout
        directory = Path(buildout["buildout"]["directory"])
        options.setdefault(
            "location", f"{buildout['buildout']['parts-directory']}/{name}"
        )
        self._location = Path(options["location"])
        self._templates = directory / options.get("templates", "etc")
        self._release = options.get("release", "release")
        self._own = {key: options[key] for key in options if key not in _OWN}

    def install(self) -> tuple[str, ...]:
        """Render everything anew; return the folder, which buildout may remove.

        Raises:
            UserError: a template cannot be read or filled in.

        """
        with told():
            rendered = self._rendered()
        shutil.rmtree(self._location, ignore_errors=True)
        for relative, text in rendered.items():
            path = self._location / relative
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        return (str(self._location),)

    update = install

    def _rendered(self) -> dict[Path, str]:
        """Return the content of each file; without ``.in`` in its name."""
        variables = self._variables()
        found = {}
        for path in sorted(self._templates.rglob("*")):
            relative = path.relative_to(self._templates)
            if not path.is_file() or relative.name.startswith("."):
                continue
            text = _read(path)
            if path.suffix == _TEMPLATE:
                relative = relative.with_suffix("")
                text = templates.render(text, variables, self._option, str(path))
            if relative in found:
                message = f"{self._templates} has {relative} twice, once as a template"
                raise ConfigError(message)
            found[relative] = text
        if not found:
            raise ConfigError(f"there are no files in {self._templates} to render")
        return found

    def _variables(self) -> dict[str, str]:
        """Return what the release says, and what stands in this part; that wins."""
        if self._release not in self._buildout:
            raise ConfigError(
                f"release = {self._release}: the buildout has no such part"
            )
        recipe = self._buildout[self._release].recipe
        return {**recipe.site.variables(), **self._own}

    def _option(self, section: str, key: str) -> str | None:
        options = self._buildout.get(section)
        return None if options is None else options.get(key)


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"the template {path} cannot be read: {error}") from error
