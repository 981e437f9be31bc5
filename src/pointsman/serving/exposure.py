"""Which addresses can be reached from other machines without TLS.  Decisions.

The control surface takes tokens and uploads.  Who sets ``trusted_proxy`` has a proxy
in front, which is where TLS ends; without one, only this machine should get in.
"""

from __future__ import annotations

import ipaddress
import socket
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pointsman.serving.settings import ServerSettings


def warning(settings: ServerSettings, addresses: Iterable[tuple[int, Any]]) -> str:
    """Return a sentence about the addresses that are open to others; "" for none.

    ``addresses`` are pairs of family and address, as ``socket`` has them.
    """
    adjustments: Any = settings.adjustments
    if adjustments.trusted_proxy or adjustments.url_scheme == "https":
        return ""
    found = _of_networks(addresses)
    exposed = [_shown(*each) for each in found if not _is_loopback(each[0])]
    if not exposed:
        return ""
    place = settings.place
    return (
        f"{' and '.join(exposed)} can be reached from other machines without TLS, so "
        "that tokens and uploads are sent in clear: listen on 127.0.0.1, behind a "
        f"proxy with TLS, or name that proxy as trusted_proxy in [{place.section}] of "
        f"{place.file}"
    )


def _of_networks(addresses: Iterable[tuple[int, Any]]) -> list[tuple[str, int]]:
    families = (socket.AF_INET, socket.AF_INET6)
    return [(at[0], at[1]) for family, at in addresses if family in families]


def _is_loopback(host: str) -> bool:
    address = ipaddress.ip_address(host.partition("%")[0])  # fe80::1%eth0
    mapped = getattr(address, "ipv4_mapped", None)
    return bool((mapped or address).is_loopback)


def _shown(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
