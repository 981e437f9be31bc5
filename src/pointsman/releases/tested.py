"""Which content of a project has passed all of its tests.  Effects.

A plugin of pytest: ``addopts = ["-p", "pointsman.releases.tested"]`` in the project's
settings of pytest.  A whole run, one that leaves nothing out, writes down the digest
of what it tested; it takes an older record back first, so that a red run leaves none.
A run of some tests changes nothing.  Only tested content is published.
"""

from __future__ import annotations

import contextlib
import json
import platform
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from pointsman import durable
from pointsman.errors import ReleaseError
from pointsman.releases.checkout import RECORD, Checkout, digest

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

# Options of pytest and of its own plugins that leave tests out, or run none.
_PARTIAL = (
    *("keyword", "markexpr", "deselect", "ignore", "ignore_glob", "pyargs"),
    *("lf", "stepwise", "collectonly", "setuponly", "setupplan", "usepdb"),
)


def read(folder: Path) -> str:
    """Return the digest of the content that passed last, or "" when none did."""
    with contextlib.suppress(OSError, ValueError, TypeError, KeyError):
        found = json.loads((folder / RECORD).read_text("utf-8"))
        return str(found["digest"])
    return ""


def pytest_configure(config: Any) -> None:
    """Watch a whole run; see the module."""
    if not hasattr(config, "workerinput"):  # of a process of pytest-xdist
        config.pluginmanager.register(_Run(config), "pointsman-tested")


class _Run:
    """One run of pytest, in its own thread."""

    def __init__(self, config: Any) -> None:
        self._folder: Path = config.rootpath
        self._whole = _is_whole(config)
        self._digest = ""
        self._said = ""

    def pytest_sessionstart(self) -> None:
        """Take the record of an earlier run back."""
        if self._whole:
            durable.remove(self._folder / RECORD)
            self._digest = self._content()

    def pytest_deselected(self, items: Sequence[Any]) -> None:
        """Learn that some other plugin has left tests out."""
        self._whole = self._whole and not items

    def pytest_sessionfinish(self, session: Any, exitstatus: int) -> None:
        """Write the record, when everything was run, passed, and stayed as it was."""
        if not (self._whole and self._digest and exitstatus == 0):
            return
        if self._content() != self._digest:
            self._said = "not recorded: files changed while the tests ran"
            return
        record = {
            "format": 1,
            "digest": self._digest,
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
            "tests": session.testscollected,
            "python": platform.python_version(),
        }
        durable.replace(self._folder / RECORD, json.dumps(record, indent=1) + "\n")
        self._said = f"recorded: this content can be released ({self._digest[:12]})"

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """Say whether there is a record now."""
        if self._said:
            terminalreporter.write_line(self._said)

    def _content(self) -> str:
        """Return the digest of what git knows; "" where there is no git."""
        try:
            return digest(Checkout(self._folder).content())
        except ReleaseError:
            return ""


def _is_whole(config: Any) -> bool:
    """Say whether the command line asks for all tests of the project."""
    if any(config.getoption(name, None) for name in _PARTIAL):
        return False
    source: str = config.args_source.name
    from_root: bool = config.invocation_params.dir == config.rootpath
    return source == "TESTPATHS" or (source == "INVOCATION_DIR" and from_root)
