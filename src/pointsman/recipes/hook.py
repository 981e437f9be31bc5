"""Runs as a program: has the backend of a project make a wheel of it (PEP 517).  Edge.

``python -I hook.py PROJECT FOLDER``, with the Python that runs the buildout: the
backend comes from there, pinned; pip would fetch whatever is the newest.
"""

from __future__ import annotations

import importlib
import os
import sys
import tomllib
from pathlib import Path
from typing import Any

_OLD_WAY = "setuptools.build_meta:__legacy__"  # for a setup.py alone


def backend(settings: Path) -> Any:
    """Return the backend that the project's pyproject.toml names.  In its folder."""
    text = settings.read_text("utf-8") if settings.exists() else ""
    table = tomllib.loads(text).get("build-system", {})
    sys.path[:0] = [str(Path(each).resolve()) for each in table.get("backend-path", ())]
    module, _, rest = table.get("build-backend", _OLD_WAY).partition(":")
    found: Any = importlib.import_module(module)
    for name in filter(None, rest.split(".")):
        found = getattr(found, name)
    return found


if __name__ == "__main__":
    os.chdir(sys.argv[1])
    backend(Path("pyproject.toml")).build_wheel(sys.argv[2])
