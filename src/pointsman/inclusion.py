"""``include = PATH`` in a section: settings of this machine, laid over it.  Effects.

The ini of a release is sealed with it.  What differs from machine to machine, and what
is secret, stands in a file that outlives releases: its section of the same name wins,
key by key.  ``include = -PATH`` may be missing; without the dash it must be there, so
that a lost file is told and not served without.
"""

from __future__ import annotations

import os
from configparser import ConfigParser, RawConfigParser
from configparser import Error as IniError
from pathlib import Path
from typing import TYPE_CHECKING

from pointsman.errors import ConfigError, did_you_mean
from pointsman.settings import INCLUDE, Included

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_KINDS = ("app:", "application:", "filter:", "filter-app:", "server:")
_LOGGING = ("logger", "handler", "formatter")
_NO_DEFAULTS = "\0none"


def included(
    given: Mapping[str, object],
    ini: str,
    section: str,
    variables: Mapping[str, str],
) -> Included | None:
    """Return what ``[section]`` of ``ini`` includes; ``given`` are its settings.

    ``variables`` are for ``%(...)s``; ``%(here)s`` is the folder of the included file.

    Raises:
        ConfigError: the file is missing, unreadable, no ini, or has a section that
            ``ini`` does not have.

    """
    wanted = str(given.get(INCLUDE, "")).strip()
    path = _path(wanted, ini)
    text = _read(path, f"{ini} [{section}] {INCLUDE} = {wanted}") if path else None
    if path is None or (text is None and wanted.startswith("-")):
        return None
    if text is None:
        raise ConfigError(
            f"{ini} [{section}] {INCLUDE} = {wanted}: there is no such file; make "
            f"it, or write {INCLUDE} = -{wanted} if it may be missing"
        )
    try:
        found = _values(text, path, section, variables)
        _require_known(_parsed(text, path).sections(), path, ini)
    except IniError as error:
        message = f"{path} is no ini file: {' '.join(str(error).split())}"
        raise ConfigError(message) from error
    return Included(path, section, found)


def file_of(ini: Path, variables: Mapping[str, str]) -> Path | None:
    """Return the file that the sections of an ini include, if it is there.

    Raises:
        configparser.Error: the ini is none, or a variable is missing.

    """
    parser = ConfigParser(_known(ini, variables), strict=False)
    parser.read(ini, encoding="utf-8")
    for section in parser.sections():
        if section.startswith(_KINDS) and parser.has_option(section, INCLUDE):
            path = _path(parser.get(section, INCLUDE), str(ini))
            if path is not None and path.is_file():
                return path
    return None


def section_of(given: Iterable[str], ini: str) -> str:
    """Return the section with ``include`` that has these settings.

    PasteDeploy tells a factory its settings, and not the name of their section.

    Raises:
        ConfigError: several look the same.

    """
    parser = RawConfigParser(default_section=_NO_DEFAULTS, strict=False)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(ini, encoding="utf-8")
    keys = set(given)
    fitting = {
        name: _own_keys(parser[name])
        for name in parser.sections()
        if name.startswith(_KINDS) and INCLUDE in parser[name]
    }
    sizes = {name: len(own) for name, own in fitting.items() if own <= keys}
    best = [name for name in sizes if sizes[name] == max(sizes.values())]
    if len(best) == 1:
        return best[0]
    names = " and ".join(f"[{name}]" for name in best) or "the sections"
    raise ConfigError(
        f"{ini}: {names} have the same keys, so that {INCLUDE} cannot tell them apart; "
        "give each a key that the other does not have, like control.path"
    )


def _own_keys(section: Iterable[str]) -> set[str]:
    """Return the keys that become settings as they stand."""
    return {key for key in section if key != "use" and " " not in key}


def _path(wanted: str, ini: str) -> Path | None:
    """Return the file that is meant; relative ones are below the folder of the ini."""
    text = wanted.strip().removeprefix("-").strip()
    return Path(os.path.normpath(Path(ini).absolute().parent / text)) if text else None


def _read(path: Path, place: str) -> str | None:
    try:
        return path.read_text("utf-8")
    except FileNotFoundError:
        return None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{place}: it is no ini file, not UTF-8") from error
    except OSError as error:
        message = f"{place}: it cannot be read: {error.strerror}"
        raise ConfigError(message) from error


def _parsed(text: str, path: Path) -> RawConfigParser:
    parser = RawConfigParser(default_section=_NO_DEFAULTS)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(text, str(path))
    return parser


def _values(
    text: str, path: Path, section: str, variables: Mapping[str, str]
) -> dict[str, str]:
    """Return the keys that stand in the section itself, with their places filled."""
    written = _parsed(text, path)
    if not written.has_section(section):
        return {}
    parser = ConfigParser(_known(path, variables))
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(text, str(path))
    return {key: parser.get(section, key) for key in written[section]}


def _known(path: Path, variables: Mapping[str, str]) -> dict[str, str]:
    """Return what ``%(...)s`` can be in a file."""
    known = {name: value.replace("%", "%%") for name, value in variables.items()}
    return known | {"here": str(path.parent), "__file__": str(path)}


def _require_known(sections: Iterable[str], path: Path, ini: str) -> None:
    """Refuse a section that nothing would ever read."""
    parser = RawConfigParser(strict=False)
    parser.read(ini, encoding="utf-8")
    known = parser.sections()
    for name in sections:
        if name not in (*known, "DEFAULT") and not name.startswith(_LOGGING):
            raise ConfigError(
                f"{path}: {ini} has no section [{name}] that this one could be laid "
                f"over{did_you_mean(name, known)}"
            )
