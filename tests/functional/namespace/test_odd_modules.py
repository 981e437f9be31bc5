"""Modules that replace themselves, take no attributes, or fail at the first try.

Mutations that were tried, and fail tests here: a failed module's replacement left in
``sys.modules``; marked as initializing only after others can find it; a child not bound
by ``from``; a package without attributes refused; a plain lock around stand-ins; a
module's file asked while the table of modules may grow.
"""

from __future__ import annotations

import gc
import sys
from types import ModuleType
from typing import TYPE_CHECKING

import pytest

from functional.namespace.two_versions import Held, write_asked
from pointsman.namespace import facade
from site_folder import statuses
from waiting import wait_for

if TYPE_CHECKING:
    from functional.namespace.two_versions import TwoVersions
    from site_folder import SiteFolder

REPLACING = """
    import sys
    VERSION = 1
    class Front:
        version = VERSION
    sys.modules[__name__] = Front()
"""
RAISING = REPLACING + "    raise ValueError\n"


def newer(source: str) -> str:
    """Return version 2."""
    return source.replace("VERSION = 1", "VERSION = 2")


def test_replaced_itself_and_failed_at_first(site: SiteFolder) -> None:
    """Its name is free for the next attempt."""
    site.write("odd_front.py", RAISING)
    host = site.host()
    site.write("odd_front.py", REPLACING)

    assert {"odd_front": "added"} == statuses(host.node.reload())


def test_replaced_itself_and_failed_later(site: SiteFolder) -> None:
    """What serves is still found by its name."""
    site.write("odd_front.py", REPLACING)
    host = site.host()
    site.write("odd_front.py", newer(RAISING))
    host.node.reload()

    assert 1 == sys.modules["odd_front"].version


def test_seen_by_another_thread_while_it_is_bound(site: SiteFolder) -> None:
    """A thread that meets a module in its package waits until it is executed."""
    site.write(
        "pkg/__init__.py",
        """
        import sys, types, threading
        seen, threads = [], []
        def look():
            try:
                from pkg.sub import value
                seen.append(value)
            except Exception as error:
                seen.append(repr(error))
        class Noticing(types.ModuleType):
            def __setattr__(self, name, value):
                super().__setattr__(name, value)
                if name == "sub" and not threads:
                    threads.append(threading.Thread(target=look))
                    threads[0].start()
                    threads[0].join(0.3)
        sys.modules[__name__].__class__ = Noticing
        """,
    )
    site.write("pkg/sub.py", "value = 1\n")
    write_asked(
        site,
        "app.py",
        """
        import pkg
        def seen():
            import pkg.sub
            pkg.threads[0].join()
            return pkg.seen
        """,
    )
    held = Held(site.host(), "/app")

    assert [1] == held.ask("seen")
    held.close()


def test_an_import_by_a_finalizer(
    site: SiteFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The collector may run one, that imports, while a stand-in is made."""
    for name in ("__init__", "one", "two"):
        site.write(f"late/{name}.py", "")
    write_asked(
        site,
        "app.py",
        """
        import threading
        class Node:
            def __del__(self):
                import late.two
        def work():
            node = Node()
            node.me = node
            del node
            import late.one
        def done():
            thread = threading.Thread(target=work, daemon=True)
            thread.start()
            thread.join(5)
            return not thread.is_alive()
        """,
    )
    held = Held(site.host(), "/app")

    def allocate(self: ModuleType, name: str) -> None:
        gc.collect()
        ModuleType.__init__(self, name)

    monkeypatch.setattr(facade.Facade, "__init__", allocate)
    gc.disable()  # it collects where the test says, and there only
    try:
        assert held.ask("done")
    finally:
        gc.enable()
    held.close()


def test_a_lazy_object_while_it_is_forgotten(
    site: SiteFolder, caplog: pytest.LogCaptureFixture
) -> None:
    """A version ends although asking it for its file imports another module."""
    source = """
        import sys
        VERSION = 1
        class Lazy:
            __path__, __spec__, __name__ = __path__, __spec__, __name__
            @property
            def __file__(self):
                import pkg.sub
                return pkg.sub.__file__
        sys.modules[__name__] = Lazy()
    """
    site.write("pkg/__init__.py", source)
    site.write("pkg/sub.py", "")
    site.write("app.py", "import pkg\n")
    host = site.host()
    site.write("pkg/__init__.py", newer(source))
    host.node.reload()
    wait_for(lambda: not host.node.retirement.waiting(), "the old version ends")

    assert [] == [record.exc_info for record in caplog.records if record.exc_info]


FRONTS = {
    "slots": """
        import sys
        class Front:
            __slots__ = ("__path__", "__spec__", "__name__", "sub")
        front = Front()
        front.__path__, front.__spec__, front.__name__ = __path__, __spec__, __name__
        sys.modules[__name__] = front
    """,
    "frozen": """
        import sys, types
        class Frozen(types.ModuleType):
            def __setattr__(self, name, value):
                raise AttributeError(name)
        sys.modules[__name__].__class__ = Frozen
    """,
}


@pytest.mark.filterwarnings("ignore::ImportWarning")
@pytest.mark.parametrize("front", FRONTS)
def test_a_package_that_takes_no_attributes(versions: TwoVersions, front: str) -> None:
    """Its modules can be imported, with a warning, as in plain Python."""
    versions.serve(
        {
            "pkg/__init__.py": FRONTS[front],
            "pkg/sub.py": "VERSION = 1\n",
            "app.py": """
                import pkg
                def version():
                    from pkg.sub import VERSION
                    return VERSION
            """,
        }
    )

    assert (1, 2) == versions.ask("version")


def test_a_package_that_works_at_the_second_try(site: SiteFolder) -> None:
    """Its child, which was imported at the first, is bound to it as itself."""
    site.write("base.py", "tries = []\n")
    site.write("pack/__init__.py", "")
    site.write("pack/pkg/sub.py", "")
    site.write(
        "pack/pkg/__init__.py",
        """
        import base
        from . import sub
        base.tries.append(1)
        if len(base.tries) == 1:
            raise ValueError
        """,
    )
    write_asked(
        site,
        "app.py",
        """
        import pack
        def sub():
            try:
                import pack.pkg
            except ValueError:
                import pack.pkg
            return pack.pkg.sub
        """,
    )
    held = Held(site.host(), "/app")

    assert ModuleType is type(held.ask("sub"))
    held.close()
