"""``check``: everything that a start would do, in a process that serves nothing.

Effects.  What is laid out goes to a temporary folder; what prints goes to standard
error.
"""

from __future__ import annotations

import contextlib
import logging
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from pointsman.control.services import documents_of
from pointsman.errors import did_you_mean
from pointsman.ledger import has_ledger, ledger_url
from pointsman.node import Node

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pointsman.cli.sections import Section
    from pointsman.model import Report
    from pointsman.settings import Settings


@dataclass(frozen=True, slots=True)
class Checked:
    """What became of one section; ``services`` as the control surface tells them."""

    section: str
    report: Report
    services: tuple[dict[str, Any], ...]
    warnings: tuple[str, ...]


def check(section: Section, *, deployed: bool = True) -> Checked:
    """Scan, rehearse and load what the section wants; then let go of all.

    With ``deployed``, what its ledger holds too.
    """
    with silence(), TemporaryDirectory(prefix="pointsman-check-") as work:
        # As a start does: services may want to put their files there.
        section.settings.work_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        settings = replace(
            section.settings,
            rehearse=True,
            keep_warm=0.0,
            work_dir=Path(work),
            ledger_url=_ledger(section.settings) if deployed else "",
        )
        node = Node(settings, section.global_conf, starts=False)
        try:
            with contextlib.redirect_stdout(sys.stderr):
                report = node.reload()
            found = tuple(documents_of(node))
        finally:
            node.close()
    # What failed offers no services: nothing can be said of their settings.
    warnings = () if report.failed else _warnings(section, found)
    return Checked(section.name, report, found, warnings)


@contextlib.contextmanager
def silence() -> Iterator[None]:
    """Keep our own log lines back: the report tells the same."""
    log, nothing = logging.getLogger("pointsman"), logging.NullHandler()
    before = log.propagate
    log.addHandler(nothing)
    log.propagate = False
    try:
        yield
    finally:
        log.removeHandler(nothing)
        log.propagate = before


def _ledger(settings: Settings) -> str:
    """Return the ledger of the next start, which is only read; "" if there is none.

    What is deployed, and who has which name and path, is known from it.
    """
    return ledger_url(settings) if has_ledger(settings) else ""


def _warnings(section: Section, found: tuple[dict[str, Any], ...]) -> tuple[str, ...]:
    names = [str(one["name"]) for one in found]
    return tuple(
        f"service.{name}.{next(iter(keys))}: there is no service {name}"
        f"{did_you_mean(name, names)}"
        for name, keys in section.settings.services.items()
        if name not in names
    )
