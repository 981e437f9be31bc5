"""``recipe = pointsman:zeo``: a zeo.conf, and ``bin/NAME`` that runs its server.  Edge.

The data are no part of the part: buildout removes neither them nor the folder that
they are in, and the server goes on while the part is built anew.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pointsman.recipes import eggs
from pointsman.recipes.failing import told
from pointsman.zeo import rendering
from pointsman.zeo.rendering import Wanted

if TYPE_CHECKING:
    from zc.buildout.buildout import Buildout, Options

_ADDRESS = "localhost:8100"


class Zeo:
    """The recipe.  Options are those of ``docs/reference/recipes.md``."""

    def __init__(self, buildout: Buildout, name: str, options: Options) -> None:
        """Read the options; ``conf`` and ``uri`` are there for other sections.

        Raises:
            UserError: an option cannot be written into a zeo.conf.

        """
        own = buildout["buildout"]
        options.setdefault("eggs", "pointsman[zodb]")
        options.setdefault("var", f"{own['directory']}/var/{name}")
        options.setdefault("location", f"{own['parts-directory']}/{name}")
        self._var = Path(options["var"])
        self._conf = Path(options["location"]) / "zeo.conf"
        with told():
            self._wanted = _wanted(options, self._var)
        options["conf"] = str(self._conf)
        options["uri"] = rendering.uri(self._wanted)
        options["scripts"] = f"zeo={name}"
        options["arguments"] = repr(str(self._conf))
        self._scripts: Any = eggs.recipe(buildout, name, options, "scripts")

    def install(self) -> tuple[str, ...]:
        """Write both anew; return what buildout may remove: never the data."""
        wanted = self._wanted
        kept = (wanted.path, wanted.pid_file, wanted.log_file)
        for folder in {self._var, *(Path(path).parent for path in kept)}:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._conf.parent.mkdir(parents=True, exist_ok=True)
        self._conf.write_text(rendering.text(wanted), encoding="utf-8")
        return (str(self._conf.parent), *self._scripts.install())

    update = install


def _wanted(options: Options, var: Path) -> Wanted:
    """Return what the options say; they are called as in a zeo.conf."""
    more = ("storage", "log-level", "invalidation-queue-size", "transaction-timeout")
    return Wanted(
        address=options.get("address", _ADDRESS),
        path=options.get("path", str(var / "Data.fs")),
        blob_dir=options.get("blob-dir", str(var / "blobs")),
        pid_file=options.get("pid-file", str(var / "zeo.pid")),
        log_file=options.get("log-file", str(var / "zeo.log")),
        **{key.replace("-", "_"): options[key] for key in more if key in options},
    )
