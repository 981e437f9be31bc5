"""The bytecode of a tree, so that nobody has to write to it later.  Effects."""

from __future__ import annotations

import marshal
import warnings
from importlib.util import MAGIC_NUMBER, cache_from_source, source_hash
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

# PEP 552: named by its source's hash, with which nobody compares it.
_UNCHECKED: Final = (0b01).to_bytes(4, "little")


def place(relative: str) -> str:
    """Return where this Python looks for the bytecode of a module (PEP 3147)."""
    return cache_from_source(relative, optimization="")


def compile_module(source: Path, relative: str, target: Path) -> bool:
    """Compile a module; False when it is none that this Python can compile.

    The bytecode is believed without a look at the module: a sealed tree does not
    change, and times are nothing that a copy keeps.  The path that it names is
    ``relative``; an import puts the real one in its place.

    Not by ``py_compile``: on a full disk, that leaves half a file and no error.

    Raises:
        OSError: the module cannot be read, or the bytecode not be written.

    """
    data = source.read_bytes()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # they are their authors' business
            code = compile(data, relative, "exec", dont_inherit=True, optimize=0)
    except (SyntaxError, ValueError, OverflowError, RecursionError, MemoryError):
        return False
    header = MAGIC_NUMBER + _UNCHECKED + source_hash(data)
    target.write_bytes(header + marshal.dumps(code))
    return True
