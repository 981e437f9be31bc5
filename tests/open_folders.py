"""Folders of pytest that other users can reach."""

from __future__ import annotations

import tempfile
from pathlib import Path


def let_everybody_in(folder: Path) -> None:
    """Open a folder, and those above it that pytest has made for one user only."""
    top = Path(tempfile.gettempdir())
    for one in (folder, *folder.parents):
        if one == top:
            return
        one.chmod(0o755)
