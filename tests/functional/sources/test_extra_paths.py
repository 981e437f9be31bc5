"""Directories that are put on the path, for libraries of services."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from pointsman.sources.extra_paths import ExtraPaths
from site_folder import SiteFolder, get, statuses

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

SERVICE = """
from pointsman import Service

class Price(Service):
    def handle(self, request):
        import MODULE
        return MODULE.WORD
"""


def library(folder: Path, name: str, word: str) -> None:
    """Write a module that services import late."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.py").write_text(f"WORD = {word!r}\n")


def test_module_in_an_extra_path(site: SiteFolder) -> None:
    """A service imports from there."""
    library(site.folder / "extra", "extra_one", "one")
    site.write("shop.py", SERVICE.replace("MODULE", "extra_one"))
    host = site.host(extra_paths="extra")

    assert "one" == get(host, "/shop/price").text


def test_directory_that_appears_later(site: SiteFolder) -> None:
    """A missing directory is a problem; once it is there, a reload is enough."""
    site.write("shop.py", SERVICE.replace("MODULE", "extra_two"))
    host = site.host(extra_paths="extra")
    first = host.node.last
    assert first is not None
    told = [(problem.where, problem.reason) for problem in first.problems]
    before = get(host, "/shop/price").status
    library(site.folder / "extra", "extra_two", "two")
    report = host.node.reload()

    assert [
        ("extra_paths", f"{site.folder}/extra is no directory; make it, or take it out")
    ] == told
    assert "500 Internal Server Error" == before
    assert ((), "two") == (report.problems, get(host, "/shop/price").text)


def test_module_that_appears_later(site: SiteFolder) -> None:
    """A module copied in later is found after a reload, without a restart."""
    (site.folder / "extra").mkdir()
    site.write("shop.py", SERVICE.replace("MODULE", "extra_three"))
    host = site.host(extra_paths="extra")
    before = get(host, "/shop/price").status
    library(site.folder / "extra", "extra_three", "three")
    host.node.reload()

    assert ("500 Internal Server Error", "three") == (
        before,
        get(host, "/shop/price").text,
    )


def test_pth_files(site: SiteFolder) -> None:
    """What a .pth file names is on the path too."""
    library(site.folder / "elsewhere", "extra_four", "four")
    extra = site.folder / "extra"
    extra.mkdir()
    (extra / "more.pth").write_text(f"# a comment\n{site.folder}/elsewhere\n/no/such\n")
    site.write("shop.py", SERVICE.replace("MODULE", "extra_four"))
    host = site.host(extra_paths="extra")

    assert "four" == get(host, "/shop/price").text


def test_listed_module_of_an_extra_path_is_reloaded(site: SiteFolder) -> None:
    """What the list names there is a package: a change of it is served."""
    service = SERVICE.replace("import MODULE", "WORD = 'WORD'").replace(
        "MODULE.WORD", "WORD"
    )
    library(site.folder / "extra", "unused", "")
    (site.folder / "extra" / "extra_five.py").write_text(service)
    site.list.write_text("extra_five\n")
    host = site.host(extra_paths="extra")
    before = get(host, "/extra_five/price").text
    (site.folder / "extra" / "extra_five.py").write_text(
        service.replace("'WORD'", "'new'")
    )
    report = host.node.reload()

    assert {"extra_five": "updated"} == statuses(report)
    assert ("WORD", "new") == (before, get(host, "/extra_five/price").text)


def test_path_is_put_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Closing takes out what was added, and leaves what the host had before."""
    own, extra = tmp_path / "own", tmp_path / "extra"
    own.mkdir()
    extra.mkdir()
    monkeypatch.setattr(sys, "path", [*sys.path, str(own)])
    before = list(sys.path)
    paths = ExtraPaths([own, extra])
    paths.look()
    paths.look()
    added = sys.path[len(before) :]
    paths.close()

    assert ([str(extra)], before) == (added, sys.path)
    assert (own, extra) == paths.all()
