"""``deploy --watch DIR``: each save is deployed, until Ctrl-C.  Edge."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from watchfiles import watch as changes_of

from pointsman.cli import tables, verdicts
from pointsman.cli.hosts import UnreachableError
from pointsman.cli.progress import Progress
from pointsman.cli.reaching import reached
from pointsman.cli.units import Units, opened
from pointsman.errors import Error, LedgerError, Refused

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from pointsman.cli.reached import Change, Document, Reached
    from pointsman.cli.units import Unit
    from pointsman.cli.where import Where

# Milliseconds: saves that come together are one deployment; and events may get lost,
# so everything is looked at now and then.
_DEBOUNCE, _STEP, _LOOK = 200, 30, 1000


def watch(folder: Path, where: Where, change: Change, *, as_json: bool) -> int:
    """Deploy what is in the folder, then whatever is saved; return at Ctrl-C."""
    try:
        with reached(where) as cluster:
            watching = Watching(folder, cluster, change, as_json=as_json)
            watching.look()
            for _ in changes_of(
                folder,
                debounce=_DEBOUNCE,
                step=_STEP,
                rust_timeout=_LOOK,
                yield_on_timeout=True,
            ):
                watching.look()
    except KeyboardInterrupt:
        pass
    return 0


class Watching:
    """Knows what was deployed of a folder.  One thread."""

    def __init__(
        self, folder: Path, cluster: Reached, change: Change, *, as_json: bool
    ) -> None:
        """Deploy nothing yet."""
        self._units = Units(folder)
        self._cluster = cluster
        self._change = change
        self._as_json = as_json
        self._said = ""
        tables.note(f"every save in {folder} is deployed; Ctrl-C ends it")

    def look(self) -> None:
        """Deploy what has changed since the last look."""
        units: Sequence[Unit] = self._units.changed()
        while units:
            units = self._attempt(units)

    def _attempt(self, units: Sequence[Unit]) -> Sequence[Unit]:
        """Deploy all of these; return those to be tried without the ones that fail."""
        begun = time.perf_counter()
        try:
            verdict = self._deployed(units)
        except (UnreachableError, LedgerError) as error:
            self._units.forget(units)  # they are tried again with the next look
            self._tell_once(str(error))
            return ()
        except Error as error:
            if len(units) > 1:
                return self._each(units)
            self._refused(units[0], error)
            return ()
        self._said = ""
        took = (time.perf_counter() - begun) * 1000
        self._tell(verdict, took)
        return _without_failed(units, verdict)

    def _each(self, units: Sequence[Unit]) -> Sequence[Unit]:
        """Deploy one after the other: which of them was refused is not known."""
        for unit in units:
            self._attempt([unit])
        return ()

    def _deployed(self, units: Sequence[Unit]) -> Document:
        with opened(units) as uploads, Progress() as progress:
            return self._cluster.deploy(uploads, (), self._change, progress)

    # TELLING

    def _tell(self, verdict: Document, took: float) -> None:
        if self._as_json:
            tables.print_json_line({**verdict, "took_ms": round(took, 1)})
            return
        if verdict["unchanged"]:
            return
        names = ", ".join(change["package"] for change in verdict["changes"])
        number, after = verdict["generation"], tables.milliseconds(took)
        if verdicts.is_refused(verdict):
            _line(f"generation {number} failed after {after}: {names}", "bold red")
            verdicts.print_failures(verdict)
            if not any(vote["failures"] for vote in verdict["votes"]):
                tables.say(verdict["reason"], "red")
        else:
            state = verdict["state"]
            _line(f"generation {number} {state} after {after}: {names}", "green")

    def _refused(self, unit: Unit, error: Error) -> None:
        told = f"{error.title}: {error}" if isinstance(error, Refused) else str(error)
        if self._as_json:
            tables.print_json_line({"file": unit.name, "error": told})
        else:
            _line(f"{unit.name}: {told}", "bold red")

    def _tell_once(self, sentence: str) -> None:
        if sentence != self._said:
            self._said = sentence
            tables.note(f"{sentence}; trying again")


def _line(text: str, style: str) -> None:
    tables.say(f"{time.strftime('%H:%M:%S')} {text}", style)


def _without_failed(units: Sequence[Unit], verdict: Document) -> Sequence[Unit]:
    """Return the units that did nothing wrong, if some of several did."""
    if not verdicts.is_refused(verdict) or len(units) == 1:
        return ()
    failed = {one["package"] for vote in verdict["votes"] for one in vote["failures"]}
    files = {
        change["entry"]["file"]
        for change in verdict["changes"]
        if change["entry"] and change["package"] in failed
    }
    kept = [unit for unit in units if unit.name not in files]
    return kept if len(kept) < len(units) else ()
