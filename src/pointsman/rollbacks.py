"""Where a package can be taken back to.  Decisions."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pointsman.errors import Refused

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pointsman.cluster import Contents, Entry

_DIGEST = re.compile(r"(?:sha256:)?([0-9a-f]{6,64})\Z")
_NUMBER = re.compile(r"[0-9]{1,9}\Z", re.ASCII)


@dataclass(frozen=True, slots=True)
class Target:
    """What a package shall be again; without ``entry`` it was not there."""

    generation: int
    entry: Entry | None


def previous(package: str, current: Contents, earlier: Iterable[Contents]) -> Target:
    """Return where a rollback without a target leads.

    ``earlier`` are the formerly active generations, the newest first; no more of
    them are taken than are needed.

    Raises:
        Refused: 404, it was in none of them; 409, it was not there before.

    """
    now = current.entries.get(package)
    absent: int | None = None
    for contents in earlier:
        entry = contents.entries.get(package)
        if entry is None:
            absent = contents.number if absent is None else absent
        elif now is None or entry.digest != now.digest:
            if now is None or absent is None:
                return Target(contents.number, entry)
            raise _was_absent(package, absent, contents.number)
    if now is None:
        raise _never(package)
    if absent is None:
        detail = (
            f"{package}: no generation that is still kept had another artifact of it"
        )
        raise Refused(409, "Conflict", detail)
    raise _was_absent(package, absent, None)


def _was_absent(package: str, absent: int, earlier: int | None) -> Refused:
    older = f"; generation {earlier} had another artifact of it" if earlier else ""
    detail = (
        f"{package} was not there before: generation {absent} did not have it{older}. "
        f"Undeploy it, or say where to go back to"
    )
    return Refused(409, "Conflict", detail)


def _never(package: str) -> Refused:
    detail = f"no generation that is still kept has a package {package!r}"
    return Refused(404, "Not Found", detail)


def by_digest(package: str, prefix: str, known: Iterable[Contents]) -> Target:
    """Return the artifact of a package whose digest begins with ``prefix``.

    Raises:
        Refused: 404, there is none; 409, there are several.

    """
    found: dict[str, Target] = {}
    for contents in known:
        entry = contents.entries.get(package)
        if entry is not None and entry.digest.startswith(prefix):
            found.setdefault(entry.digest, Target(contents.number, entry))
    if not found:
        detail = f"{package}: no artifact that is still kept begins with {prefix}"
        raise Refused(404, "Not Found", detail)
    if len(found) > 1:
        several = ", ".join(sorted(found))
        detail = f"{package}: {prefix} can be any of {several}"
        raise Refused(409, "Conflict", detail)
    return next(iter(found.values()))


def parsed(to: int | str) -> int | str:
    """Return a generation's number, or the beginning of a digest in lower case.

    Digits are a number up to nine of them, and are a digest with ``sha256:``.

    Raises:
        Refused: 400, it is neither.

    """
    if isinstance(to, int):
        return to
    text = to.strip().lower()
    if _NUMBER.match(text):
        return int(text)
    match = _DIGEST.match(text)
    if match is None:
        detail = (
            f"{to[:80]!a} is neither the number of a generation nor the "
            "beginning of a digest, of 6 hex digits or more"
        )
        raise Refused(400, "Bad Request", detail)
    return match[1]
