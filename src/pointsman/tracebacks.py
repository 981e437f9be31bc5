"""Tracebacks as the author of a service wants to read them.  Decisions.

``origins`` maps the folder where one version is laid out to what its author knows:
the file that it was read from, or the folder above the package's own.
"""

from __future__ import annotations

import re
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_OURS = str(Path(__file__).parent)
_INTERNAL = (_OURS, "<frozen importlib")
_MODULE = re.compile(r"(.*\.py)(?: \([^()]*\))?\Z", re.DOTALL)  # "crm.py (upload)"


def text(error: BaseException, origins: Mapping[str, str]) -> str:
    """Return the traceback without the frames of this program and of importlib."""
    told = traceback.TracebackException.from_exception(error)
    _clean(told)
    return known_as("".join(told.format()), origins)


def reason(error: BaseException, origins: Mapping[str, str]) -> str:
    """Return the last line of a traceback: the kind of error, and what it says."""
    lines = traceback.format_exception_only(error)
    last = next((line for line in reversed(lines) if line.strip()), "")
    return known_as(last.strip() or type(error).__name__, origins)


def crash(output: str, origins: Mapping[str, str]) -> str:
    """Return what ``faulthandler`` and the code itself have printed."""
    lines = output.splitlines(keepends=True)
    kept = [
        line
        for line in lines
        if not (line.startswith('  File "') and _is_internal(line[8:]))
    ]
    return known_as("".join(kept), origins)


def known_as(told: str, origins: Mapping[str, str]) -> str:
    """Return a text with all files as their authors know them."""
    for root, origin in origins.items():
        module = _MODULE.match(origin)
        if module:
            told = told.replace(f"{root}/{Path(module[1]).name}", origin)
        else:
            told = told.replace(root, origin)
    return told


def _clean(told: traceback.TracebackException | None) -> None:
    if told is None:
        return
    kept = [frame for frame in told.stack if not _is_internal(frame.filename)]
    names_its_file = hasattr(told, "filename")  # a SyntaxError
    if kept or names_its_file:
        told.stack[:] = kept
    _clean(told.__cause__)
    _clean(told.__context__)


def _is_internal(file: str) -> bool:
    return file.startswith((*_INTERNAL, "<string>"))
