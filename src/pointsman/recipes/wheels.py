"""A project of the buildout itself, as the distribution that it would be installed as.

Effects.  A develop egg only leads to the source; a tree must not.  So the project's own
backend makes a wheel of it, and the content of that is what goes into the tree.
"""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from typing import TYPE_CHECKING

from pointsman.errors import ReleaseError
from pointsman.recipes import hook

if TYPE_CHECKING:
    from pathlib import Path

_LAST_LINES = 20


def unpacked(project: Path, folder: Path) -> Path:
    """Return a folder below ``folder`` with what installing ``project`` would put.

    Nothing is written into the project.  What a former build may have left there,
    modules that are gone for one, does not get into the wheel.

    Raises:
        ReleaseError: the project cannot be built; with the end of what was said.

    """
    content = folder / "content"
    with zipfile.ZipFile(_wheel(project, folder)) as wheel:
        wheel.extractall(content)
    return content


def _wheel(project: Path, folder: Path) -> Path:
    done = subprocess.run(  # noqa: S603 - the operator's own project
        [sys.executable, "-I", hook.__file__, str(project), str(folder)],
        capture_output=True,
        text=True,
        check=False,
        env=_environment(folder),
    )
    found = list(folder.glob("*.whl"))
    if done.returncode or len(found) != 1:
        said = "\n".join((done.stdout + done.stderr).splitlines()[-_LAST_LINES:])
        raise ReleaseError(f"{project} cannot be built as a wheel:\n{said}")
    return found[0]


def _environment(folder: Path) -> dict[str, str]:
    """Return variables that send what setuptools leaves behind to ``folder``."""
    extra = folder / "setup.cfg"
    extra.write_text(
        f"[build]\nbuild_base = {folder / 'build'}\n[egg_info]\negg_base = {folder}\n",
        encoding="utf-8",
    )
    # setuptools reads this one besides the setup.cfg of the project.
    return {**os.environ, "DIST_EXTRA_CONFIG": str(extra)}
