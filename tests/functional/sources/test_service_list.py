"""Every rule of the service list, in a host that serves what it names."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from pointsman.errors import ConfigError
from pointsman.model import Kind
from pointsman.sources.service_list import Entry, ServiceList, entries
from site_folder import SiteFolder, get, outcomes, statuses

if TYPE_CHECKING:
    from pathlib import Path

    from pointsman.model import Scan

SERVICE = """
from pointsman import Service

class Hello(Service):
    def handle(self, request):
        return "WORD"
"""


def scan(site: SiteFolder, text: str, *extra: Path) -> Scan:
    """Return what a list with this text wants."""
    site.list.write_text(text)
    return ServiceList(site.list, lambda: extra).scan()


def names(found: Scan) -> list[str]:
    """Return the packages that are wanted, in order."""
    return [package.name for package in found.packages]


def hello(site: SiteFolder, name: str, word: str = "hello") -> None:
    """Write a module or package with one service."""
    site.write(name, SERVICE.replace("WORD", word))


# LINES


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("# all\n\n  \t\n", []),
        ("a\n# no\nb", [Entry("a", 1), Entry("b", 3)]),
        ("  a.py   # why\n", [Entry("a.py", 1)]),
        ("a\t#why\r\nb\r\n", [Entry("a", 1), Entry("b", 2)]),
        ("folder#1\n", [Entry("folder#1", 1)]),
        ("with space.py # x\n", [Entry("with space.py", 1)]),
    ],
)
def test_entries(text: str, expected: list[Entry]) -> None:
    """Comments end at the line's end and need a space before them; blanks are none."""
    assert expected == list(entries(text))


def test_order_is_kept(site: SiteFolder) -> None:
    """Packages come in the order of the lines."""
    hello(site, "b.py")
    hello(site, "a.py")

    assert ["b", "a"] == names(scan(site, "services/b.py\nservices/a.py\n"))


def test_byte_order_mark(site: SiteFolder) -> None:
    """A list saved with a byte order mark has the same first entry."""
    hello(site, "a.py")
    found = scan(site, "\ufeffservices\n")

    assert (["a"], ()) == (names(found), found.problems)


# WHAT AN ENTRY IS


def test_paths_are_relative_to_the_list(
    site: SiteFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither the working directory nor the ini's folder matters."""
    hello(site, "a.py")
    monkeypatch.chdir("/")

    assert ["a"] == names(scan(site, "services/a.py"))
    assert ["a"] == names(scan(site, "./services"))
    assert ["a"] == names(scan(site, str(site.services)))


@pytest.mark.parametrize("name", ["numpyy", "happy", "py"])
def test_module_whose_name_ends_like_a_file(site: SiteFolder, name: str) -> None:
    """An entry is what it is, not how it ends."""
    hello(site, f"{name}.py")
    found = scan(site, f"{name}\n", site.services)

    assert ([name], ()) == (names(found), found.problems)
    assert (name,) == found.packages[0].offers


def test_directory_and_module_of_one_name(site: SiteFolder) -> None:
    """A directory beside the list wins over a module of that name."""
    hello(site, "json/inside.py")
    site.list.rename(site.services / "list.txt")
    site.list = site.services / "list.txt"

    assert ["inside"] == names(scan(site, "json\n"))


def test_directory_called_like_a_file(site: SiteFolder) -> None:
    """A directory is one, though its name ends in .py."""
    hello(site, "folder.py/inside.py")

    assert ["inside"] == names(scan(site, "services/folder.py\n"))


def test_package_is_named_as_a_directory(site: SiteFolder) -> None:
    """A directory with __init__.py is the package itself, and offers itself."""
    hello(site, "crm/__init__.py")
    found = scan(site, "services/crm\n")

    assert [("crm", Kind.TREE, ("crm",))] == [
        (one.name, one.artifact.kind, one.offers) for one in found.packages
    ]


def test_directory_offers_its_modules_only(site: SiteFolder) -> None:
    """Packages in a listed directory are there for others to import."""
    hello(site, "a.py")
    hello(site, "lib/models.py")
    offers = {p.name: p.offers for p in scan(site, "services\n").packages}

    assert {"a": ("a",), "lib": ()} == offers


def test_what_is_not_looked_at(site: SiteFolder) -> None:
    """Hidden files, caches, environments and other files are no packages."""
    for name in (
        ".a.py",
        "__pycache__/b.py",
        "venv/pyvenv.cfg",
        "venv/c.py",
        "d.txt",
        "node_modules/e.py",
        "no-package/f.py",
        "empty/readme.txt",
        "__main__.py",
    ):
        hello(site, name)

    assert [] == names(scan(site, "services\n"))


def test_dotted_entry_is_the_whole_tree(site: SiteFolder) -> None:
    """The artifact is all of the first name; what is offered is the module named."""
    hello(site, "crm/web/pages.py")
    hello(site, "crm/models.py")
    site.write("crm/page.html", "<p>")
    found = scan(site, "crm.web.pages\ncrm.models\n", site.services)
    package = found.packages[0]

    assert (["crm"], ()) == (names(found), found.problems)
    assert ("crm.web.pages", "crm.models") == package.offers
    assert {"crm/web/pages.py", "crm/models.py", "crm/page.html"} == set(
        package.artifact.files
    )


def test_dotted_entry_below_a_listed_directory(site: SiteFolder) -> None:
    """A directory further down in the list is a place to find it too."""
    hello(site, "crm/web.py")
    found = scan(site, "crm.web\nservices\n")

    assert [("crm", ("crm.web",))] == [(one.name, one.offers) for one in found.packages]


def test_portions_of_a_namespace_package(site: SiteFolder, tmp_path: Path) -> None:
    """Folders of one name without __init__.py are one package (PEP 420)."""
    hello(site, "crm/one.py")
    other = tmp_path / "other" / "crm"
    other.mkdir(parents=True)
    (other / "two.py").write_text("")
    found = scan(site, "crm.one\ncrm.two\n", site.services, other.parent)

    assert [{"crm/one.py", "crm/two.py"}] == [
        set(one.artifact.files) for one in found.packages
    ]


def test_module_of_the_host(site: SiteFolder) -> None:
    """What the environment has is used as it is, and reload says so."""
    site.list.write_text("wsgiref.simple_server\n")
    host = site.host()
    outcome = outcomes(host.node.reload())["wsgiref"]

    assert ("host", "host module, changes with a release") == (
        outcome.status,
        outcome.reason,
    )


# BAD ENTRIES

BAD = {
    "nowhere/": "there is no directory or file",
    "./nowhere": "there is no directory or file",
    "nowhere.py": "there is no file",
    "./nowhere.py": "there is no file",
    "json.py": "there is no file",
    "no_such_module": "there is no directory, file or module 'no_such_module'",
    "no_such.module": "there is no directory, file or module 'no_such.module'",
    "services/data.txt": "is a file, but no Python module (.py)",
    "services/bad-name.py": "rename it to a Python identifier",
    "services/latin.py": None,
    "services/dangling.py": "there is no file",
    "tree.nothing": "has no module tree.nothing",
    "?!": "there is no directory or file",
    "nu\0ll": "there is no directory or file",
}


@pytest.mark.parametrize(("entry", "reason"), BAD.items())
def test_bad_entry(site: SiteFolder, entry: str, reason: str | None) -> None:
    """A bad entry is a problem with file and line; the others go on."""
    hello(site, "good.py")
    hello(site, "also.py")
    site.write("data.txt", "")
    site.write("bad-name.py", "")
    site.write("tree/__init__.py", "")
    (site.services / "latin.py").write_bytes(b"x = '\xe9'\n")
    (site.services / "dangling.py").symlink_to("nothing")
    text = f"services/good.py\n\n{entry}  # bad\nservices/also.py\n"
    found = scan(site, text, site.services)

    assert {"good", "also"} <= set(names(found))
    if reason is None:  # its bytes are read; that they are no Python is told later
        assert () == found.problems
    else:
        assert [f"{site.list}:3"] == [problem.where for problem in found.problems]
        assert reason in found.problems[0].reason


def test_invalid_utf8_in_a_module(site: SiteFolder) -> None:
    """A module that is no UTF-8 fails alone, with its name."""
    hello(site, "good.py")
    (site.services / "latin.py").write_bytes(b"x = '\xe9'\n")
    host = site.host()

    assert {"good": "added", "latin": "failed"} == statuses(host.node.last)  # type: ignore[arg-type]
    assert "200 OK" == get(host, "/good/hello").status


def test_module_that_cannot_be_read(site: SiteFolder) -> None:
    """What no longer can be read goes on as it was, and is told."""
    hello(site, "a.py")
    host = site.host()
    (site.services / "a.py").unlink()
    (site.services / "a.py").symlink_to("nothing")
    outcome = outcomes(host.node.reload())["a"]

    assert "failed" == outcome.status
    assert f"{site.services}/a.py" in outcome.reason
    assert "hello" == get(host, "/a/hello").text


@pytest.mark.parametrize("entry", ["services", "./services", "site"])
def test_directory_that_is_gone(site: SiteFolder, entry: str) -> None:
    """A directory that is away undeploys nothing, whatever else has its name."""
    hello(site, "crm/__init__.py")
    hello(site, "a.py")
    folder = site.services.rename(site.folder / entry)
    site.list.write_text(f"{entry}\ncrm\n")
    host = site.host()
    folder.rename(site.folder / "away")
    report = host.node.reload()

    assert report.failed
    assert "is gone" in "".join(problem.reason for problem in report.problems)
    assert ("hello", "hello") == (
        get(host, "/crm/hello").text,
        get(host, "/a/hello").text,
    )


@pytest.mark.parametrize("entry", ["services", "./services"])
def test_directory_that_is_not_there_yet(site: SiteFolder, entry: str) -> None:
    """A directory that is made later is found by the next reload."""
    site.services.rename(site.folder / "away")
    site.list.write_text(f"{entry}\n")
    host = site.host()
    before = host.node.last
    (site.folder / "away").rename(site.services)
    hello(site, "a.py")
    report = host.node.reload()

    assert before is not None
    assert (True, False) == (before.failed, report.failed)
    assert {"a": "added"} == statuses(report)


def test_listed_package_that_is_gone(site: SiteFolder) -> None:
    """A package named as a directory stays, too, when that is away."""
    hello(site, "crm/__init__.py")
    site.list.write_text("./services/crm\n")
    host = site.host()
    (site.services / "crm").rename(site.folder / "away")
    report = host.node.reload()

    assert report.failed
    assert "hello" == get(host, "/crm/hello").text


UNPRIVILEGED = """
import json, os, sys
from pathlib import Path
from pointsman.sources.service_list import ServiceList
ServiceList(Path(sys.argv[1]), lambda: ()).scan()  # imports what it needs of codecs
os.setgroups([]); os.setgid(65534); os.setuid(65534)
scan = ServiceList(Path(sys.argv[1]), lambda: ()).scan()
print(json.dumps([[p.name for p in scan.packages],
                  [[p.where, p.reason, p.package, p.folder] for p in scan.problems]]))
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="drops the rights of root")
def test_rights_that_are_missing(site: SiteFolder) -> None:
    """Files and folders without the right to read are problems, and hold theirs."""
    for name in ("a.py", "closed.py", "tree/__init__.py", "tree/closed.py"):
        hello(site, name)
    (site.services / "shut").mkdir()
    for path in (site.folder, *site.folder.parents):
        if path.stat().st_uid == 0 and str(path).startswith(("/tmp/", "/var/")):
            path.chmod(0o755)
    (site.services / "closed.py").chmod(0)
    (site.services / "tree" / "closed.py").chmod(0)
    (site.services / "shut").chmod(0)
    site.list.write_text("services\nservices/shut\n")
    paths = os.pathsep.join(path for path in sys.path if path)
    done = subprocess.run(
        [sys.executable, "-c", UNPRIVILEGED, str(site.list)],
        env={**os.environ, "PYTHONPATH": paths, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        check=False,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    found, problems = json.loads(done.stdout)

    assert ["a"] == found
    told = {package or folder: reason for _, reason, package, folder in problems}
    assert {"closed", "tree", "shut", f"{site.services}/shut"} == set(told)
    assert all("Permission denied" in reason for reason in told.values())


# CLASHES


def test_two_packages_of_one_name(site: SiteFolder, tmp_path: Path) -> None:
    """The first keeps the name; both origins and the first line are told."""
    hello(site, "a.py", "first")
    other = tmp_path / "other"
    other.mkdir()
    (other / "a.py").write_text(SERVICE.replace("WORD", "second"))
    site.list.write_text("services\nother\n")
    host = site.host()
    report = host.node.reload()

    assert "first" == get(host, "/a/hello").text
    assert [f"{site.list}:2"] == [problem.where for problem in report.problems]
    reason = report.problems[0].reason
    assert f"a ({other}/a.py)" in reason
    assert f"{site.services}/a.py ({site.list}:1)" in reason


def test_one_package_named_twice(site: SiteFolder) -> None:
    """The same file by two lines is no clash."""
    hello(site, "a.py")
    found = scan(site, "services\nservices/a.py\na\n", site.services)

    assert (["a"], ()) == (names(found), found.problems)


@pytest.mark.parametrize("key", ["name", "path"])
def test_two_services_of_one_name_or_path(site: SiteFolder, key: str) -> None:
    """The first keeps it, before and after a restart; both origins are told."""
    value = "same" if key == "name" else "/same"
    for name in ("a", "b"):
        own = f'{key} = "{value}"'
        site.write(
            f"{name}.py",
            SERVICE.replace("WORD", name).replace(
                "(Service):", f"(Service):\n    {own}"
            ),
        )
    found = []
    for _ in range(2):
        host = site.host()
        report = host.node.last
        assert report is not None
        found.append(statuses(report))
        reason = outcomes(report)["b"].reason
        host.node.close()

    assert [{"a": "added", "b": "failed"}] * 2 == found
    assert f"({site.services}/b.py) clashes" in reason
    assert f"of a ({site.services}/a.py), which keeps it" in reason


@pytest.mark.parametrize("name", ["json", "webob", "sys"])
def test_name_of_somebody_else(site: SiteFolder, name: str) -> None:
    """A module called like the standard library's or the host's is refused."""
    hello(site, f"{name}.py")
    hello(site, "good.py")
    host = site.host()
    report = host.node.last
    assert report is not None

    assert {name: "failed", "good": "added"} == statuses(report)
    reason = outcomes(report)[name].reason
    assert f"{site.services}/{name}.py: the module name {name!r} belongs to" in reason


# THE LIST ITSELF


@pytest.mark.parametrize("how", ["missing", "folder", "bytes"])
def test_list_that_cannot_be_read_at_start(site: SiteFolder, how: str) -> None:
    """Without its list a host does not start; the error names key and file."""
    site.list.unlink()
    if how == "folder":
        site.list.mkdir()
    elif how == "bytes":
        site.list.write_bytes(b"\xff\n")
    with pytest.raises(ConfigError, match=rf"service_sources = {site.list}: "):
        site.host()


@pytest.mark.parametrize("how", ["missing", "folder", "bytes"])
def test_list_that_is_lost_later(
    site: SiteFolder, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    """When the list is lost, everything goes on, and the reload says so."""
    hello(site, "a.py")
    host = site.host()
    site.list.unlink()
    if how == "folder":
        site.list.mkdir()
    elif how == "bytes":
        site.list.write_bytes(b"\xff\n")
    with caplog.at_level(logging.ERROR):
        report = host.node.reload()

    assert {"a": "unchanged"} == statuses(report)
    assert [str(site.list)] == [problem.where for problem in report.problems]
    assert "the service list cannot be read" in caplog.text
    assert "hello" == get(host, "/a/hello").text


def test_no_list(site: SiteFolder) -> None:
    """Without `service_sources` only the control surface is there."""
    host = site.host(service_sources="")

    assert "404 Not Found" == get(host, "/a/hello").status
    assert "200 OK" == get(host, "/_pointsman/health/ready").status


def test_entry_that_is_taken_out(site: SiteFolder) -> None:
    """What the list no longer names is removed by the next reload, and only then."""
    hello(site, "a.py")
    hello(site, "b.py")
    site.list.write_text("services/a.py\nservices/b.py\n")
    host = site.host()
    site.list.write_text("services/b.py\n#services/a.py\n")
    before = get(host, "/a/hello").text
    report = host.node.reload()

    assert {"a": "removed", "b": "unchanged"} == statuses(report)
    assert ("hello", "404 Not Found") == (before, get(host, "/a/hello").status)


def test_places_are_told_without_detours(site: SiteFolder) -> None:
    """What `..` leads to is told as its own path, unless a link makes it another."""
    site.write("plain.py", "VERSION = 1\n")
    (site.folder / "etc").mkdir()
    there = site.folder / "far" / "etc"
    there.mkdir(parents=True)
    (site.folder / "far" / "linked").mkdir()
    (site.folder / "far" / "linked" / "behind.py").write_text("VERSION = 1\n")
    (site.folder / "etc" / "link").symlink_to(there)
    site.list = site.folder / "etc" / "list.txt"
    site.list.write_text("../services\nlink/../linked\n")
    report = site.host().node.last

    assert report is not None
    origins = {o.package: o.origin for o in report.outcomes}
    assert {
        "plain": str(site.services / "plain.py"),
        "behind": str(site.folder / "etc" / "link" / ".." / "linked" / "behind.py"),
    } == origins
