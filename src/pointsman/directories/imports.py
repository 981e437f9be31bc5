"""Who of several packages imports from whom, told without running them.  Decisions."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from pointsman.namespace.table import tops

if TYPE_CHECKING:
    from collections.abc import Mapping


def imports_among(
    packages: Mapping[str, Mapping[str, bytes]],
) -> dict[str, frozenset[str]]:
    """Return which of these packages each of them imports from.

    ``packages`` maps names to files.  What a package imports by other means than
    import statements is not seen.
    """
    owners = {top: name for name, files in packages.items() for top in tops(files)}
    found = {}
    for name, files in packages.items():
        wanted = {top for path, code in files.items() for top in _imported(path, code)}
        found[name] = frozenset(owners[t] for t in wanted & owners.keys()) - {name}
    return found


def _imported(path: str, code: bytes) -> frozenset[str]:
    """Return the first parts of the names that a module imports, absolutely."""
    if not path.endswith(".py"):
        return frozenset()
    try:
        tree = ast.parse(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return frozenset()
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module)
    return frozenset(name.partition(".")[0] for name in names)
