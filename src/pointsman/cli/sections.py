"""What an ini says about hosts and servers, found without starting any.  Effects."""

from __future__ import annotations

from configparser import Error as IniError
from configparser import RawConfigParser
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from paste.deploy.loadwsgi import APP, FILTER, SERVER, loadcontext

from pointsman import inclusion
from pointsman import settings as settings_module
from pointsman.errors import ConfigError
from pointsman.serving import settings as server_settings
from pointsman.serving.runner import server_runner
from pointsman.wsgi import app_factory, filter_factory

__all__ = [
    "Address",
    "Section",
    "address",
    "hosts",
    "names",
]

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from pointsman.settings import Settings

_KINDS = {"app": APP, "filter-app": APP, "filter": FILTER, "server": SERVER}
_OURS = (app_factory, filter_factory)


@dataclass(frozen=True, slots=True)
class Section:
    """One section that makes a host; ``global_conf`` is what services are given."""

    name: str
    settings: Settings
    global_conf: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Address:
    """Where a server of an ini listens, as a client on this machine reaches it."""

    host: str = "127.0.0.1"
    port: int = 8080
    unix_socket: str = ""


def hosts(ini: Path, variables: Mapping[str, str]) -> list[Section]:
    """Return the sections of our factories, ``[app:main]`` first if it is one.

    Raises:
        ConfigError: the ini, or such a section, cannot be used; or it has none.

    """
    found: dict[str, Section] = {}
    for section, keys in _parsed(ini).items():
        kind = section.partition(":")[0]
        if kind not in _KINDS or "pointsman" not in keys.get("use", ""):
            continue
        context = _unwrapped(_context(ini, section, variables))
        if context.object in _OURS:
            found[section] = _section(section, ini, context)
    if not found:
        message = f"{ini}: no section has use = egg:pointsman"
        raise ConfigError(message)
    return sorted(found.values(), key=lambda one: one.name != "app:main")


def names(ini: Path) -> list[str]:
    """Return what sections there are.

    Raises:
        ConfigError: the ini cannot be read.

    """
    return _parsed(ini).sections()


def address(ini: Path, name: str, variables: Mapping[str, str]) -> Address:
    """Return where ``[server:NAME]`` listens.

    Raises:
        ConfigError: the section is missing or wrong.

    """
    context = _context(ini, f"server:{name}", variables)
    given = context.local_conf
    if context.object is server_runner:
        place = server_settings.Place(str(ini), f"server:{name}")
        read = server_settings.read(given, place, context.global_conf)
        return _bound(read.adjustments)
    listen = str(given.get("listen", given.get("bind", ""))).split()
    host, _, port = listen[0].rpartition(":") if listen else ("", "", "")
    host, port = host or given.get("host", ""), port or given.get("port", "8080")
    if not port.isdecimal():
        message = f"{ini} [server:{name}]: {port!r} is no port; give --url instead"
        raise ConfigError(message)
    return Address(_reachable(host), int(port))


def _bound(adjustments: Any) -> Address:
    if adjustments.unix_socket:
        return Address(unix_socket=adjustments.unix_socket)
    host, port = adjustments.listen[0][3][:2]
    return Address(_reachable(host), port)


def _reachable(host: str) -> str:
    everywhere = {"": "127.0.0.1", "*": "127.0.0.1", "0.0.0.0": "127.0.0.1"}  # noqa: S104
    return {**everywhere, "::": "::1", "[::]": "::1"}.get(host, host).strip("[]")


def _section(name: str, ini: Path, context: Any) -> Section:
    conf = context.global_conf
    over = inclusion.included(context.local_conf, str(ini), name, conf)
    parsed = settings_module.parse(
        context.local_conf,
        file=str(ini),
        section=name,
        here=conf["here"],
        included=over,
    )
    return Section(name, parsed, conf)


def _unwrapped(context: Any) -> Any:
    """Return the section's own context; those of its ``filter-with`` stand before."""
    while hasattr(context, "next_context"):
        context = context.next_context
    return context


def _context(ini: Path, section: str, variables: Mapping[str, str]) -> Any:
    kind, _, name = section.partition(":")
    try:
        return loadcontext(
            _KINDS[kind],
            f"config:{ini.absolute()}",
            name=name,
            global_conf=dict(variables),
        )
    except (LookupError, IniError, ImportError, AttributeError, ValueError) as error:
        message = f"{ini} [{section}]: {' '.join(str(error).split())}"
        raise ConfigError(message) from error


def _parsed(ini: Path) -> RawConfigParser:
    parser = RawConfigParser(strict=False)
    try:
        parser.read_string(ini.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, IniError) as error:
        message = f"{ini} cannot be read: {' '.join(str(error).split())}"
        raise ConfigError(message) from error
    return parser
