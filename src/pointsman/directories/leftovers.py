"""What a process that is gone has left of a batch.  Decisions."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from pointsman.cluster import Sighting
from pointsman.directories.desk import Batch, Part

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from pointsman.cluster import Entry, Generation


def leftover(
    generation: Generation,
    folder: Path,
    recorded: Iterable[Sighting],
    serving: Mapping[str, Entry],
    source: Callable[[str], str],
) -> Batch | None:
    """Return what a generation was about and is still wanted; None if nothing is.

    ``recorded`` is what was last recorded of the ``folder``: a file that has changed
    since is none of its business any more.  ``source`` tells what a file's
    `Entry.source` is.
    """
    known = {sighting.file: sighting for sighting in recorded}
    parts: dict[str, Part] = {}
    for change in generation.changes:
        entry, now = change.entry, serving.get(change.package)
        if entry is not None:
            part = _addition(change.package, entry, now, known.get(entry.file), folder)
            if part is not None:
                parts[change.package] = part
    became = {part.file: package for package, part in parts.items()}
    for change in generation.changes:
        if change.entry is None:
            now = serving.get(change.package)
            part = _removal(change.package, now, known, source, became)
            if part is not None:
                parts[change.package] = part
    return Batch(parts, attempt=2) if parts else None


def _addition(
    package: str,
    entry: Entry,
    serving: Entry | None,
    seen: Sighting | None,
    folder: Path,
) -> Part | None:
    if serving is not None and serving.digest == entry.digest:
        return None
    if seen is None or seen.digest != entry.digest:
        return None
    # What failed to become a package is recorded as the one that it was.
    seen = replace(seen, package=package)
    return Part(package, entry.file, entry, folder / entry.file, seen)


def _removal(
    package: str,
    serving: Entry | None,
    known: Mapping[str, Sighting],
    source: Callable[[str], str],
    became: Mapping[str, str],
) -> Part | None:
    """Return what a file was: one that is gone, or that ``became`` another package."""
    if serving is None:
        return None
    file = serving.source.rpartition("/")[2]
    if serving.source != source(file):
        return None
    location = serving.source.rpartition("/")[0].partition(":")[2]
    was = Sighting(location, file, serving.digest, package)
    if file in became:
        return Part(package, file, was=was, successor=became[file])
    if file in known:
        return None
    return Part(package, file, sighting=Sighting(location, file), was=was)
