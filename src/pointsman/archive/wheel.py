"""What a wheel says of itself, and whether this host is what it needs.  Effects.

The binary distribution format is that of
https://packaging.python.org/specifications/binary-distribution-format/ (PEP 427),
its metadata that of the core metadata specification, requirements are PEP 508.
"""

from __future__ import annotations

import configparser
import importlib.metadata
import platform
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from packaging.markers import UndefinedEnvironmentName
from packaging.metadata import parse_email
from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.tags import parse_tag, sys_tags
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from pointsman.archive.manifest import NO_WORKERS, service_name, used
from pointsman.archive.unfit import Unfit
from pointsman.model import Declared

if TYPE_CHECKING:
    from collections.abc import Iterator

    from packaging.metadata import RawMetadata

    from pointsman.archive.members import Container

#: The group of entry points that are services.
GROUP: Final = "pointsman.services"

_INFO = re.compile(r"([^/]+)\.dist-info/WHEEL\Z")
_DATA = re.compile(r"[^/]+\.data/([^/]+)/")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,199}\Z")


@dataclass(frozen=True, slots=True)
class Wheel:
    """What a wheel says of itself.  ``info`` is its ``.dist-info`` folder."""

    name: str
    version: str
    info: str
    declared: tuple[Declared, ...] = ()


def info_folder(names: tuple[str, ...]) -> str | None:
    """Return the ``.dist-info`` folder of a wheel; None for what is no wheel."""
    found = [match[1] for name in names if (match := _INFO.match(name))]
    return f"{found[0]}.dist-info" if len(found) == 1 else None


def read_wheel(container: Container, info: str) -> Wheel:
    """Read what a wheel says, and check that it can be used on this host.

    The bytes of its files are not compared with its record yet; see `record.Record`.

    Raises:
        Unfit: it cannot be used.

    """
    _check_wheel(container.text(f"{info}/WHEEL"))
    metadata = _metadata(container, info)
    name, version = _identity(metadata, info)
    _check_layout(container.names)
    _check_python(metadata.get("requires_python", ""))
    for text in metadata.get("requires_dist", []):
        _check_requirement(text)
    return Wheel(name, version, info, tuple(_services(container, info)))


# WHAT IT IS


def _check_wheel(text: str) -> None:
    told: dict[str, list[str]] = {}
    for line in text.splitlines():
        key, _, value = line.partition(":")
        told.setdefault(key.strip().lower(), []).append(value.strip())
    version = told.get("wheel-version", [""])[0]
    if version.partition(".")[0] != "1":
        raise Unfit(f"it is a wheel of format {version or '?'}; 1.0 is understood")
    if told.get("root-is-purelib", [""])[0].lower() != "true":
        raise Unfit(_compiled("it is a wheel for one platform (Root-Is-Purelib)"))
    tags = {tag for text in told.get("tag", []) for tag in parse_tag(text)}
    if tags and tags.isdisjoint(sys_tags()):
        shown = ", ".join(sorted(map(str, tags)))
        raise Unfit(f"it is for {shown}, and this is Python {_python()}")


def _metadata(container: Container, info: str) -> RawMetadata:
    if f"{info}/METADATA" not in container:
        raise Unfit(f"it has no {info}/METADATA; build the wheel again")
    raw, _ = parse_email(container.text(f"{info}/METADATA"))
    return raw


def _identity(metadata: RawMetadata, info: str) -> tuple[str, str]:
    name, version = metadata.get("name", ""), metadata.get("version", "")
    if not _NAME.match(name):
        raise Unfit(f"{info}/METADATA: {name[:80]!a} cannot be a package's name")
    try:
        parsed = Version(version)
    except InvalidVersion:
        raise Unfit(f"{info}/METADATA: {version[:80]!r} is no version") from None
    called, _, numbered = info.removesuffix(".dist-info").partition("-")
    if canonicalize_name(called) != canonicalize_name(name) or numbered not in (
        version,
        str(parsed),
        str(parsed).replace("-", "_"),
    ):
        raise Unfit(f"its folder is {info}, and its METADATA says {name} {version}")
    return canonicalize_name(name), version


def _check_layout(names: tuple[str, ...]) -> None:
    for name in names:
        data = _DATA.match(name)
        if data:
            raise Unfit(
                f"it has {data[1]} to install elsewhere ({name}), which a package "
                "that is deployed cannot have; build it without, or install it into "
                "the host's environment"
            )
        if name.endswith(".pth") and "/" not in name:
            raise Unfit(
                f"it has {name}, which works only in an environment; build it "
                "without, or install it into the host's environment"
            )


def _compiled(what: str) -> str:
    return (
        f"{what}: a package with compiled code {NO_WORKERS}; install it into the "
        "host's environment"
    )


def _python() -> str:
    return platform.python_version()


# WHAT IT NEEDS


def _check_python(specifier: str) -> None:
    try:
        fits = SpecifierSet(specifier).contains(_python(), prereleases=True)
    except InvalidSpecifier:
        raise Unfit(
            f"its Requires-Python is {specifier[:80]!r}, which is none"
        ) from None
    if not fits:
        raise Unfit(f"it requires Python {specifier}, and this is Python {_python()}")


def _check_requirement(text: str) -> None:
    try:
        requirement = Requirement(text)
        _check_installed(requirement, "", set())
    except (InvalidRequirement, UndefinedEnvironmentName) as error:
        raise Unfit(
            f"it requires {text[:200]!r}, which cannot be read: {error}"
        ) from None


def _check_installed(requirement: Requirement, extra: str, seen: set[str]) -> None:
    """Compare a requirement, and what its extras require, with the host."""
    if requirement.marker and not requirement.marker.evaluate({"extra": extra}):
        return
    try:
        found = importlib.metadata.distribution(requirement.name)
    except importlib.metadata.PackageNotFoundError:
        raise _missing(requirement, "has none") from None
    if not requirement.specifier.contains(found.version, prereleases=True):
        raise _missing(requirement, f"has {found.version}")
    for wanted in sorted(requirement.extras):
        key = f"{canonicalize_name(requirement.name)}[{wanted}]"
        if key not in seen:
            seen.add(key)
            for text in found.requires or ():
                if "extra" in text.partition(";")[2]:
                    _check_installed(Requirement(text), wanted, seen)


def _missing(requirement: Requirement, instead: str) -> Unfit:
    return Unfit(
        f"it requires {requirement.name}{requirement.specifier}, and the host's "
        f"environment {instead}: a package with libraries of its own {NO_WORKERS}; "
        "install the library into the host's environment"
    )


# WHAT IT SERVES


def _services(container: Container, info: str) -> Iterator[Declared]:
    file = f"{info}/entry_points.txt"
    if file not in container:
        return
    parser = configparser.RawConfigParser(delimiters=("=",), default_section="\n")
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    try:
        parser.read_string(container.text(file))
        items = parser.items(GROUP) if parser.has_section(GROUP) else []
    except configparser.Error as error:
        reason = " ".join(str(error).split())
        raise Unfit(f"{file} cannot be read: {reason}") from None
    for name, use in items:
        try:
            yield Declared(service_name(name), used(use.replace(" ", "")))
        except Unfit as unfit:
            raise Unfit(f"{file} [{GROUP}] {name}: {unfit}") from None
