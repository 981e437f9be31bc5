"""The strings of an ini section, as one frozen object.  Decisions.

Reads neither the environment nor the disk.
"""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass, field, fields
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from pointsman.errors import ConfigError, did_you_mean
from pointsman.routing import mount_key

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_MIB = 1024 * 1024
_SHORTEST = 0.01  # seconds between two looks at a directory
#: The key of any section of ours that lays another file over it.
INCLUDE = "include"
_IDENTITY = re.compile(r"[A-Za-z0-9_.-]{1,100}\Z")


class Trigger(enum.StrEnum):
    """When a directory is looked at; always at the start, and on reload."""

    NOTIFIED = "notified"  # when the kernel tells of a change
    POLLED = "polled"  # every so often
    ON_DEMAND = "on-demand"  # on reload only
    DISABLED = "disabled"  # at the start only


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
    #: The database of generations; a SQLAlchemy URL.  "" is a file in work_dir.
    ledger_url: str = ""
    #: How long all nodes may take to load a generation before it fails.
    deploy_timeout: float = 120.0
    #: How long a node counts as alive without a sign of it.
    cluster_lease: float = 15.0
    #: After how long without a sign a node is left out of later ballots.
    cluster_absent_after: float = 60.0
    #: Directories in which modules, archives and wheels are dropped to be deployed.
    pickup_dirs: tuple[Path, ...] = ()
    #: Take a picked-up file away when it is deployed.
    pickup_delete: bool = True
    #: When the pick-up directories are looked at.
    pickup_trigger: Trigger = Trigger.NOTIFIED
    #: How often, where they are polled; in seconds.
    pickup_rate: float = 5.0
    #: How many generations can be gone back to.
    backup_history: int = 100
    #: Directories that say what is deployed: add, replace and remove files.
    archive_dirs: tuple[Path, ...] = ()
    #: What they are called in the ledger, in that order; "" is host and path.
    archive_ids: tuple[str, ...] = ()
    #: When the archive directories are looked at.
    archives_trigger: Trigger = Trigger.NOTIFIED
    #: How often, where they are polled; in seconds.
    archives_rate: float = 5.0
    #: The largest artifact that is taken, in bytes.
    upload_limit: int = 256 * _MIB
    #: Say in each answer which generation and which artifact made it.
    headers: bool = True
    #: Count requests per service and show them under ``metrics``.
    metrics: bool = True
    #: ``service.<name>.<key>``: settings by service.
    services: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    #: ``resource.<name>``: URIs by name.
    resources: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Included:
    """What a section includes: the section of the same name of ``file``."""

    file: Path
    section: str
    values: Mapping[str, str]

    @property
    def here(self) -> Path:
        """The folder that its relative paths are below."""
        return self.file.parent


def parse(
    strings: Mapping[str, str],
    *,
    file: str = "",
    section: str = "app:main",
    here: str = ".",
    included: Included | None = None,
) -> Settings:
    """Make settings of an ini section; relative paths are below ``here``.

    What is ``included`` wins, key by key; its relative paths are below its own folder.
    ``strings`` may have the key ``include``, which was followed before.

    Raises:
        ConfigError: an unknown key, or a value that is not accepted; it names
            the file, the section, the key and what would be accepted.

    """
    place = f"{file or 'the settings'} [{section}]"
    values: dict[str, Any] = {"services": {}, "resources": {}}
    for key, text in strings.items():
        if key != INCLUDE:
            _set(values, key, text, Path(here), place)
    if included is not None:
        for key, text in included.values.items():
            own = f"{included.file} [{included.section}]"
            _set(values, key, text, included.here, own)
    values.setdefault("work_dir", (Path(here) / "var").absolute())
    values.setdefault("control_token_file", values["work_dir"] / "control.token")
    _require_directories(values, place)
    values["services"] = MappingProxyType(
        {name: MappingProxyType(found) for name, found in values["services"].items()}
    )
    values["resources"] = MappingProxyType(values["resources"])
    return Settings(**values)


def _set(values: dict[str, Any], key: str, text: str, here: Path, place: str) -> None:
    """Add one setting to the values.

    Raises:
        ConfigError: it is unknown or not accepted.

    """
    if key.startswith("service."):
        _service_setting(values["services"], key, text, place)
    elif key.startswith("resource."):
        name = _resource_name(key, text, place)
        values["resources"][name] = text.strip()
    elif key in _KEYS:
        name, convert = _KEYS[key]
        values[name] = _converted(convert, text, here, f"{place} {key}")
    else:
        near = did_you_mean(key, [*_KEYS, "service.<name>.<key>", "resource.<name>"])
        message = f"{place}: there is no setting {key!r}{near}"
        raise ConfigError(message)


def _require_directories(values: Mapping[str, Any], place: str) -> None:
    """Refuse directories that would be watched twice, or have no identity."""
    ids, locations = values.get("archive_ids", ()), values.get("archive_dirs", ())
    if ids and len(ids) != len(locations):
        message = (
            f"{place} archives.id: {len(ids)} names for {len(locations)} directories; "
            "give each of archives.location one, in the same order"
        )
        raise ConfigError(message)
    keys = ("hot_deploy.pickup_dir", "archives.location")
    watched = [(path, key) for key in keys for path in values.get(_KEYS[key][0], ())]
    seen: dict[Path, str] = {}
    for path, key in watched:
        if path in seen:
            message = f"{place} {key}: {path} is in {seen[path]} already; name it once"
            raise ConfigError(message)
        seen[path] = key


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


_PERIOD = re.compile(r"(?:(\d+)h)?(?:(\d+)m(?!s))?(?:(\d+)s)?(?:(\d+)ms)?\Z", re.ASCII)


def _period(text: str, _here: Path) -> float:
    """Accept ``500ms``, ``5s``, ``1m30s``; a bare number is milliseconds."""
    match = _PERIOD.match(f"{text}ms" if text.isdigit() else text.lower())
    if match is None or not any(match.groups()):
        message = "a period is needed, like 500ms, 5s or 1m30s"
        raise ValueError(message)
    hours, minutes, seconds, millis = (int(part or 0) for part in match.groups())
    period = hours * 3600 + minutes * 60 + seconds + millis / 1000
    if period < _SHORTEST:
        message = "a period of at least 10ms is needed"
        raise ValueError(message)
    return period


def _trigger(text: str, _here: Path) -> Trigger:
    try:
        return Trigger(text.lower())
    except ValueError:
        message = f"accepted are {', '.join(Trigger)}"
        raise ValueError(message) from None


def _identities(text: str, _here: Path) -> tuple[str, ...]:
    names = tuple(text.split())
    if len(set(names)) != len(names) or not all(_IDENTITY.match(n) for n in names):
        message = "different names are needed, of letters, digits, '_', '.' and '-'"
        raise ValueError(message)
    return names


def _count(text: str, _here: Path) -> int:
    if not text.isascii() or not text.isdigit() or int(text) < 2:  # noqa: PLR2004
        message = "a whole number is needed, 2 or more"
        raise ValueError(message)
    return int(text)


def _database(text: str, _here: Path) -> str:
    if text and not re.match(r"(sqlite|postgresql(\+psycopg)?)://", text):
        message = (
            "a URL is needed like sqlite:////srv/site/var/ledger.sqlite or "
            "postgresql://user@host/database"
        )
        raise ValueError(message)
    return text


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
    "headers": ("headers", _boolean),
    "ledger.url": ("ledger_url", _database),
    "deploy.timeout": ("deploy_timeout", _some_seconds),
    "cluster.lease": ("cluster_lease", _some_seconds),
    "cluster.absent_after": ("cluster_absent_after", _some_seconds),
    "hot_deploy.pickup_dir": ("pickup_dirs", _paths),
    "hot_deploy.delete_after_pick_up": ("pickup_delete", _boolean),
    "hot_deploy.update_trigger": ("pickup_trigger", _trigger),
    "hot_deploy.polling_rate": ("pickup_rate", _period),
    "hot_deploy.backup_history": ("backup_history", _count),
    "archives.location": ("archive_dirs", _paths),
    "archives.id": ("archive_ids", _identities),
    "archives.update_trigger": ("archives_trigger", _trigger),
    "archives.polling_rate": ("archives_rate", _period),
    "control.max_upload_mb": ("upload_limit", _mebibytes),
}

#: The keys of an ini section, for the reference and its test.
KEYS = tuple(_KEYS)

# One key for each field, and one field for each key.
_FIELDS = {f.name for f in fields(Settings)} - {"services", "resources"}
if {name for name, _ in _KEYS.values()} != _FIELDS:  # pragma: no cover
    raise AssertionError(_FIELDS)
