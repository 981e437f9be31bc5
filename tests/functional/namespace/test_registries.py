"""What services register with the whole process ends with the version.

Mutations that were tried, and fail tests here: handlers detached although the successor
has none; what was inherited kept beside its own, closed too early, or never; not given
back; a removed handler or metric kept; exit functions called without a frame of the
namespace; only ``Exception`` caught around what is a stranger's.
"""

from __future__ import annotations

import atexit
import gc
import logging
import sys
import threading
import typing
from typing import TYPE_CHECKING, Any
from unittest import mock

import prometheus_client
import pytest

from functional.namespace.two_versions import Held, write_asked
from site_folder import statuses
from waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from functional.namespace.two_versions import TwoVersions
    from pointsman.wsgi import Host
    from site_folder import SiteFolder


def ended(host: Host) -> None:
    """Wait until all old versions have ended."""
    wait_for(lambda: not host.node.retirement.waiting(), "old versions end")


# EXIT FUNCTIONS

AT_EXIT = """
    import atexit
    import sys
    VERSION = 1
    told = sys.modules["exit_log"].told
    def at_exit(*args, **kwargs):
        told.append((VERSION, args, kwargs))
    def never(): told.append("never")
    atexit.register(at_exit, 1, key=2)
    atexit.register(never)
    @atexit.register
    def last(): told.append((VERSION, "last"))
    atexit.unregister(never)
"""


@pytest.fixture(name="told")
def _told() -> Iterator[list[Any]]:
    """Give a list in a module of the host, which is there before and after."""
    log: Any = type(sys)("exit_log")
    log.told = []
    sys.modules["exit_log"] = log
    yield log.told
    del sys.modules["exit_log"]


def test_exit_functions_are_called_when_a_version_ends(
    site: SiteFolder, told: list[Any]
) -> None:
    """Exit functions of a version run at its end, last first, and only then."""
    write_asked(site, "app.py", AT_EXIT)
    host = site.host()
    held = Held(host, "/app")
    write_asked(site, "app.py", AT_EXIT.replace("VERSION = 1", "VERSION = 2"))
    assert {"app": "updated"} == statuses(host.node.reload())
    assert [] == told
    held.close()
    ended(host)

    assert [(1, "last"), (1, (1,), {"key": 2})] == told


def test_exit_functions_of_what_failed(site: SiteFolder, told: list[Any]) -> None:
    """Exit functions of a version that failed run at once; the old one's do not."""
    site.write("app.py", AT_EXIT)
    host = site.host()
    broken = AT_EXIT.replace("VERSION = 1", "VERSION = 2") + "    raise OSError\n"
    site.write("app.py", broken)
    assert {"app": "failed"} == statuses(host.node.reload())

    assert [(2, "last"), (2, (1,), {"key": 2})] == told


def test_an_exit_function_that_raises(
    site: SiteFolder, told: list[Any], caplog: pytest.LogCaptureFixture
) -> None:
    """An exit function that raises is logged and stops no other."""
    site.write("app.py", AT_EXIT + "    atexit.register(lambda: 1 / 0)\n")
    host = site.host()
    site.write("app.py", "")
    host.node.reload()
    ended(host)

    assert 2 == len(told)
    assert "division by zero" in caplog.text


def test_exit_functions_of_the_host_stay(site: SiteFolder) -> None:
    """Exit functions that the host registers are the process's, as ever."""
    site.write("app.py", "VERSION = 1\n")
    site.host()
    before = atexit._ncallbacks()
    function = mock.Mock()
    atexit.register(function)

    assert before + 1 == atexit._ncallbacks()
    atexit.unregister(function)
    site.close()
    assert 0 == function.call_count


# LOGGING

LOGS = """
    import logging
    VERSION = 1
    closed = []
    log = logging.getLogger("test_registries.app")
    log.propagate = False
    class Handler(logging.Handler):
        def emit(self, record):
            self.target.append((VERSION, record.getMessage()))
        def close(self):
            closed.append(VERSION)
            super().close()
    def attach(target):
        handler = Handler()
        handler.target = target
        log.addHandler(handler)
    def warn(text):
        log.warning(text)
    def closings():
        return closed
"""


def test_log_lines_are_not_doubled(site: SiteFolder) -> None:
    """After a reload each line is written once; the old handler is closed."""
    target: list[Any] = []
    write_asked(site, "app.py", LOGS)
    host = site.host()
    old = Held(host, "/app")
    old.ask("attach", target)
    closed = old.ask("closings")
    write_asked(site, "app.py", LOGS.replace("VERSION = 1", "VERSION = 2"))
    host.node.reload()
    new = Held(host, "/app")
    new.ask("attach", target)
    new.ask("warn", "from new")
    old.ask("warn", "from old")

    assert [(2, "from new"), (2, "from old")] == target
    assert [] == closed
    old.close()
    ended(host)
    assert [1] == closed
    assert 1 == len(logging.getLogger("test_registries.app").handlers)
    new.close()


def test_handlers_of_a_failed_version(site: SiteFolder) -> None:
    """A version that failed leaves no handler; the old one's goes on writing."""
    source = """
        import logging
        logging.getLogger("test_registries.failed").addHandler(logging.NullHandler())
    """
    logger = logging.getLogger("test_registries.failed")
    site.write("app.py", source)
    host = site.host()
    before = list(logger.handlers)
    site.write("app.py", source + "    raise ValueError\n")
    host.node.reload()

    assert 1 == len(before)
    assert before == logger.handlers


def test_handlers_by_basic_config(site: SiteFolder) -> None:
    """Handlers that ``logging.config`` and ``basicConfig`` attach belong as well."""
    source = """
        import logging.config
        logging.config.dictConfig({
            "version": 1,
            "disable_existing_loggers": False,
            "handlers": {"null": {"class": "logging.NullHandler"}},
            "loggers": {"test_registries.config": {"handlers": ["null"]}},
        })
    """
    logger = logging.getLogger("test_registries.config")
    path = site.write("app.py", source)
    host = site.host()
    for number in range(3):
        site.write("app.py", source + f"    # {number}\n")
        host.node.reload()
        ended(host)
        assert 1 == len(logger.handlers)
    path.unlink()
    host.node.reload()
    ended(host)

    assert [] == logger.handlers


# FINDERS

FINDER = """
    import importlib.machinery
    import sys
    class Finder:
        @classmethod
        def find_spec(cls, name, path=None, target=None):
            return None
    class Instance(Finder):
        pass
    def hook(path):
        raise ImportError(path)
    sys.meta_path.append(Finder)
    sys.meta_path.append(Instance())
    sys.path_hooks.append(hook)
"""


GUARDED = {
    "by hand": """
        import logging
        VERSION = 1
        log = logging.getLogger("test_registries.guarded")
        if not log.handlers:
            log.addHandler(logging.NullHandler())
    """,
    "basicConfig": """
        import logging
        VERSION = 1
        logging.basicConfig()
    """,
}


@pytest.mark.parametrize("how", GUARDED)
def test_a_handler_unless_there_is_one(site: SiteFolder, how: str) -> None:
    """A version that finds the older one's handler goes on with it, and one ends it."""
    name = "test_registries.guarded" if how == "by hand" else None
    logger = logging.getLogger(name)
    with mock.patch.object(logger, "handlers", []):  # pytest has some, too
        site.write("app.py", GUARDED[how])
        host = site.host()
        handlers = list(logger.handlers)
        for version in ("VERSION = 2", "VERSION = 3"):
            site.write("app.py", GUARDED[how].replace("VERSION = 1", version))
            host.node.reload()
            ended(host)
            assert handlers == logger.handlers
        site.services.joinpath("app.py").unlink()
        host.node.reload()
        ended(host)
        assert (1, []) == (len(handlers), logger.handlers)


def test_a_handler_of_its_own_after_all(site: SiteFolder) -> None:
    """What was inherited gives way to it, and is closed once its version has ended."""
    logger = logging.getLogger("test_registries.guarded")
    site.write("app.py", GUARDED["by hand"])
    host = site.host()
    (first,) = logger.handlers
    write_asked(
        site,
        "app.py",
        """
        import logging
        def attach():
            logging.getLogger("test_registries.guarded").addHandler(logging.Handler())
        """,
    )
    host.node.reload()
    ended(host)
    held = Held(host, "/app")
    with mock.patch.object(first, "close") as close:
        held.ask("attach")
    held.close()

    assert first not in logger.handlers
    assert 1 == len(logger.handlers)
    close.assert_called_once_with()


def test_a_handler_that_goes_back(site: SiteFolder) -> None:
    """A version that is taken back while it is warm has its handler as before."""
    logger = logging.getLogger("test_registries.guarded")
    site.write("app.py", GUARDED["by hand"])
    host = site.host(keep_warm="1")
    handlers = list(logger.handlers)
    for version in ("VERSION = 2", "VERSION = 1", "VERSION = 3"):
        site.write("app.py", GUARDED["by hand"].replace("VERSION = 1", version))
        host.node.reload()

    assert handlers == logger.handlers
    assert 1 == len(handlers)


def test_a_handler_that_was_removed_is_forgotten(site: SiteFolder) -> None:
    """One that is attached for a request only is not kept for the version's life."""
    write_asked(
        site,
        "app.py",
        """
        import logging, weakref
        log = logging.getLogger("test_registries.captured")
        def captured():
            handler = logging.Handler()
            log.addHandler(handler)
            log.removeHandler(handler)
            return weakref.ref(handler)
        """,
    )
    held = Held(site.host(), "/app")
    reference = held.ask("captured")
    gc.collect()
    held.close()

    assert None is reference()


def test_a_metric_that_was_unregistered_stays_so(site: SiteFolder) -> None:
    """It is not shown again when the older version ends."""
    source = """
        from prometheus_client import Gauge, REGISTRY
        VERSION = 1
        gauge = Gauge("test_registries_gone", "x")
        REGISTRY.unregister(gauge)
    """
    site.write("app.py", source)
    host = site.host()
    site.write("app.py", source.replace("VERSION = 1", "VERSION = 2"))
    host.node.reload()
    ended(host)

    names = [metric.name for metric in prometheus_client.REGISTRY.collect()]
    assert "test_registries_gone" not in names


def test_an_exit_function_of_a_library(
    site: SiteFolder, caplog: pytest.LogCaptureFixture
) -> None:
    """What it looks up by name is its own version's."""
    source = """
        import atexit, io, pickle
        VERSION = 1
        class Own: ...
        atexit.register(pickle.Pickler(io.BytesIO()).dump, [Own()])
    """
    site.write("app.py", source)
    host = site.host()
    site.write("app.py", source.replace("VERSION = 1", "VERSION = 2"))
    host.node.reload()
    ended(host)

    assert [] == [record.exc_info for record in caplog.records if record.exc_info]


@pytest.mark.parametrize("error", ["asyncio.CancelledError", "SystemExit"])
def test_a_stop_that_raises_what_ends_threads(site: SiteFolder, error: str) -> None:
    """Later versions are retired as ever, and the host can be closed."""
    source = f"""
        import asyncio
        from pointsman.service import Service
        VERSION = 1
        class App(Service):
            path = "/app"
            def handle(self, request): ...
            def stop(self):
                raise {error}
    """
    site.write("app.py", source)
    host = site.host()
    for version in ("VERSION = 2", "VERSION = 3"):
        site.write("app.py", source.replace("VERSION = 1", version))
        host.node.reload()
        ended(host)


def test_finders_end_with_their_version(site: SiteFolder) -> None:
    """Entries of ``sys.meta_path`` and ``sys.path_hooks`` do not pile up."""
    path = site.write("app.py", FINDER)
    host = site.host()
    meta, hooks = len(sys.meta_path), len(sys.path_hooks)
    for number in range(3):
        site.write("app.py", FINDER + f"    # {number}\n")
        host.node.reload()
        ended(host)
        assert (meta, hooks) == (len(sys.meta_path), len(sys.path_hooks))
    path.unlink()
    host.node.reload()
    ended(host)

    assert (meta - 2, hooks - 1) == (len(sys.meta_path), len(sys.path_hooks))


# TYPING


def test_caches_of_typing_are_cleaned(versions: TwoVersions) -> None:
    """``List[OwnClass]`` is of its own version, and holds no old version."""
    import gc
    import weakref

    source = """
        from typing import Dict, Generic, List, TypeVar, Union
        VERSION = 1
        T = TypeVar("T")
        class Own:
            version = VERSION
        class Box(Generic[T]):
            pass
        def annotated(a: List[Own], b: Union[Own, None]) -> Dict[str, Box[Own]]: ...
        def version():
            return List[Own].__args__[0].version, Box[Own].__args__[0].version
    """
    versions.serve({"app.py": source})

    assert ((1, 1), (2, 2)) == versions.ask("version")
    assert versions.host is not None
    (waiting,) = versions.host.node.retirement.waiting()
    space = weakref.ref(waiting.version.loaded.space)
    del waiting
    versions.old.close()
    ended(versions.host)
    del versions.old
    gc.collect()
    assert None is space()
    assert typing.List[int] is typing.List[int]  # noqa: UP006 - the cache works


# THREADS


def test_a_thread_outlives_its_version(site: SiteFolder) -> None:
    """A thread that goes on after its version has ended sees no other version."""
    go = threading.Event()
    source = """
        import importlib, sys, threading
        VERSION = 1
        found = []
        def tried(function, *arguments):
            try:
                found.append(function(*arguments))
            except Exception as error:
                found.append(str(error))
        def begin(go):
            def work():
                go.wait(20)
                tried(__import__, "late")
                tried(lambda: sys.modules["late"].VERSION)
                tried(lambda: sys.modules["app"].VERSION)
            thread = threading.Thread(target=work)
            thread.start()
            return thread, found
    """
    write_asked(site, "app.py", source)
    site.write("late.py", "VERSION = 1\n")
    host = site.host()
    held = Held(host, "/app")
    thread, found = held.ask("begin", go)
    held.close()
    del held
    site.write("late.py", "VERSION = 2\n")
    write_asked(site, "app.py", source.replace("VERSION = 1", "VERSION = 2"))
    host.node.reload()
    ended(host)
    go.set()
    thread.join()

    assert [
        (
            "No module named 'late' beside this version of app, which was retired; "
            "end its threads in stop()"
        ),
        "no active version has the module 'late'",
        1,
    ] == found
