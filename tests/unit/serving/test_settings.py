"""The keys of a server section."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from pointsman.errors import ConfigError
from pointsman.serving.settings import Place, place_of, read

if TYPE_CHECKING:
    from pathlib import Path

PLACE = Place("deploy.ini", "server:main")


def test_the_defaults_are_ours() -> None:
    """Loopback, eight threads, a drain of thirty seconds."""
    settings = read({}, PLACE)
    adjustments = settings.adjustments

    assert (8, 500, True) == (
        adjustments.threads,
        adjustments.connection_limit,
        adjustments.asyncore_use_poll,
    )
    assert (0.0, 30.0, 2.0) == (
        settings.drain_delay,
        settings.drain_timeout,
        settings.keep_alive_grace,
    )
    listen: Any = adjustments.listen
    assert [("127.0.0.1", 8080)] == [each[3] for each in listen]


def test_all_of_waitress_is_accepted() -> None:
    """Strings of an ini become waitress's values."""
    settings = read(
        {"listen": "127.0.0.1:0 127.0.0.1:0", "ident": "me", "ipv6": "no"}, PLACE
    )

    assert ("me", False, 2) == (
        settings.adjustments.ident,
        settings.adjustments.ipv6,
        len(list(settings.adjustments.listen)),
    )


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (
            {"drain_timout": "3"},
            "no setting 'drain_timout'; did you mean 'drain_timeout'",
        ),
        (
            {"drain_timeout": "soon"},
            "drain_timeout = soon: must be a number of seconds",
        ),
        ({"drain_timeout": "inf"}, "drain_timeout = inf: must be"),
        ({"keep_alive_grace": "-1"}, "keep_alive_grace = -1: must be a number"),
        ({"threads": "0"}, "threads = 0: must be a whole number, 1 or more"),
        ({"port": "http"}, "port = http: must be a whole number, 0 to 65535"),
        ({"port": "65536"}, "port = 65536: must be a whole number, 0 to 65535"),
        ({"ipv6": "perhaps"}, "ipv6 = perhaps: must be yes or no"),
        ({"unix_socket_perms": "rw"}, "unix_socket_perms = rw: must be octal digits"),
        ({"sockets": "x"}, "has no setting 'sockets'"),
        ({"host": "no.such.host.invalid"}, "host = no.such.host.invalid: Invalid host"),
        ({"host": "::1", "unix_socket": "/x"}, "unix_socket = /x: unix_socket may not"),
        ({"trusted_proxy": "*"}, "trusted_proxy needs trusted_proxy_headers"),
    ],
)
def test_bad_settings_are_refused(given: dict[str, str], sentence: str) -> None:
    """The error names file, section, key and what is accepted."""
    with pytest.raises(ConfigError) as refused:
        read(given, PLACE)

    assert sentence in str(refused.value)
    assert str(refused.value).startswith("deploy.ini: [server:main] ")


def test_the_section_is_found_by_its_keys(tmp_path: Path) -> None:
    """PasteDeploy does not tell a runner its section; the ini does."""
    ini = tmp_path / "a.ini"
    ini.write_text("[server:one]\nport = 1\n[server:two]\nthread = 3\nport = 2\n")

    assert Place(str(ini), "server:two") == place_of(
        {"thread": "3", "port": "2"}, {"__file__": str(ini)}
    )
