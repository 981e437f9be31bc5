"""What an archive directory wants changed, and when it is not believed.  Decisions.

The directory is the desired state.  What changed is told by comparing it with what
the ledger recorded of it, never with what serves: so a node proposes only what it
saw change, and two directories with the same content do not fight.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from pointsman.cluster import Entry, Sighting

_FEW = 2  # files that may be lost at once without a question


def changed(
    digests: Mapping[str, str], recorded: Mapping[str, Sighting]
) -> tuple[str, ...]:
    """Return the files whose content is not what was recorded."""
    return tuple(
        sorted(
            name
            for name, digest in digests.items()
            if name not in recorded or recorded[name].digest != digest
        )
    )


def owners(
    packages: Mapping[str, str], recorded: Mapping[str, Sighting]
) -> tuple[dict[str, str], dict[str, str]]:
    """Return which file has each package, and why each other file has not.

    ``packages`` maps the files that are there to their packages.  The file that is
    recorded with a package keeps it; else the first by name.
    """
    found: dict[str, str] = {}
    refused: dict[str, str] = {}

    def rank(name: str) -> tuple[bool, str]:
        known = recorded.get(name)
        return (known is None or known.package != packages[name], name)

    for name in sorted(packages, key=rank):
        package = packages[name]
        owner = found.setdefault(package, name)
        if owner != name:
            refused[name] = (
                f"{name} and {owner} are both the package {package}, and {owner} "
                "keeps it; take one of them away"
            )
    return found, refused


def newest(
    packages: Mapping[str, str], modified: Mapping[str, int]
) -> tuple[dict[str, str], dict[str, str]]:
    """Return which file has each package where the newest one wins, as `owners`."""
    found: dict[str, str] = {}
    refused: dict[str, str] = {}
    for name in sorted(packages, key=lambda n: (modified[n], n), reverse=True):
        package = packages[name]
        owner = found.setdefault(package, name)
        if owner != name:
            refused[name] = (
                f"{name} and {owner} are both the package {package}; {owner} is the "
                "newer file and was taken"
            )
    return found, refused


def is_another(recorded: Sighting | None, digest: str, package: str) -> bool:
    """Tell whether a file is another package now than the recorded one.

    Not if its content is as recorded: then it failed to become another package, and
    stands for the one that it was.
    """
    if recorded is None or not package:
        return False
    return recorded.package not in ("", package) and recorded.digest != digest


def lost(
    gone: Collection[Sighting],
    there: Collection[str],
    serving: Mapping[str, Entry],
) -> tuple[str, ...]:
    """Return the packages to take away with files that are gone.

    Not those that another file of the directory has, that serve no more, or that
    another content of another source has replaced by now: the file of another
    directory may well lie there still.  ``there`` are the packages of the files that
    are there.
    """
    return tuple(
        sorted(
            {
                sighting.package
                for sighting in gone
                if sighting.package in serving
                and sighting.package not in there
                and _serves(sighting, serving[sighting.package])
            }
        )
    )


def _serves(sighting: Sighting, serving: Entry) -> bool:
    """Tell whether what serves is from this directory, or is the content seen in it.

    Directories of several machines have the same content, and what serves names
    the one that was the first to have it.
    """
    if serving.source_kind != "archives":
        return False
    location = serving.source.rpartition("/")[0]
    here = location == f"archives:{sighting.location}"
    return here or serving.digest == sighting.digest


def doubt(
    lost: Collection[str],
    known: Collection[str],
    *,
    empty: str,
    elsewhere: bool,
) -> str:
    """Say why a directory that has lost packages is not believed; "" if it is.

    ``known`` are the packages that it had.  ``empty`` says so where nothing at all is
    in it; ``elsewhere``: it lies on another device than before.
    """
    if not lost:
        return ""
    if empty:
        return empty
    if elsewhere:
        return "it lies on another device than before, and not all is there"
    if len(lost) > _FEW and len(lost) * 2 > len(known):
        return f"it has lost {len(lost)} of {len(known)} packages at once"
    return ""


def held(reason: str, lost: Collection[str]) -> str:
    """Return the sentence for a directory that is held."""
    names = ", ".join(sorted(lost)[:10]) + (", ..." if len(lost) > 10 else "")  # noqa: PLR2004
    return (
        f"held: {reason}; {names} would be taken away.  Bring it back, or confirm with "
        "`pointsman reload --confirm-removals`"
    )
