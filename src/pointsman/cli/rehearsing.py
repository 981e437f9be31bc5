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

from pointsman.control.application import services
from pointsman.errors import did_you_mean
from pointsman.node import Node

if TYPE_CHECKING:
    from pointsman.cli.sections import Section
    from pointsman.model import Report


@dataclass(frozen=True, slots=True)
class Checked:
    """What became of one section; ``services`` as the control surface tells them."""

    section: str
    report: Report
    services: tuple[dict[str, Any], ...]
    warnings: tuple[str, ...]


def check(section: Section) -> Checked:
    """Scan, rehearse and load what the section wants; then let go of all."""
    logging.getLogger("pointsman").addHandler(logging.NullHandler())
    logging.getLogger("pointsman").propagate = False  # the report tells it
    with TemporaryDirectory(prefix="pointsman-check-") as work:
        settings = replace(section.settings, rehearse=True, work_dir=Path(work))
        node = Node(settings, section.global_conf)
        try:
            with contextlib.redirect_stdout(sys.stderr):
                report = node.reload()
            found = tuple(services(node))
        finally:
            node.close()
    return Checked(section.name, report, found, _warnings(section, found))


def _warnings(section: Section, found: tuple[dict[str, Any], ...]) -> tuple[str, ...]:
    names = [str(one["name"]) for one in found]
    return tuple(
        f"service.{name}.{next(iter(keys))}: there is no service {name}"
        f"{did_you_mean(name, names)}"
        for name, keys in section.settings.services.items()
        if name not in names
    )
