"""Settings of this machine, laid over the sections of an ini."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from paste.deploy import loadapp

from pointsman.cli import sections
from pointsman.errors import ConfigError
from pointsman.inclusion import included, section_of
from pointsman.serving import arguments, logs
from pointsman.serving import ini as server_ini
from pointsman.settings import Included, parse
from pointsman.wsgi import Host

INI = """
[app:main]
use = egg:pointsman
include = local.ini
keep_warm = 1
work_dir = %(here)s/var
service.links.database = here

[server:main]
use = egg:pointsman#server
include = local.ini
host = 127.0.0.1
port = 8080
threads = 4
"""


@pytest.fixture(name="ini")
def _ini(tmp_path: Path) -> Path:
    """Give an ini that includes local.ini, which lies in a folder of its own."""
    ini = tmp_path / "release" / "deploy.ini"
    ini.parent.mkdir()
    (tmp_path / "shared").mkdir()
    ini.write_text(INI.replace("local.ini", "%(here)s/../shared/local.ini"))
    return ini


def local(ini: Path, text: str) -> Path:
    """Write the included file."""
    path = ini.parents[1] / "shared" / "local.ini"
    path.write_text(text)
    return path


def server(ini: Path) -> tuple[object, int]:
    """Return where the server would listen, and its threads, as paster finds it."""
    settings = server_ini.server(arguments.parse([str(ini)])).settings
    assert settings is not None
    found = settings.adjustments
    return found.unix_socket or found.listen[0][3], found.threads


def test_the_included_section_wins_key_by_key() -> None:
    """What is included replaces a key, adds others, and leaves the rest."""
    over = Included(
        Path("/etc/local.ini"),
        "app:main",
        {"keep_warm": "2", "service.a.b": "new", "extra_paths": "libs"},
    )
    strings = {"include": "x", "keep_warm": "1", "service.a.c": "old"}
    found = parse(strings, here="/srv", included=over)

    assert (2.0, {"a": {"b": "new", "c": "old"}}, (Path("/etc/libs"),)) == (
        found.keep_warm,
        found.services,
        found.extra_paths,
    )


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"keep_warmm": "2"},
            r"/etc/local\.ini \[app:main\]: .*'keep_warmm'; did you mean 'keep_warm'\?",
        ),
        ({"rehearse": "maybe"}, r"/etc/local\.ini \[app:main\] rehearse = maybe"),
        ({"use": "egg:x"}, r"/etc/local\.ini \[app:main\]: there is no setting 'use'"),
        ({"include": "x"}, r"/etc/local\.ini \[app:main\]: there is no .*'include'"),
    ],
)
def test_mistakes_name_the_included_file(values: dict[str, str], message: str) -> None:
    """An unknown key and a bad value name the file that they stand in."""
    over = Included(Path("/etc/local.ini"), "app:main", values)

    with pytest.raises(ConfigError, match=message):
        parse({}, file="/srv/deploy.ini", included=over)


def test_values_know_their_own_folder_and_the_command_lines_variables(
    ini: Path,
) -> None:
    """%(here)s is the folder of the included file; paster's variables are known."""
    path = local(
        ini, "[DEFAULT]\nhome = /h\n[app:main]\na = %(here)s/x\nb = %(p)s-%(home)s\n"
    )
    given = {"include": str(path)}
    found = included(given, str(ini), "app:main", {"p": "5%"})

    assert found is not None
    assert {"a": f"{path.parent}/x", "b": "5%-/h"} == found.values


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("no ini", r"local\.ini is no ini file"),
        ("[app:main]\na = 1\na = 2\n", r"local\.ini is no ini file.*already exists"),
        ("[server:main]\na = %(nobody)s\n", r"local\.ini is no ini file.*nobody"),
        ("[app:mian]\n", r"has no section \[app:mian\].*did you mean 'app:main'\?"),
    ],
)
def test_a_file_that_cannot_be_laid_over_is_refused(
    ini: Path, text: str, message: str
) -> None:
    """Broken syntax is refused, and so is a section that nothing would read."""
    local(ini, text)

    with pytest.raises(ConfigError, match=message):
        server(ini)


def test_a_missing_file_is_told(ini: Path) -> None:
    """A file that is not there stops the start, and the sentence says what to do."""
    with pytest.raises(ConfigError, match=r"no such file; make it, or write include ="):
        server(ini)


def test_a_missing_file_may_be_optional(ini: Path) -> None:
    """With a dash before the path, the file may be missing."""
    ini.write_text(ini.read_text().replace("include = ", "include = -"))

    assert (("127.0.0.1", 8080), 4) == server(ini)


def test_a_folder_cannot_be_included(ini: Path) -> None:
    """What is there and cannot be read is told, optional or not."""
    (ini.parents[1] / "shared" / "local.ini").mkdir()

    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        server(ini)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("port = 9090", (("127.0.0.1", 9090), 4)),
        ("listen = 127.0.0.1:7070", (("127.0.0.1", 7070), 4)),
        ("unix_socket = /run/site.sock\nthreads = 2", ("/run/site.sock", 2)),
    ],
)
def test_an_included_address_replaces_the_other(
    ini: Path, text: str, expected: tuple[object, int]
) -> None:
    """The server listens where this machine says, in whatever words it says it."""
    local(ini, f"[server:main]\n{text}\n")

    assert expected == server(ini)


def test_host_and_port_replace_listen(ini: Path) -> None:
    """A port of this machine replaces a list of addresses."""
    text = ini.read_text().replace("port = 8080\n", "")
    ini.write_text(text.replace("host = 127.0.0.1", "listen = 127.0.0.1:1 [::1]:1"))
    local(ini, "[server:main]\nhost = 127.0.0.2\nport = 9090\n")

    assert (("127.0.0.2", 9090), 4) == server(ini)


def test_a_mistake_of_the_server_names_the_included_file(ini: Path) -> None:
    """An unknown key and a bad value of a server name the file that has them."""
    path = local(ini, "[server:main]\nthread = 9\n")
    with pytest.raises(ConfigError, match=rf"{path}: \[server:main\] has no setting"):
        server(ini)

    path = local(ini, "[server:main]\nthreads = many\n")
    with pytest.raises(ConfigError, match=rf"{path}: \[server:main\] threads = many"):
        server(ini)


def test_every_way_to_the_settings_follows_it(ini: Path) -> None:
    """PasteDeploy's loader and the command line see the same settings."""
    local(ini, "[app:main]\nkeep_warm = 7\n[server:main]\nport = 9\n")
    host = loadapp(f"config:{ini}")
    assert isinstance(host, Host)
    host.node.close()

    assert (7.0, 7.0, 9) == (
        host.node.settings.keep_warm,
        sections.hosts(ini, {})[0].settings.keep_warm,
        sections.address(ini, "main", {}).port,
    )


def test_sections_are_told_apart_by_their_keys(tmp_path: Path) -> None:
    """A factory is not told its section: the one with all of its keys is meant."""
    ini = tmp_path / "two.ini"
    ini.write_text(
        "[app:main]\nuse = a\ninclude = x\nkeep_warm = 1\n"
        "[app:admin]\nuse = a\ninclude = x\nkeep_warm = 1\nheaders = no\n"
        "[app:other]\nuse = a\nkeep_warm = 1\nheaders = no\nmetrics = no\n"
    )
    few = ("include", "keep_warm")

    assert ("app:main", "app:admin") == (
        section_of(few, str(ini)),
        section_of([*few, "headers"], str(ini)),
    )


def test_sections_that_look_alike_are_refused(tmp_path: Path) -> None:
    """Two sections with the same keys cannot be told apart, and that is said."""
    ini = tmp_path / "two.ini"
    ini.write_text("[app:a]\nuse = x\ninclude = y\n[app:b]\nuse = x\ninclude = y\n")

    with pytest.raises(
        ConfigError, match=r"\[app:a\] and \[app:b\] have the same keys"
    ):
        section_of(["include"], str(ini))


def test_logging_of_this_machine_wins(ini: Path) -> None:
    """A level in the included file is the one that counts."""
    ini.write_text(
        f"{ini.read_text()}\n[loggers]\nkeys = root\n[handlers]\nkeys =\n"
        "[formatters]\nkeys =\n[logger_root]\nlevel = INFO\nhandlers =\n"
    )
    local(ini, "[logger_root]\nlevel = ERROR\n")
    root = logging.getLogger()
    former, handlers = root.level, root.handlers[:]
    try:
        logs.configure(ini, {}, 0)
        assert logging.ERROR == root.level
    finally:
        root.setLevel(former)
        root.handlers[:] = handlers
