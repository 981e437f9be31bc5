"""The keys of ``[server:main]``, checked before anything is opened.

Values and decisions.  The keys are waitress's adjustments, which its documentation
explains, and the two of the drain.  Unlike waitress, a switch that says neither yes
nor no is an error.  Other defaults than waitress's, and why:

============================ =========== =========================================
key                          default     because
============================ =========== =========================================
``host``                     127.0.0.1   reachable from outside only when asked
``threads``                  8           4 are used up by four slow calls
``connection_limit``         500         100 keep-alive browsers must not block
                                         the next one
``asyncore_use_poll``        yes         select(2) breaks at descriptor 1024
``channel_request_lookahead`` 0          (waitress's own, said here because a drain
                                         counts on answers in order)
============================ =========== =========================================
"""

from __future__ import annotations

from configparser import ConfigParser, Error
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from waitress.adjustments import Adjustments, asbool, asoctal

from pointsman.errors import ConfigError, did_you_mean
from pointsman.inclusion import included
from pointsman.settings import INCLUDE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

DRAIN_TIMEOUT = 30.0
KEEP_ALIVE_GRACE = 2.0
_ADDRESS = {"host", "port"}
_ELSEWHERE = {"listen", "unix_socket"}
_OURS = {"drain_timeout": DRAIN_TIMEOUT, "keep_alive_grace": KEEP_ALIVE_GRACE}
_DEFAULTS: dict[str, object] = {
    "threads": 8,
    "connection_limit": 500,
    "asyncore_use_poll": True,
}
_SWITCH = dict.fromkeys(("yes", "true", "on", "1", "y", "t"), True) | dict.fromkeys(
    ("no", "false", "off", "0", "n", "f"), False
)
# ``sockets`` is no text, and ``send_bytes`` is deprecated.
_CASTS: Mapping[str, Callable[[Any], object]] = {
    key: converter
    for key, converter in cast(Any, Adjustments)._params  # noqa: SLF001 - its only list
    if key not in {"sockets", "send_bytes"}
}


@dataclass(frozen=True, slots=True)
class Place:
    """Where settings were written, for messages."""

    file: str = "the ini file"
    section: str = "server:main"

    def wrong(self, key: str, value: object, accepted: str) -> ConfigError:
        """Return the error for a bad value."""
        return ConfigError(
            f"{self.file}: [{self.section}] {key} = {value}: must be {accepted}"
        )


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """How to serve.

    ``drain_timeout`` is how many seconds a stop may take in all;
    ``keep_alive_grace`` how long a stopping server still answers one more request
    on a connection that is idle.  ``adjustments`` are waitress's, resolved;
    ``adjustments.listen`` holds the addresses to bind.
    """

    adjustments: Adjustments
    drain_timeout: float
    keep_alive_grace: float
    place: Place


def read(
    given: Mapping[str, object],
    place: Place,
    variables: Mapping[str, str] | None = None,
) -> ServerSettings:
    """Check the settings of one server section, and of what it includes.

    ``variables`` are what ``%(...)s`` can be in an included file.

    Raises:
        ConfigError: an unknown key, a bad value, keys that exclude each other; an
            included file that cannot be used.

    """
    values = dict(_DEFAULTS)
    ours = dict(_OURS)
    for key, value, origin in _layered(given, place, variables or {}):
        if key in ours:
            ours[key] = _seconds(origin, key, value)
        elif key in _CASTS:
            values[key] = _checked(origin, key, value)
        else:
            raise _unknown(origin, key)
    return ServerSettings(_adjustments(values, place), **ours, place=place)


def _layered(
    given: Mapping[str, object], place: Place, variables: Mapping[str, str]
) -> Iterator[tuple[str, object, Place]]:
    """Yield the settings that count, with where each is written.

    An included address replaces the section's own, in whatever words that is written.
    """
    over = included(given, place.file, place.section, variables)
    wins = set(over.values) if over else set()
    if wins & _ELSEWHERE:
        wins |= _ADDRESS
    elif wins & _ADDRESS:
        wins |= _ELSEWHERE
    for key, value in given.items():
        if key not in wins and key != INCLUDE:
            yield key, value, place
    if over is not None:
        own = Place(str(over.file), over.section)
        yield from ((key, value, own) for key, value in over.values.items())


def _unknown(place: Place, key: str) -> ConfigError:
    return ConfigError(
        f"{place.file}: [{place.section}] has no setting {key!r}"
        f"{did_you_mean(key, [*_CASTS, *_OURS])}"
    )


def _seconds(place: Place, key: str, value: object) -> float:
    try:
        number = float(str(value))
    except ValueError:
        number = -1.0
    if not 0 <= number < float("inf"):
        raise place.wrong(key, value, "a number of seconds, 0 or more")
    return number


def _checked(place: Place, key: str, value: object) -> object:
    """Refuse what waitress would take for something else; return the value."""
    converter = _CASTS[key]
    if converter is asbool:
        if str(value).strip().lower() not in _SWITCH:
            raise place.wrong(key, value, "yes or no")
        return _SWITCH[str(value).strip().lower()]
    if converter is int:
        return _whole(place, key, value)
    if converter is asoctal:
        try:
            asoctal(str(value))
        except ValueError as error:
            raise place.wrong(key, value, "octal digits, like 660") from error
        return str(value)
    return value


def _whole(place: Place, key: str, value: object) -> int:
    least = 1 if key in {"threads", "backlog", "connection_limit"} else 0
    most = 65535 if key == "port" else 2**63
    text = str(value).strip()
    if not text.isdecimal() or not least <= int(text) <= most:
        limit = f" to {most}" if key == "port" else " or more"
        raise place.wrong(key, value, f"a whole number, {least}{limit}")
    return int(text)


def _adjustments(values: dict[str, object], place: Place) -> Adjustments:
    """Let waitress resolve addresses and find keys that exclude each other."""
    if not values.keys() & {"listen", "unix_socket", "host"}:
        values["host"] = "127.0.0.1"
    if values.get("trusted_proxy") and not values.get("trusted_proxy_headers"):
        message = "needs trusted_proxy_headers, for example x-forwarded-for"
        raise ConfigError(f"{place.file}: [{place.section}] trusted_proxy {message}")
    try:
        return Adjustments(**values)
    except ValueError as error:
        where = ", ".join(
            f"{key} = {values[key]}"
            for key in ("host", "port", "listen", "unix_socket", "trusted_proxy")
            if key in values
        )
        raise ConfigError(
            f"{place.file}: [{place.section}] {where}: {str(error).rstrip('.')}"
        ) from error


def place_of(given: Mapping[str, object], global_conf: Mapping[str, str]) -> Place:
    """Find out which section holds settings that PasteDeploy handed over.

    A server runner is not told its section's name; the ini is looked through for
    the server section that has these keys.
    """
    file = global_conf.get("__file__", "")
    if not file:
        return Place()
    parser = ConfigParser(interpolation=None, default_section="\0none")
    try:
        parser.read(file, encoding="utf-8")
    except Error:
        return Place(file)
    for section in parser.sections():
        if section.startswith("server:") and given.keys() <= set(parser[section]):
            return Place(file, section)
    return Place(file)
