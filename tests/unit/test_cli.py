"""The ``pointsman`` command: what it says, and how it ends."""

from __future__ import annotations

import json
import socketserver
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import click
import pytest
from click.testing import CliRunner, Result
from paste.deploy import loadapp

import pointsman
from pointsman.cli import main, sections
from pointsman.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

INI = """
[app:main]
use = egg:pointsman
service_sources = %(here)s/sources.txt
service.greetings.hello.greeting = hei
keep_warm = 0

[server:main]
use = egg:pointsman#server
port = {port}
"""
SERVICE = """
from pointsman import Service

class Hello(Service):
    def handle(self, request):
        return self.settings["greeting"]
"""


class Site:
    """A folder with an ini and one service."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ini = folder / "deploy.ini"
        self.ini.write_text(INI.format(port=1))
        (folder / "sources.txt").write_text("greetings.py\n")
        self.module = folder / "greetings.py"
        self.module.write_text(SERVICE)

    def run(self, *words: str, code: int) -> Result:
        """Run the command; check how it ends."""
        found = CliRunner().invoke(main, [str(word) for word in words])
        assert code == found.exit_code, found.output
        return found

    @contextmanager
    def served(self) -> Iterator[None]:
        """Serve the site in threads of this process."""
        application: Any = loadapp(f"config:{self.ini}")
        server = make_server("127.0.0.1", 0, application, _Server, _Quiet)
        self.ini.write_text(INI.format(port=server.server_port))
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()
            server.server_close()
            application.node.close()


class _Server(socketserver.ThreadingMixIn, WSGIServer):
    daemon_threads = False


class _Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        pass


@pytest.fixture(name="site_")
def _site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def test_the_version_is_that_of_the_release(site_: Site) -> None:
    """--version tells the release."""
    assert pointsman.__version__ in site_.run("--version", code=0).stdout


def commands(group: click.Group, *words: str) -> Iterator[tuple[str, ...]]:
    """Return what is typed for each command and each group of commands."""
    yield words
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, *words, name)
        else:
            yield (*words, name)


@pytest.mark.parametrize("words", list(commands(main)))
def test_help_has_examples(site_: Site, words: tuple[str, ...]) -> None:
    """Each command's help shows how it is used."""
    printed = site_.run(*words, "--help", code=0).stdout

    *_, example = printed.partition("examples:")
    assert " ".join(["pointsman", *words]) in " ".join(example.split())


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_can_complete(site_: Site, shell: str) -> None:
    """The script is click's, for our name."""
    printed = site_.run("completion", shell, code=0).stdout

    assert f"_POINTSMAN_COMPLETE={shell}_complete" in printed


def test_check_tells_what_would_be_served(site_: Site) -> None:
    """A right site passes, and nothing of the check is left behind."""
    before = {path.name for path in site_.folder.iterdir()}

    found = site_.run("check", str(site_.ini), code=0)

    assert "greetings.hello would be at /greetings/hello" in found.stdout
    assert {*before, "var"} == {path.name for path in site_.folder.iterdir()}
    assert [] == list((site_.folder / "var").iterdir())


def test_check_refuses_what_fails(site_: Site) -> None:
    """A module that cannot be imported is told with its traceback."""
    site_.module.write_text("import nothing_like_that\n")

    found = site_.run("check", str(site_.ini), code=1)

    assert "failed" in found.stdout
    assert "ModuleNotFoundError" in found.stdout
    assert "greetings.py" in found.stdout


def test_check_as_json_is_one_document(site_: Site) -> None:
    """What modules print is kept out of it."""
    site_.module.write_text(f"print('loud')\n{SERVICE}")

    document = json.loads(site_.run("check", str(site_.ini), "--json", code=0).stdout)

    (section,) = document["sections"]
    assert document["ok"]
    assert "app:main" == section["section"]
    assert ["added"] == [one["status"] for one in section["packages"]]
    assert ["/greetings/hello"] == [one["path"] for one in section["services"]]


def test_check_warns_of_settings_for_nobody(site_: Site) -> None:
    """A setting of a service that is not there is told, with the nearest name."""
    text = site_.ini.read_text()
    site_.ini.write_text(
        text.replace("service.greetings.hello", "service.greeting.hello")
    )
    site_.module.write_text(SERVICE.replace('["greeting"]', ""))

    printed = site_.run("check", str(site_.ini), code=0).stdout

    assert (
        "there is no service greeting.hello; did you mean 'greetings.hello'?" in printed
    )


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("service_sources", "service_source", "did you mean 'service_sources'?"),
        ("port = 1", "port = high", "port = high"),
        ("egg:pointsman\n", "egg:nothing\n", "no section has use = egg:pointsman"),
        ("egg:pointsman\n", "egg:pointsman#no\n", "[app:main]"),
    ],
)
def test_check_names_what_is_wrong_in_the_ini(
    site_: Site, old: str, new: str, said: str
) -> None:
    """A mistake in the ini is one sentence."""
    site_.ini.write_text(site_.ini.read_text().replace(old, new, 1))

    found = site_.run("check", str(site_.ini), code=1)

    assert said in found.stderr
    assert str(site_.ini) in found.stderr


def test_an_ini_that_is_missing_is_wrong_usage(site_: Site) -> None:
    """A path that leads nowhere is a mistake of who typed it."""
    site_.run("check", str(site_.folder / "no.ini"), code=2)


def test_variables_reach_the_ini(site_: Site) -> None:
    """VAR=VALUE is %(VAR)s, as for paster."""
    site_.ini.write_text(site_.ini.read_text().replace("sources.txt", "%(list)s.txt"))

    site_.run("check", str(site_.ini), "list=sources", code=0)
    site_.run("check", str(site_.ini), "list", code=2)


def test_a_filter_is_found(site_: Site) -> None:
    """A host may be a filter of a pipeline."""
    text = site_.ini.read_text().replace("[app:main]", "[filter:services]")
    site_.ini.write_text(text)

    (found,) = sections.hosts(site_.ini, {})

    assert "filter:services" == found.name


def test_services_and_reload_find_the_host_by_the_ini(site_: Site) -> None:
    """URL and token come from the ini."""
    with site_.served():
        listed = site_.run("services", "--ini", str(site_.ini), code=0)
        same = site_.run("reload", "--ini", str(site_.ini), code=0)
        site_.module.write_text(SERVICE + "\nNEW = 1\n")
        new = site_.run("reload", "--ini", str(site_.ini), "--json", code=0)

    assert "/greetings/hello" in listed.stdout
    assert "unchanged" in same.stdout
    (package,) = json.loads(new.stdout)["packages"]
    assert ("greetings", "updated") == (package["package"], package["status"])


def test_the_ini_of_the_folder_is_the_default(
    site_: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the folder of a site, no option is needed; elsewhere, one is."""
    monkeypatch.chdir(site_.folder)
    with site_.served():
        site_.run("reload", code=0)
        monkeypatch.chdir("/")
        found = site_.run("reload", code=2)

    assert "name it with --ini or --url" in found.stderr


def test_a_reload_that_fails_ends_with_one(site_: Site) -> None:
    """The traceback is shown, and the exit code tells scripts."""
    with site_.served():
        site_.module.write_text("1 / 0\n")
        found = site_.run("reload", "--ini", str(site_.ini), code=1)

    assert "ZeroDivisionError" in found.stdout
    assert "goes on as it was: greetings" in found.stderr


def test_a_wrong_token_is_refused(site_: Site) -> None:
    """Refused by the host is 1, and no token to be had too."""
    other = site_.folder / "other.token"
    with site_.served():
        given = ("services", "--ini", str(site_.ini), "--token-file", str(other))
        missing = site_.run(*given, code=1)
        other.write_text("x" * 40)
        wrong = site_.run(*given, "--json", code=1)

    assert "the token cannot be read" in missing.stderr
    assert 1 == json.loads(wrong.stdout)["exit_code"]
    assert "refused (401 Unauthorized)" in wrong.stderr


def test_nobody_there_is_three(site_: Site) -> None:
    """Neither a closed port nor another program is a host."""
    token = site_.folder / "any.token"
    token.write_text("x" * 40)
    words = ("reload", "--token-file", str(token), "--url")

    site_.run(*words, "http://127.0.0.1:1", code=3)
    with site_.served():
        port = sections.address(site_.ini, "main", {}).port
        site_.run(*words, f"http://127.0.0.1:{port}/greetings/hello", code=3)


@pytest.mark.parametrize(
    ("server", "expected"),
    [
        ("host = 0.0.0.0\nport = 81", ("127.0.0.1", 81, "")),
        ("listen = [::1]:82 127.0.0.1:83", ("::1", 82, "")),
        ("unix_socket = /run/site.sock", ("127.0.0.1", 8080, "/run/site.sock")),
    ],
)
def test_the_address_is_where_a_client_reaches_it(
    site_: Site, server: str, expected: tuple[str, int, str]
) -> None:
    """All ways of [server:main] to say where it listens are understood."""
    site_.ini.write_text(site_.ini.read_text().replace("port = 1", server))

    found = sections.address(site_.ini, "main", {})

    assert expected == (found.host, found.port, found.unix_socket)


def test_the_address_of_another_server_is_found(site_: Site) -> None:
    """Servers of others say host and port under the same words."""
    text = site_.ini.read_text().replace("egg:pointsman#server", "egg:waitress")
    site_.ini.write_text(text.replace("port = 1", "host = *\nport = 90"))
    assert ("127.0.0.1", 90) == (
        sections.address(site_.ini, "main", {}).host,
        sections.address(site_.ini, "main", {}).port,
    )

    site_.ini.write_text(text.replace("port = 1", "port = x"))
    with pytest.raises(ConfigError, match="'x' is no port"):
        sections.address(site_.ini, "main", {})
