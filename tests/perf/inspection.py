"""Looks at a serving process from inside; an application of the ini of `host`."""

from __future__ import annotations

import gc
import json
import logging
import sys
import threading
import weakref
from typing import TYPE_CHECKING, Any

from pointsman import node
from pointsman.namespace.space import Namespace

if TYPE_CHECKING:
    from collections.abc import Mapping

_seen: weakref.WeakSet[Namespace] = weakref.WeakSet()
_ordinary_init = Namespace.__init__


def _init(self: Namespace, *args: Any, **kwargs: Any) -> None:
    _ordinary_init(self, *args, **kwargs)
    _seen.add(self)


def app_factory(global_conf: Mapping[str, str]) -> Any:
    """Make the application; namespaces are watched from when this is imported."""
    return application


def application(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    """Answer what is alive, after a full collection."""
    body = json.dumps(state()).encode()
    headers = [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
    start_response("200 OK", headers)
    return [body]


def state() -> dict[str, Any]:
    """Return what is alive: ``kept`` serve or stay warm, ``left`` ought to be gone."""
    gc.collect()
    kept: set[int] = set()
    for one in node.running():
        versions = [*one.traffic.versions.values()]
        versions += [retired.version for retired in one.retirement.waiting()]
        kept |= {id(version.loaded.space) for version in versions}
    left = [space for space in _seen if id(space) not in kept]
    return {
        "kept": len(kept),
        "left": len(left),
        "who": [_holders(space) for space in left[:3]],
        "loggers": len(logging.root.manager.loggerDict),
        "modules": len(sys.modules),
        "imported": list(sys.modules),
        "threads": sorted(thread.name for thread in threading.enumerate()),
    }


def _holders(space: Namespace) -> list[str]:
    holders = gc.get_referrers(space)
    return [f"{type(holder).__name__}: {holder!r:.120}" for holder in holders]


Namespace.__init__ = _init  # type: ignore[method-assign]
