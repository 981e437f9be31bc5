"""Which addresses are open to other machines."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from pointsman.serving.exposure import warning
from pointsman.serving.settings import Place, read

PLACE = Place("deploy.ini", "server:main")
IP, IP6, UNIX = socket.AF_INET, socket.AF_INET6, socket.AF_UNIX


@pytest.mark.parametrize(
    "address",
    [
        (IP, ("127.0.0.1", 8080)),
        (IP, ("127.8.8.8", 8080)),
        (IP6, ("::1", 8080, 0, 0)),
        (IP6, ("::ffff:127.0.0.1", 8080, 0, 0)),
        (UNIX, "/run/site.sock"),
    ],
)
def test_this_machine_alone(address: tuple[int, Any]) -> None:
    """Loopback and UNIX sockets are no reason to warn."""
    assert "" == warning(read({}, PLACE), [address])


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ((IP, ("0.0.0.0", 80)), "0.0.0.0:80"),
        ((IP, ("192.0.2.7", 8080)), "192.0.2.7:8080"),
        ((IP6, ("::", 80, 0, 0)), "[::]:80"),
        ((IP6, ("fe80::1%eth0", 80, 0, 2)), "[fe80::1%eth0]:80"),
        ((IP6, ("::ffff:192.0.2.7", 80, 0, 0)), "[::ffff:192.0.2.7]:80"),
    ],
)
def test_other_machines(address: tuple[int, Any], told: str) -> None:
    """Whatever else can be reached is named, with what to do."""
    sentence = warning(read({}, PLACE), [(IP, ("127.0.0.1", 80)), address])

    assert sentence.startswith(f"{told} can be reached from other machines without TLS")
    assert sentence.endswith("trusted_proxy in [server:main] of deploy.ini")


def test_all_are_in_one_sentence() -> None:
    """Several addresses are one warning."""
    both = [(IP, ("0.0.0.0", 80)), (IP6, ("::", 80, 0, 0))]

    assert warning(read({}, PLACE), both).startswith("0.0.0.0:80 and [::]:80 can")


@pytest.mark.parametrize(
    "given",
    [
        {"trusted_proxy": "192.0.2.1", "trusted_proxy_headers": "x-forwarded-proto"},
        {"url_scheme": "https"},
    ],
)
def test_a_proxy_in_front(given: dict[str, str]) -> None:
    """Who names a proxy, or says that clients use https, has TLS there."""
    assert "" == warning(read(given, PLACE), [(IP, ("0.0.0.0", 80))])
