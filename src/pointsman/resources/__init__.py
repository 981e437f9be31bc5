"""The shared resources of the ini, opened when they are first asked for.  Effects.

``resource.<name> = URI`` is a ZODB for the schemes of zodburi (``file``, ``memory``,
``zeo``, ``zconfig``, ``demo``), and else an SQLAlchemy engine.  What a service gets
is the view of its own version; see `shared`.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pointsman.errors import ConfigError, ReleaseError, ServiceError, did_you_mean
from pointsman.namespace import callers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pointsman.resources.shared import Shared

#: The schemes of zodburi; all others are SQLAlchemy's.
OBJECT_SCHEMES = frozenset({"demo", "file", "memory", "zconfig", "zeo"})

_SCHEME = re.compile(r"([a-z][a-z0-9_+.-]*):", re.IGNORECASE)
_PASSWORD = re.compile(r"(?<=:)(?!//)[^:]*(?=@[^@]*$)|(?<=[?&]password=)[^&]*")


class Resources(Mapping[str, Any]):
    """``resource.<name>`` of the ini, by name.  Any thread.

    Nothing is opened before it is asked for, and each only once in a process: a
    forked child opens its own, and leaves those of its parent alone.
    """

    def __init__(self, uris: Mapping[str, str], *, rehearsing: bool = False) -> None:
        """Take the URIs by name; ``rehearsing`` opens object databases to read."""
        self._uris = dict(uris)
        self._rehearsing = rehearsing
        self._here = _Opened(self._uris)
        self._inherited: list[_Opened] = []
        self._swap = threading.Lock()  # guards _here and _inherited
        self._closed = False

    def __getitem__(self, name: str) -> Any:
        """Return the resource as the calling code's version may use it.

        Raises:
            KeyError: the ini has no such resource.
            ConfigError: its URI cannot be opened.
            ServiceError: the version that asks was retired.

        """
        if name not in self._uris:
            near = did_you_mean(name, self._uris)
            message = f"the ini has no resource.{name}{near}"
            raise KeyError(message)
        space = callers.nearest()
        if space is not None and space.forgotten:
            package = space.package
            reason = f"asks for resource.{name} after it was retired; end its threads"
            raise ServiceError(package.name, package.artifact.origin, reason)
        if self._closed:
            message = f"resource.{name} is closed: its node has ended"
            raise ReleaseError(message)
        return self._opened().get(name, self._open).view(space)

    def __contains__(self, name: object) -> bool:
        """Tell whether the ini has it; open nothing."""
        return name in self._uris

    def __iter__(self) -> Iterator[str]:
        """Return the names."""
        return iter(self._uris)

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._uris)

    def close(self) -> None:
        """Close what this process has opened; the last use must be over."""
        self._closed = True
        self._opened().close()

    def _opened(self) -> _Opened:
        with self._swap:
            if self._here.pid != os.getpid():
                # Kept as it is: closing it here would unlock the parent's file, and
                # talk on the parent's connections.
                self._inherited.append(self._here)
                self._here = _Opened(self._uris)
            return self._here

    def _open(self, name: str) -> Shared:
        uri = self._uris[name]
        try:
            return _aside(lambda: _shared(uri, rehearsing=self._rehearsing))
        except ConfigError as error:
            message = f"resource.{name} = {masked(uri)}: {error}"
            raise ConfigError(message) from error.__cause__
        except Exception as error:  # a storage or driver may raise anything
            reason = f"{type(error).__name__}: {masked(str(error))}"
            if type(error).__name__ == "LockError":
                reason += (
                    "; another process has this file open: it serves one process, "
                    "and zeo:// serves several"
                )
            message = f"resource.{name} = {masked(uri)} cannot be opened: {reason}"
            raise ConfigError(message) from error


class _Opened:
    """What one process has opened.

    A server that is not there may take half a minute to say so.  Those who have waited
    for such an attempt share its end, and do not wait half a minute each.
    """

    def __init__(self, names: Mapping[str, str]) -> None:
        self.pid = os.getpid()
        # One for each name: a database that is slow to open holds up no other.
        self._locks = {name: threading.Lock() for name in names}
        self._shared: dict[str, Shared] = {}  # each guarded by the lock of its name
        # The last of each, alone in a list of its own; so is this.
        self._failures: dict[str, list[str]] = {}

    def get(self, name: str, open_: Callable[[str], Shared]) -> Shared:
        before = self._failures.get(name)
        with self._locks[name]:
            if name in self._shared:
                return self._shared[name]
            failure = self._failures.get(name)
            if failure is not None and failure is not before:
                raise ConfigError(failure[0])
            try:
                self._shared[name] = open_(name)
            except ConfigError as error:
                # Not the error itself: its traceback would hold on to who asked.
                self._failures[name] = [str(error)]
                raise
            return self._shared[name]

    def close(self) -> None:
        for name, lock in self._locks.items():
            with lock:
                shared = self._shared.pop(name, None)
                if shared is not None:
                    shared.close()


def masked(text: str) -> str:
    """Return a URI, or a message with one, without the password in it."""
    return _PASSWORD.sub("***", text)


def _shared(uri: str, *, rehearsing: bool) -> Shared:
    scheme = _SCHEME.match(uri)
    if scheme is None:
        message = (
            "a URI is needed, like file:///srv/site/Data.fs, zeo://host:9991, "
            "memory://, sqlite:////srv/site/site.db or postgresql+psycopg://host/name"
        )
        raise ConfigError(message)
    if scheme[1].lower() in OBJECT_SCHEMES:
        return _database(uri, rehearsing=rehearsing)
    return _engine(uri)


def _database(uri: str, *, rehearsing: bool) -> Shared:
    try:
        from pointsman.resources.database import SharedDatabase  # noqa: PLC0415
    except ImportError as error:
        raise _missing("ZODB and zodburi", "zodb", error) from error
    return SharedDatabase(uri, rehearsing=rehearsing)


def _engine(uri: str) -> Shared:
    try:
        from pointsman.resources.engine import SharedEngine  # noqa: PLC0415
    except ImportError as error:
        raise _missing("SQLAlchemy", "sqlalchemy", error) from error
    return SharedEngine(uri)


def _missing(what: str, extra: str, error: ImportError) -> ConfigError:
    return ConfigError(f"it needs {what}: install pointsman[{extra}] ({error})")


def _aside(open_: Callable[[], Shared]) -> Shared:
    """Open in a thread of the host's own.

    A storage may start threads, which would otherwise count as started by the
    version that happened to ask first, and be reported as its leak.
    """
    result: list[Shared | BaseException] = []

    def work() -> None:
        vars(threading.current_thread()).pop(callers.MARK, None)
        try:
            result.append(open_())
        except BaseException as error:  # noqa: BLE001 - raised again by who asked
            result.append(error)

    thread = threading.Thread(target=work, name="pointsman-resource", daemon=True)
    thread.start()
    thread.join()
    if isinstance(result[0], BaseException):
        raise result[0]
    return result[0]
