"""Printing what is there: packages, services, nodes, and what a reload did.

Effects.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pointsman.cli import tables

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

Document = dict[str, Any]


def print_report(report: Mapping[str, Any]) -> None:
    """Print what became of each package, then what went wrong, whole."""
    table = tables.table("package", "status", "services", "why")
    for one in report["packages"]:
        names = ", ".join(one["services"])
        status = tables.status(one["status"])
        table.add_row(
            tables.text(one["package"]),
            status,
            tables.text(names),
            tables.text(one["reason"]),
        )
    tables.show(table)
    for one in report["packages"]:
        if one["traceback"]:
            tables.say(f"\n{one['package']}:\n{one['traceback'].rstrip()}")
    for problem in report["problems"]:
        tables.say(f"{problem['where']}: {problem['reason']}", "red")
    for name in report.get("stuck", ()):
        tables.say(f"{name} is stuck: only a restart of the process frees it", "red")


def print_services(services: Iterable[Mapping[str, Any]]) -> None:
    """Print the services, in order of their paths."""
    table = tables.table(
        "path", "service", "package", "version", "in flight", "state", "from"
    )
    for one in services:
        table.add_row(
            tables.text(one["path"]),
            tables.text(one["name"]),
            tables.text(one["package"]),
            tables.text(tables.short(str(one["digest"]))),
            tables.text(_told(one["in_flight"])),
            tables.status(one["state"]),
            tables.text(one["origin"]),
        )
    tables.show(table)


def print_packages(packages: Iterable[Mapping[str, Any]]) -> None:
    """Print the packages of a generation, by name."""
    table = tables.table(
        "package", "version", "kind", "artifact", "bytes", "status", "services", "from"
    )
    for one in packages:
        source = f"{one['source']} ({one['file']})" if one["file"] else one["source"]
        table.add_row(
            tables.text(one["package"]),
            tables.text(one["version"]),
            tables.text(one["kind"]),
            tables.text(tables.short(one["digest"])),
            tables.text(str(one["size"])),
            tables.status(one["status"]),
            tables.text(", ".join(one["services"])),
            tables.text(source),
        )
    tables.show(table)


def print_nodes(nodes: Iterable[Mapping[str, Any]]) -> None:
    """Print the nodes, and what is the matter with them."""
    found = list(nodes)
    if not found:
        tables.say("no node serves")
        return
    table = tables.table(
        "node",
        "pid",
        "release",
        "python",
        "state",
        "generation",
        "lease",
        "in flight",
        "lingering",
    )
    for one in found:
        report = one["report"]
        state = one["state"] if one["alive"] else "lease ended"
        lease = tables.local(one["lease_until"])[11:]
        table.add_row(
            tables.text(one["host"]),
            tables.text(str(one["pid"])),
            tables.text(one["release"]),
            tables.text(one["python"]),
            tables.status(state),
            tables.text(str(one["generation"] or "")),
            tables.text(lease),
            tables.text(_told(report.get("in_flight"))),
            tables.text(_told(len(report.get("lingering", ())) or None)),
        )
    tables.show(table)
    for one in found:
        _print_matter(one)


# What may be the matter with a directory; "reason" is why it is polled.
_MATTERS = (("held", "red"), ("trouble", "red"), ("reason", "yellow"))


def _print_matter(node: Mapping[str, Any]) -> None:
    name, report = node["node"], node["report"]
    if node["reason"]:
        first, _, traceback = node["reason"].partition("\n")
        tables.say(f"{name} is {node['state']}: {first}", "red")
        tables.traceback(traceback)
    for one in report.get("stuck", ()):
        tables.say(f"{name}: {one} is stuck; only a restart frees it", "red")
    for one in report.get("lingering", ()):
        paths = ", ".join(
            f"{each['path']} for {each['seconds']:.0f} s" for each in one["requests"]
        )
        version = tables.short(one["digest"])
        tables.say(f"{name}: {one['package']} {version} lingers: {paths}", "yellow")
    for one in report.get("shadowed", ()):
        tables.say(f"{name}: {one} of the service list is shadowed by the generation")
    for problem in report.get("problems", ()):
        tables.say(f"{name}: {problem['where']}: {problem['reason']}", "red")
    for one in report.get("directories", ()):
        _print_directory(name, one)


def _print_directory(name: str, one: Mapping[str, Any]) -> None:
    """Print what is wrong with a directory: held, in trouble, polled, bad files."""
    told = [(one[key], style) for key, style in _MATTERS if one.get(key)]
    told += [(f"{file}: {why}", "red") for file, why in one["problems"].items()]
    for text, style in told:
        tables.say(f"{name}: {one['path']}: {text}", style)


def _told(number: int | None) -> str:
    return "" if number is None else str(number)


def print_reload(document: Mapping[str, Any]) -> None:
    """Print what a reload did: on the node that was asked first, then on the others."""
    asked = "pid" in document
    if asked:
        print_report(document)
        took, pid = tables.milliseconds(document["duration_ms"]), document["pid"]
        serves = f"serves generation {document['generation']}"
        tables.say(f"process {pid} {serves}; it has read its sources in {took}")
        for one in document["directories"]:
            _print_scan(one)
    if not document["nodes"]:
        tables.say("no node serves: the next start reads the sources")
    for one in document["nodes"][1 if asked else 0 :]:
        reload = one["reload"]
        if reload is None:
            tables.say(f"{one['node']} has not answered yet", "yellow")
        else:
            word = "refuses some" if reload["failed"] else "has read its sources, too"
            tables.say(f"{one['node']} {word}", "red" if reload["failed"] else "")
            _print_changes(reload)


def _print_scan(directory: Mapping[str, Any]) -> None:
    path = directory["path"]
    for word in ("held", "elsewhere"):
        if directory[word]:
            tables.say(f"{path}: {directory[word]}", "red" if word == "held" else "")
    if directory["packages"] or directory["problems"]:
        tables.say(f"{path}:")
        _print_changes(directory)


def _print_changes(reload: Mapping[str, Any]) -> None:
    for one in reload["packages"]:
        why = f": {one['reason']}" if one["reason"] else ""
        tables.say(f"  {one['package']} {one['status']}{why}")
        tables.traceback(one["traceback"])
    for problem in reload["problems"]:
        tables.say(f"  {problem['where']}: {problem['reason']}", "red")


def print_leaks(nodes: Iterable[Mapping[str, Any]]) -> None:
    """Print what each node has in memory of versions that ended, and who holds it."""
    for one in nodes:
        if one["leaks"] is None:
            tables.say(f"{one['node']} has not answered", "yellow")
        elif not one["leaks"]:
            tables.say(f"{one['node']}: nothing of an ended version is left")
        for leak in one["leaks"] or ():
            version, age = tables.short(leak["digest"]), leak["age_seconds"]
            name = f"{one['node']}: {leak['package']} {version}"
            tables.say(f"{name} ended {age:.0f} s ago, and is held by", "yellow")
            for holder in leak["holders"] or ("what is not known",):
                tables.say(f"    {holder}")


def print_threads(threads: Iterable[Mapping[str, Any]]) -> None:
    """Print each thread of a node: what it works for, then its stack."""
    for one in threads:
        tables.say(f"{one['name']}{_work(one)}", "bold")
        tables.traceback(one["stack"])


def _work(thread: Mapping[str, Any]) -> str:
    if thread["service"]:
        return f" works for {thread['service']}: {thread['request']}".rstrip(": ")
    return f" runs code of {thread['package']}" if thread["package"] else ""
