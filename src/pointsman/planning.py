"""What a deployment changes, whom it concerns, and what to take back.  Decisions.

The order that everything here serves: start first, stop later.  What is new is
loaded, checked and started beside what serves; only then is the table switched;
only then does the old one leave.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from pointsman.model import Kind
from pointsman.routing import mount_key

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from pointsman.model import Mount, Package, Scan

Imports = "Mapping[str, Collection[str]]"


def changes(active: Mapping[str, Package], scan: Scan) -> dict[str, Package | None]:
    """Return what a scan wants different; None is a package that shall go.

    A package that the scan has a problem with, or that is from a folder that could
    not be read, stays as it is.
    """
    wanted = {package.name: package for package in scan.packages}
    held = {problem.package for problem in scan.problems}
    folders = tuple(p.folder for p in scan.problems if p.folder)
    changed: dict[str, Package | None] = {
        name: package
        for name, package in wanted.items()
        if name not in held and not (name in active and active[name].same_as(package))
    }
    for name, package in active.items():
        lost = _inside(package, folders)
        if name not in wanted and name not in held and scan.complete and not lost:
            changed[name] = None
    return changed


def moves(
    active: Mapping[str, Package],
    before: Collection[str],
    after: Mapping[str, Package],
    static: Mapping[str, Package],
) -> dict[str, Package | None]:
    """Return what goes from one generation to the next on a node.

    ``before`` are the names of the generation that serves; ``after`` are the
    packages of the next.  What leaves the generation gives way to the static
    package of that name, which it had shadowed, or to nothing.
    """
    changed: dict[str, Package | None] = {
        name: package
        for name, package in after.items()
        if (serving := active.get(name)) is not package
        and not (serving is not None and serving.same_as(package))
    }
    for name in set(before) - after.keys():
        package = static.get(name)
        if package is not None or name in active:
            changed[name] = package
    return changed


def told(active: Mapping[str, Package], moved: Mapping[str, Package | None]) -> str:
    """Return one line for the log: what is added, updated, removed."""
    words: dict[str, list[str]] = {}
    for name, package in sorted(moved.items()):
        word = "updated" if name in active else "added"
        words.setdefault("removed" if package is None else word, []).append(name)
    return "; ".join(f"{word} {', '.join(names)}" for word, names in words.items())


def combined(static: Scan, hot: Mapping[str, Package]) -> Scan:
    """Return one scan of all: a generation's packages win over static ones."""
    kept = tuple(p for p in static.packages if p.name not in hot)
    problems = tuple(p for p in static.problems if p.package not in hot)
    return replace(static, packages=(*hot.values(), *kept), problems=problems)


def shadowed(static: Scan, hot: Collection[str]) -> tuple[str, ...]:
    """Return the static packages whose name a generation has."""
    return tuple(sorted(p.name for p in static.packages if p.name in hot))


def owned_twice(
    package: Package, tops: Iterable[str], owned: Mapping[str, Package]
) -> str:
    """Return why a package cannot come beside the owners of all other modules.

    ``tops`` are its top-level module names; ``owned`` tells whose each other is.
    """
    for top in tops:
        other = owned.get(top)
        if other is not None and other.name != package.name:
            return (
                f"{package.artifact.origin}: the module name {top!r} belongs to the "
                f"package {other.name} ({other.artifact.origin}); rename yours, since "
                "one name has one owner"
            )
    return ""


def needed(
    name: str, changed: Collection[str], imports: Mapping[str, Collection[str]]
) -> str:
    """Return why a package cannot go: others import from it and stay as they are."""
    users = sorted(n for n, used in imports.items() if name in used)
    staying = [n for n in users if n not in changed and n != name]
    if not staying:
        return ""
    return (
        f"{name} cannot go: {', '.join(staying)} would miss it; take that away with "
        "it (cascade), or change it first"
    )


def _inside(package: Package, folders: tuple[str, ...]) -> bool:
    home = package.artifact.origin
    if package.artifact.kind is Kind.TREE:  # its origin is the folder above
        home = f"{home}/{package.name}"
    return any(home == f or home.startswith(f.rstrip("/") + "/") for f in folders)


def affected(
    changed: Iterable[str], imports: Mapping[str, Collection[str]]
) -> frozenset[str]:
    """Return the changed packages and all that import from them, at any distance."""
    importers: dict[str, set[str]] = {}
    for name, imported in imports.items():
        for other in imported:
            importers.setdefault(other, set()).add(name)
    found: set[str] = set()
    todo = list(changed)
    while todo:
        name = todo.pop()
        if name not in found:
            found.add(name)
            todo.extend(importers.get(name, ()))
    return frozenset(found)


def reached(name: str, imports: Mapping[str, Collection[str]]) -> frozenset[str]:
    """Return a package and all that it imports from, at any distance."""
    found: set[str] = set()
    todo = [name]
    while todo:
        one = todo.pop()
        if one not in found:
            found.add(one)
            todo.extend(imports.get(one, ()))
    return frozenset(found)


def retracted(
    failed: Collection[str],
    changed: Collection[str],
    imports: Mapping[str, Collection[str]],
) -> dict[str, str]:
    """Return the changes to take back, and because of which failed package each.

    A changed package that fails takes back its own change.  One that did not
    change, and fails when it is loaded with what did, takes those changes back:
    it goes on serving, so they cannot.
    """
    back = {name: name for name in failed if name in changed}
    for name in failed:
        if name not in changed:
            for cause in reached(name, imports) & set(changed):
                back.setdefault(cause, name)
    if not back:  # no edge leads from the failure to a change: take all back
        back = {name: next(iter(failed)) for name in changed}
    return back


def in_order_of_claim(
    mounts: Iterable[Mount], claims: Mapping[str, str], serving: Collection[str]
) -> list[Mount]:
    """Return who comes first where two want one name or path.

    What is serving; then what had it when the last process served (``claims``:
    service name or path to package), so that a restart changes nothing; then the
    order of the sources.
    """

    def rank(mount: Mount) -> int:
        if mount.package in serving:
            return 0
        wanted = (mount.service, mount_key(mount.path))
        return 1 if all(claims.get(key) == mount.package for key in wanted) else 2

    return sorted(mounts, key=rank)


def claimed(mounts: Iterable[Mount]) -> dict[str, str]:
    """Return which package has each service name and each path."""
    return {
        key: mount.package
        for mount in mounts
        for key in (mount.service, mount_key(mount.path))
    }


def clashes(
    kept: Iterable[Mount], new: Collection[Mount], reserved: str = ""
) -> dict[str, str]:
    """Return the packages whose services have a name or path that is taken, and why.

    The first one keeps it: what is served and stays before what is new.  A package
    that is refused for one of its services takes no name or path by the others.
    Nothing is mounted at or below ``reserved``, the path of the host itself.
    """
    mounts = [*((m, False) for m in kept), *((m, True) for m in new)]
    refused = {
        mount.package: f"its service {mount.service} ({mount.origin}) wants "
        f"{mount.path}, and {reserved} is the host's own: choose another path"
        for mount in new
        if reserved and _lies_in(mount.path, reserved)
    }
    while True:
        found = _first_clash([m for m in mounts if m[0].package not in refused])
        if found is None:
            return refused
        package, reason = found
        refused[package] = reason


def _lies_in(path: str, folder: str) -> bool:
    return f"{mount_key(path)}/".startswith(f"{mount_key(folder)}/")


def _first_clash(mounts: Iterable[tuple[Mount, bool]]) -> tuple[str, str] | None:
    names: dict[str, Mount] = {}
    paths: dict[str, Mount] = {}
    for mount, is_new in mounts:
        reason = _taken(mount, names, paths) if is_new else ""
        if reason:
            return mount.package, reason
        names[mount.service] = paths[mount_key(mount.path)] = mount
    return None


def _taken(mount: Mount, names: Mapping[str, Mount], paths: Mapping[str, Mount]) -> str:
    for taken, what in (
        (names.get(mount.service), f"named {mount.service}"),
        (paths.get(mount_key(mount.path)), f"at {mount.path or '/'}"),
    ):
        if taken is not None:
            return (
                f"its service {mount.service} ({mount.origin}) clashes: there is a "
                f"service {what} already, {taken.service} of {taken.package} "
                f"({taken.origin}), which keeps it"
            )
    return ""
