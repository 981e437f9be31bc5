"""Object databases: one storage for all versions.  Effects.

Needs the extra ``zodb``.  What several versions must not share, because it
remembers classes, are the caches of a database's connections and of ZODB's conflict
resolution.  The storage knows bytes only.
"""

from __future__ import annotations

import weakref
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlencode

import zodburi
from ZODB import ConflictResolution
from ZODB.broken import find_global
from ZODB.DB import DB
from ZODB.DemoStorage import DemoStorage
from ZODB.interfaces import IBlobStorage, IMVCCStorage
from ZODB.mvccadapter import MVCCAdapter
from zope.interface import alsoProvides  # type: ignore[import-untyped]

from pointsman.namespace import callers
from pointsman.namespace.facade import is_facade
from pointsman.resources.shared import Shared

if TYPE_CHECKING:
    from collections.abc import Callable

    from pointsman.namespace.space import Namespace


class SharedDatabase(Shared):
    """A storage, and a ``ZODB.DB`` over it for each version.

    All databases are on one adapter, so a commit in one invalidates the objects in
    the caches of all.
    """

    def __init__(self, uri: str, *, rehearsing: bool = False) -> None:
        """Open the storage; a rehearsal reads it, and writes into memory only.

        Raises:
            Exception: whatever zodburi and the storage raise.

        """
        super().__init__()
        scope_conflict_resolution()
        self._storage, self._options = _storage(uri, rehearsing=rehearsing)
        self._adapter = self._storage
        if not IMVCCStorage.providedBy(self._storage):
            self._adapter = MVCCAdapter(self._storage)

    def _make(self, space: Namespace | None) -> Any:
        window = _Window(self._adapter, self._storage)
        options = dict(self._options)
        if space is not None:
            options["class_factory"] = _classes_of(space)
        return DB(window, **options)

    def _end(self, view: Any) -> None:
        view.close()

    def _ended(self, view: Any) -> bool:
        return "_mvcc_storage" not in vars(view)  # so DB.close() leaves it

    def _close(self) -> None:
        self._adapter.close()


class _Window:
    """The storage as one database sees it: open for as long as that is open."""

    def __init__(self, adapter: Any, storage: Any) -> None:
        self._adapter = adapter
        self._storage = storage
        alsoProvides(self, IMVCCStorage)
        if IBlobStorage.providedBy(storage):
            alsoProvides(self, IBlobStorage)

    def close(self) -> None:
        """Keep the storage open, for the other databases."""

    def __len__(self) -> int:
        return len(self._storage)

    def __getattr__(self, name: str) -> Any:
        try:
            return getattr(self._adapter, name)
        except AttributeError:
            return getattr(self._storage, name)


def _classes_of(space: Namespace) -> Callable[[Any, str, str], Any]:
    """Return a class factory that finds the classes that ``space`` would import."""
    call = callers.marked(space)

    def factory(_connection: Any, module: str, name: str) -> Any:
        return call(find_global, module, name)

    return factory


def _storage(uri: str, *, rehearsing: bool) -> tuple[Any, dict[str, Any]]:
    if not rehearsing:
        factory, options = zodburi.resolve_uri(uri)
        return factory(), options
    scheme, _, rest = uri.partition("://")
    path, _, query = rest.partition("?")
    if scheme == "file" and not Path(path).exists():
        factory, options = zodburi.resolve_uri(f"memory://?{_but_create(query)}")
    elif scheme in ("file", "zeo"):  # the serving process holds the file's lock
        query = f"{_but_create(query)}&read_only=1".lstrip("&")
        factory, options = zodburi.resolve_uri(f"{scheme}://{path}?{query}")
    else:
        factory, options = zodburi.resolve_uri(uri)
    return DemoStorage(base=factory()), options


def _but_create(query: str) -> str:
    return urlencode([(key, text) for key, text in parse_qsl(query) if key != "create"])


class _HostClasses(dict[tuple[str, str], Any]):
    """Remembers classes of the host only: those of packages have versions."""

    def __setitem__(self, key: tuple[str, str], cls: Any) -> None:
        if not is_facade(key[0]):
            super().__setitem__(key, cls)


def scope_conflict_resolution() -> None:
    """Let ZODB forget classes of packages with their versions, once per process.

    It remembers for the whole process which class a name is, and which classes
    cannot resolve conflicts; the next version would be resolved by the first one's
    code, and the first would never end.
    """
    if not isinstance(ConflictResolution._class_cache, _HostClasses):  # noqa: SLF001
        cache = _HostClasses()
        ConflictResolution._class_cache = cache  # noqa: SLF001
        ConflictResolution._class_cache_get = cache.get  # noqa: SLF001
        ConflictResolution._unresolvable = weakref.WeakKeyDictionary()  # noqa: SLF001
