"""Directories of nodes that really load and serve what is put into them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from site_folder import SiteFolder, get
from waiting import wait_for

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

SERVICE = """
from pointsman import Service


class Hello(Service):
    path = "/hello"

    def handle(self, request):
        return {answer}
"""


def hello(answer: str) -> str:
    """Return a module whose service answers what an expression gives."""
    return SERVICE.format(answer=answer)


def put(site: SiteFolder, name: str, source: str, folder: str = "pickup") -> Path:
    """Move a module into a directory."""
    target = site.folder / folder / name
    target.parent.mkdir(exist_ok=True)
    hidden = target.with_name(f".{name}")
    hidden.write_text(source)
    return hidden.rename(target)


def answers(host: object, text: str) -> None:
    """Wait until the service answers so."""
    wait_for(lambda: get(host, "/hello").text == text, f"it answers {text}")


def test_dropped_dependents_and_their_import_go_together(site: SiteFolder) -> None:
    """A module and the one that it imports, dropped at once, serve at once."""
    host = site.host(hot_deploy__pickup_dir="pickup")
    put(site, "words.py", "WORD = 'one'\n")
    put(site, "hello.py", "import words\n" + hello("words.WORD"))
    answers(host, "one")
    put(site, "words.py", "WORD = 'two'\n")
    answers(host, "two")


def test_a_module_that_breaks_lands_in_failed(site: SiteFolder) -> None:
    """With the traceback of its author's own code, while the old version serves."""
    host = site.host(hot_deploy__pickup_dir="pickup")
    put(site, "hello.py", hello("'one'"))
    answers(host, "one")
    put(site, "hello.py", "1 / 0\n")
    text = site.folder / "pickup" / "failed" / "hello.py.error.txt"
    wait_for(text.exists, "it is told")
    told = text.read_text()
    assert "ZeroDivisionError: division by zero" in told
    assert "1 / 0" in told
    assert f"Node: {host.node.id}" in told
    assert "one" == get(host, "/hello").text


def test_who_breaks_what_is_served_lands_in_failed(site: SiteFolder) -> None:
    """The importer is served already; the file that was dropped is to blame."""
    host = site.host(hot_deploy__pickup_dir="pickup")
    put(site, "words.py", "WORD = 'one'\n")
    put(site, "hello.py", "from words import WORD\n" + hello("WORD"))
    answers(host, "one")
    put(site, "words.py", "OTHER = 1\n")
    put(site, "more.py", "x = 1\n")
    text = site.folder / "pickup" / "failed" / "words.py.error.txt"
    wait_for(text.exists, "it is told")
    assert "hello" in text.read_text()
    wait_for(lambda: "more" in host.node.deployments.active().entries, "the rest")
    assert "one" == get(host, "/hello").text


def test_a_reload_tells_what_the_directories_did(
    site: SiteFolder, caplog: pytest.LogCaptureFixture
) -> None:
    """On demand: nothing before, all of it then."""
    site_archives = site.folder / "archives"
    site_archives.mkdir()
    host = site.host(
        archives__location="archives",
        archives__id="shared",
        archives__update_trigger="on-demand",
    )
    wait_for(lambda: host.node.directories()[0]["scanned_at"], "it has looked")
    put(site, "hello.py", hello("'one'"), "archives")
    report = host.node.reload()
    (directory,) = report.directories
    assert [("hello", "added")] == [
        (one.package, one.status)
        for one in directory.outcomes  # type: ignore[attr-defined]
    ]
    assert "one" == get(host, "/hello").text
    (site_archives / "hello.py").unlink()
    (directory,) = host.node.reload().directories
    assert "suddenly empty" in directory.held  # type: ignore[attr-defined]
    host.node.reload(confirm_removals=True)
    assert "404" == get(host, "/hello").status[:3]


def test_a_node_starts_with_what_lies_in_its_directory(site: SiteFolder) -> None:
    """And with what it had, after a restart, though the file is gone."""
    put(site, "hello.py", hello("'one'"))
    host = site.host(hot_deploy__pickup_dir="pickup")
    answers(host, "one")
    host.node.close()
    again = site.host(hot_deploy__pickup_dir="pickup")
    answers(again, "one")
