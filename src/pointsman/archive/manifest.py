"""What a ``service.ini`` says.  Decisions."""

from __future__ import annotations

import configparser
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from pointsman.archive.unfit import Unfit
from pointsman.errors import did_you_mean
from pointsman.model import Declared
from pointsman.routing import mount_key

if TYPE_CHECKING:
    from collections.abc import Mapping

#: The manifest's place in an archive.
MANIFEST: Final = "service.ini"

#: The keys of ``[package]``, and those of ``[service:NAME]`` that are no settings.
PACKAGE_KEYS: Final = ("name", "version", "isolation")
SERVICE_KEYS: Final = ("use", "path", "factory")

#: Where an archive keeps libraries of its own.
LIB: Final = "lib/"

_SERVICE = "service:"
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,199}\Z")
_VERSION = re.compile(r"[A-Za-z0-9_.+!-]{0,100}\Z")
_USE = re.compile(
    r"[^\W\d]\w*(?:\.[^\W\d]\w*)*:[^\W\d]\w*(?:\.[^\W\d]\w*)*\Z", re.ASCII
)
# Behind a value, with blanks on both sides: a colour, say, is "#fff" still.
_COMMENT = re.compile(r"(?<=\S)\s+#(?:\s.*)?\Z")
_UNSEEN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\x85\u2028\u2029]")
_WORDS = {"yes": True, "true": True, "on": True, "1": True}
_WORDS |= {"no": False, "false": False, "off": False, "0": False}

#: What an archive that cannot run in the host's process is told.
NO_WORKERS: Final = (
    "needs a process of its own (isolation = process), which this release cannot give "
    "it yet"
)


@dataclass(frozen=True, slots=True)
class Manifest:
    """What an archive says of itself.

    ``isolation`` is ``namespace`` or ``process``, or empty where nothing is said.
    """

    name: str
    version: str = ""
    isolation: str = ""
    declared: tuple[Declared, ...] = ()


def parse_manifest(text: str) -> Manifest:
    """Read a manifest.  Values are taken as they stand: nothing is interpolated.

    Raises:
        Unfit: a section or a key that there is not, or a value that is not
            accepted; with section, key, and what would be.

    """
    sections = _sections(text.replace("\r\n", "\n"))
    if "package" not in sections:
        near = did_you_mean("package", sections)
        raise _bad(f"there is no section [package] with the name of the package{near}")
    for section in sections:
        if section != "package" and not section.startswith(_SERVICE):
            near = did_you_mean(section, ["package", "service:NAME", *_meant(section)])
            raise _bad(f"there is no section [{section}]{near}")
    package = sections["package"]
    for key in package:
        if key not in PACKAGE_KEYS:
            near = did_you_mean(key, PACKAGE_KEYS)
            raise _bad(f"[package]: there is no key {key!r}{near}")
    return Manifest(
        name=_name(package),
        version=_version(package.get("version", "")),
        isolation=_isolation(package.get("isolation", "")),
        declared=_declared(sections),
    )


def service_name(name: str) -> str:
    """Return a service's name, if it can be one.

    Raises:
        Unfit: it cannot.

    """
    if not _NAME.match(name):
        raise Unfit(
            f"{name[:80]!a} cannot be a service's name; it has letters, digits, "
            "'_', '.' and '-' only, at most 200 of them"
        )
    return name


def used(use: str) -> str:
    """Return a ``module:callable``, if it is one.

    Raises:
        Unfit: it is none.

    """
    if not _USE.match(use):
        raise Unfit(f"{use[:200]!r} is no module:callable, like crm.web:application")
    return use


def _sections(text: str) -> dict[str, dict[str, str]]:
    parser = configparser.RawConfigParser(delimiters=("=",), default_section="\n")
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    unseen = _UNSEEN.search(text)
    if unseen:
        raise _bad(f"it has the character {unseen[0]!r}, which cannot be seen")
    lines = [_COMMENT.sub("", line) for line in text.split("\n")]
    try:
        parser.read_string("\n".join(lines), MANIFEST)
    except configparser.DuplicateSectionError as error:
        raise _bad(f"line {error.lineno}: [{error.section}] is there twice") from None
    except configparser.DuplicateOptionError as error:
        raise _bad(
            f"line {error.lineno}: [{error.section}] has the key {error.option!r} twice"
        ) from None
    except configparser.MissingSectionHeaderError as error:
        raise _bad(
            f"line {error.lineno}: a section is needed first, [package]"
        ) from None
    except configparser.ParsingError as error:
        number = error.errors[0][0] if error.errors else len(lines)
        shown = lines[number - 1].strip()
        raise _bad(f"line {number}: {shown!r} is no key = value") from None
    return {name: dict(parser.items(name)) for name in parser.sections()}


def _meant(section: str) -> list[str]:
    """Return how a section would be called that has a service's name in it."""
    name = section.partition(":")[2] or section.partition(" ")[2]
    return [_SERVICE + name.strip()] if name else []


def _bad(reason: str) -> Unfit:
    return Unfit(f"{MANIFEST}: {reason}")


def _name(package: Mapping[str, str]) -> str:
    name = package.get("name", "")
    if not name:
        raise _bad("[package] has no name; write name = NAME")
    if not _NAME.match(name):
        raise _bad(
            f"[package] name = {name[:80]!a} cannot be a package's name; it has "
            "letters, digits, '_', '.' and '-' only, at most 200 of them"
        )
    return name


def _version(version: str) -> str:
    if not _VERSION.match(version):
        raise _bad(
            f"[package] version = {version[:80]!a}: letters, digits, '_', '.', "
            "'+', '!' and '-' are accepted, at most 100 of them"
        )
    return version


def _isolation(isolation: str) -> str:
    accepted = ("namespace", "process")
    if isolation and isolation not in accepted:
        near = did_you_mean(isolation, accepted)
        raise _bad(
            f"[package] isolation = {isolation}: accepted are namespace and process"
            f"{near}"
        )
    return isolation


def _declared(sections: Mapping[str, Mapping[str, str]]) -> tuple[Declared, ...]:
    found = []
    for section, keys in sections.items():
        if section.startswith(_SERVICE):
            try:
                found.append(_service(section.removeprefix(_SERVICE).strip(), keys))
            except Unfit as unfit:
                raise _bad(f"[{section}] {unfit}") from None
    names = [one.name for one in found]
    for name in names:
        if names.count(name) > 1:
            raise _bad(f"[{_SERVICE}{name}] is there twice")
    return tuple(found)


def _service(name: str, keys: Mapping[str, str]) -> Declared:
    service_name(name)
    if "use" not in keys:
        alike = [key for key in keys if did_you_mean(key, ["use"])]
        instead = f" ({alike[0]!r} may be meant to be it)" if alike else ""
        raise Unfit(f"has no key 'use'{instead}; write use = module:callable")
    path = keys.get("path", "")
    try:
        mount_key(path)
    except ValueError as error:
        raise Unfit(f"path = {path}: {error}") from None
    factory = keys.get("factory", "no").lower()
    if factory not in _WORDS:
        raise Unfit(f"factory = {factory}: accepted are yes and no")
    settings = tuple((k, text) for k, text in keys.items() if k not in SERVICE_KEYS)
    return Declared(name, _use(keys["use"]), path, _WORDS[factory], settings)


def _use(use: str) -> str:
    try:
        return used(use)
    except Unfit as unfit:
        raise Unfit(f"use: {unfit}") from None
