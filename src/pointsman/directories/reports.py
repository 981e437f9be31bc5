"""What a look at a directory came to.  Values."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from pointsman.model import Outcome, Problem


@dataclass(frozen=True, slots=True)
class DirectoryReport:
    """What one scan of a directory found and did.

    ``kind`` is pick-up or archives.  ``outcomes`` are the packages that were
    deployed, taken away or refused, not those that are as they were.
    ``generations`` are those that it proposed.  ``held`` says why nothing is taken
    away; ``elsewhere``, why this process did not look.
    """

    path: Path
    kind: str
    outcomes: tuple[Outcome, ...] = ()
    problems: tuple[Problem, ...] = ()
    generations: tuple[int, ...] = ()
    held: str = ""
    elsewhere: str = ""

    @property
    def failed(self) -> bool:
        """Tell whether anything was refused or could not be looked at."""
        refused = any(outcome.status == "failed" for outcome in self.outcomes)
        return refused or bool(self.problems) or bool(self.held)


@dataclass(slots=True)
class Notes:
    """What is written down while a directory is looked at, for its report."""

    outcomes: dict[str, Outcome] = field(default_factory=dict)
    generations: list[int] = field(default_factory=list)

    def clear(self) -> None:
        """Begin another report."""
        self.outcomes = {}
        self.generations = []
