"""What a package that runs in the host's process cannot hold.  Decisions."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pointsman.archive.manifest import NO_WORKERS
from pointsman.archive.unfit import Unfit

if TYPE_CHECKING:
    from collections.abc import Iterable

_COMPILED = re.compile(r".*\.(so(\.\d+)*|pyd)\Z", re.DOTALL)
_BYTECODE = (".pyc", ".pyo")


def dropped(name: str) -> bool:
    """Tell whether a file is left out: bytecode, which is never used, and a Mac's own.

    Code is compiled from the artifact's sources, and kept by digest.
    """
    folders = name.split("/")[:-1]
    return "__pycache__" in folders or folders[:1] == ["__MACOSX"]


def check_contents(names: Iterable[str]) -> None:
    """Refuse compiled code.

    Raises:
        Unfit: which file it is, and what to do.

    """
    for name in names:
        if dropped(name):
            continue
        if _COMPILED.match(name):
            raise Unfit(
                f"{name} is compiled code, which a process can load once (see "
                '"extension modules" in docs/reference/isolation.md): the package '
                f"{NO_WORKERS}; install it into the host's environment"
            )
        if name.endswith(_BYTECODE):
            raise Unfit(
                f"{name} is bytecode without its source, which is never used; pack the "
                "source"
            )
