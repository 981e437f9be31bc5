"""The strings of an ini section, as one frozen object.  Decisions.

Reads neither the environment nor the disk.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from pointsman.errors import ConfigError, did_you_mean
from pointsman.routing import mount_key

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Settings:
    """What the operator wants.  Paths are absolute; durations are in seconds."""

    #: The list of service sources; None serves nothing but the control surface.
    service_sources: Path | None = None
    #: Directories for ``sys.path``; looked at again on each reload.
    extra_paths: tuple[Path, ...] = ()
    #: Where this program writes; made when it is missing.
    work_dir: Path = Path("var")
    #: Where the control surface is mounted.
    control_path: str = "/_pointsman"
    #: The administrator's token of this machine; None turns it off.
    control_token_file: Path | None = None
    #: Run new code in a child process first.
    rehearse: bool = True
    #: How long loading may take before it is given up.
    staging_timeout: float = 30.0
    #: Memory that new code may take in its rehearsal, in bytes; 0 is no limit.
    rehearse_memory: int = 1024 * _MIB
    #: How long a replaced version stays ready after its last request.
    keep_warm: float = 600.0
    #: How long requests may hold on to a replaced version before it is lingering.
    retire_timeout: float = 60.0
    #: Count requests per service and show them under ``metrics``.
    metrics: bool = True
    #: ``service.<name>.<key>``: settings by service.
    services: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    #: ``resource.<name>``: URIs by name.
    resources: Mapping[str, str] = field(default_factory=dict)


def parse(
    strings: Mapping[str, str],
    *,
    file: str = "",
    section: str = "app:main",
    here: str = ".",
) -> Settings:
    """Make settings of an ini section; relative paths are below ``here``.

    Raises:
        ConfigError: an unknown key, or a value that is not accepted; it names
            ``file``, ``section``, the key and what would be accepted.

    """
    place = f"{file or 'the settings'} [{section}]"
    values: dict[str, Any] = {"services": {}, "resources": {}}
    for key, text in strings.items():
        if key.startswith("service."):
            _service_setting(values["services"], key, text, place)
        elif key.startswith("resource."):
            name = _resource_name(key, text, place)
            values["resources"][name] = text.strip()
        elif key in _KEYS:
            name, convert = _KEYS[key]
            values[name] = _converted(convert, text, Path(here), f"{place} {key}")
        else:
            near = did_you_mean(
                key, [*_KEYS, "service.<name>.<key>", "resource.<name>"]
            )
            message = f"{place}: there is no setting {key!r}{near}"
            raise ConfigError(message)
    values.setdefault("work_dir", (Path(here) / "var").absolute())
    values.setdefault("control_token_file", values["work_dir"] / "control.token")
    values["services"] = MappingProxyType(
        {name: MappingProxyType(found) for name, found in values["services"].items()}
    )
    values["resources"] = MappingProxyType(values["resources"])
    return Settings(**values)


def _service_setting(
    services: dict[str, dict[str, str]], key: str, text: str, place: str
) -> None:
    name, _, setting = key.removeprefix("service.").rpartition(".")
    if not name or not setting:
        message = (
            f"{place}: {key!r} names no service; write "
            "service.<name of the service>.<setting>"
        )
        raise ConfigError(message)
    services.setdefault(name, {})[setting] = text


def _resource_name(key: str, text: str, place: str) -> str:
    name = key.removeprefix("resource.")
    if not name or not text.strip():
        message = (
            f"{place} {key} = {text}: write resource.<name> = URI, like "
            "resource.guestbook = file:///srv/site/Data.fs"
        )
        raise ConfigError(message)
    return name


def _converted(
    convert: Callable[[str, Path], Any], text: str, here: Path, place: str
) -> Any:
    try:
        return convert(text.strip(), here)
    except ValueError as error:
        message = f"{place} = {text}: {error}"
        raise ConfigError(message) from None


def _path(text: str, here: Path) -> Path:
    if not text:
        message = "a path is needed"
        raise ValueError(message)
    try:
        return (here / Path(text).expanduser()).absolute()
    except RuntimeError:  # "~nobody"
        message = "a path is needed; there is no such home directory"
        raise ValueError(message) from None


def _optional_path(text: str, here: Path) -> Path | None:
    return _path(text, here) if text else None


def _paths(text: str, here: Path) -> tuple[Path, ...]:
    """Accept one path on each line, and ``:`` between paths."""
    parts = [p.strip() for line in text.splitlines() for p in line.split(":")]
    return tuple(_path(part, here) for part in parts if part)


def _boolean(text: str, _here: Path) -> bool:
    word = text.lower()
    if word in ("yes", "true", "on", "1"):
        return True
    if word in ("no", "false", "off", "0"):
        return False
    message = "accepted are yes and no"
    raise ValueError(message)


def _seconds(text: str, _here: Path) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < float("inf"):
        message = "a number of seconds is needed, 0 or more"
        raise ValueError(message)
    return seconds


def _some_seconds(text: str, here: Path) -> float:
    seconds = _seconds(text, here)
    if not seconds:
        message = "a number of seconds above 0 is needed"
        raise ValueError(message)
    return seconds


def _mebibytes(text: str, _here: Path) -> int:
    if not text.isascii() or not text.isdigit():
        message = "a whole number of MiB is needed; 0 is no limit"
        raise ValueError(message)
    return int(text) * _MIB


def _mount(text: str, _here: Path) -> str:
    if not mount_key(text):
        message = "the control surface needs a path of its own, like /_pointsman"
        raise ValueError(message)
    return text.rstrip("/")


_KEYS: Mapping[str, tuple[str, Callable[[str, Path], Any]]] = {
    "service_sources": ("service_sources", _optional_path),
    "extra_paths": ("extra_paths", _paths),
    "work_dir": ("work_dir", _path),
    "control.path": ("control_path", _mount),
    "control.token_file": ("control_token_file", _optional_path),
    "rehearse": ("rehearse", _boolean),
    "rehearse_memory_mb": ("rehearse_memory", _mebibytes),
    "staging_timeout": ("staging_timeout", _some_seconds),
    "keep_warm": ("keep_warm", _seconds),
    "retire_timeout": ("retire_timeout", _some_seconds),
    "metrics": ("metrics", _boolean),
}

#: The keys of an ini section, for the reference and its test.
KEYS = tuple(_KEYS)

# One key for each field, and one field for each key.
_FIELDS = {f.name for f in fields(Settings)} - {"services", "resources"}
if {name for name, _ in _KEYS.values()} != _FIELDS:  # pragma: no cover
    raise AssertionError(_FIELDS)
