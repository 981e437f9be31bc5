"""Many reloads leave a process as it was.

Mutations that were tried, and fail tests here: the caches of ``typing``, or the lines
in ``linecache``, not cleaned; log handlers not taken off.
"""

from __future__ import annotations

import atexit
import gc
import linecache
import logging
import sys
import threading
import typing
import weakref
from typing import TYPE_CHECKING

from site_folder import SiteFolder, get, statuses
from waiting import wait_for

if TYPE_CHECKING:
    from pointsman.wsgi import Host

RELOADS = 500

SHARED = """
    import dataclasses
    VERSION = {version}
    @dataclasses.dataclass
    class Money:
        cents: int
"""

SERVICE = """
    import atexit
    import logging
    import traceback
    import typing
    from concurrent.futures import ThreadPoolExecutor
    import prometheus_client
    from pointsman import Service
    from shop import late_name
    import money

    log = logging.getLogger(__name__)
    log.addHandler(logging.NullHandler())
    calls = prometheus_client.Counter("test_reloads", "Calls")
    atexit.register(log.debug, "over")

    class Line:
        version = {version}

    class Order:
        lines: typing.List[Line]
        by_name: typing.Dict[str, "Line"]
        price: typing.Optional[money.Money]

    class Ask(Service):
        def start(self):
            self.pool = ThreadPoolExecutor(2)

        def handle(self, request):
            calls.inc()
            hints = typing.get_type_hints(Order)
            assert hints["by_name"] == typing.Dict[str, Line]
            lines = self.pool.submit(lambda: [Line(), money.VERSION]).result()
            try:
                raise KeyError
            except KeyError:
                traceback.format_exc()  # leaves source lines in linecache
            from shop import late
            return [lines[0].version, lines[1], late.VERSION]

        def stop(self):
            self.pool.shutdown()
"""


def write(site: SiteFolder, version: int) -> None:
    """Write one version of everything."""
    site.write("money.py", SHARED.format(version=version))
    site.write("shop/__init__.py", "late_name = 'late'\n")
    site.write("shop/late.py", f"VERSION = {version}\n")
    site.write("service.py", SERVICE.format(version=version))


def counts() -> dict[str, int]:
    """Return how many there are of what could pile up."""
    typing_caches = [
        function.cache_info().currsize
        for function in vars(typing).values()
        if hasattr(function, "cache_info")
    ]
    return {
        "modules": len(sys.modules),
        "loggers": len(logging.Logger.manager.loggerDict),
        "handlers": len(logging._handlerList),  # type: ignore[attr-defined]
        "threads": len(threading.enumerate()),
        "meta_path": len(sys.meta_path),
        "linecache": len(linecache.cache),
        "at exit": atexit._ncallbacks(),
        "typing": sum(typing_caches),
    }


def reload(site: SiteFolder, host: Host, version: int) -> None:
    """Serve one version, ask it once, and wait for the end of the one before."""
    write(site, version)
    told = statuses(host.node.reload())
    assert {"money": "updated", "service": "updated", "shop": "updated"} == told
    assert f"[{version},{version},{version}]" == get(host, "/service/ask").text
    wait_for(lambda: not host.node.retirement.waiting(), "the old version ends")


def test_many_reloads_leave_nothing(site: SiteFolder) -> None:
    """The number of modules, loggers, handlers and threads stays; no namespace does."""
    write(site, 0)
    host = site.host()
    spaces: weakref.WeakSet[object] = weakref.WeakSet()
    for version in range(1, 4):
        reload(site, host, version)
    gc.collect()
    before = counts()
    for version in range(4, RELOADS):
        reload(site, host, version)
        spaces.update(v.loaded.space for v in host.node.traffic.versions.values())
    gc.collect()
    active = [v.loaded.space for v in host.node.traffic.versions.values()]

    assert before == counts()
    assert set(active) == set(spaces)


def test_failed_reloads_leave_nothing(site: SiteFolder) -> None:
    """Reloads that fail leave nothing either, and the old version serves."""
    write(site, 0)
    host = site.host()
    for _ in range(3):
        _fail(site, host)
    gc.collect()
    before = counts()
    for _ in range(20):
        _fail(site, host)
    gc.collect()

    assert before == counts()
    assert "[0,0,0]" == get(host, "/service/ask").text


def _fail(site: SiteFolder, host: Host) -> None:
    write(site, 1)
    site.write("service.py", SERVICE.format(version=1) + "    raise ValueError\n")
    told = statuses(host.node.reload())
    assert "failed" == told["service"]
    write(site, 0)
    host.node.reload()
    wait_for(lambda: not host.node.retirement.waiting(), "the old version ends")


def test_taking_everything_away(site: SiteFolder) -> None:
    """When a host is closed, none of its namespaces is left."""
    write(site, 0)
    host = site.host()
    get(host, "/service/ask")
    spaces = [weakref.ref(v.loaded.space) for v in host.node.traffic.versions.values()]
    host.node.close()
    gc.collect()

    assert [None] * 3 == [space() for space in spaces]
    assert not {"money", "shop", "shop.late", "service"} & sys.modules.keys()
