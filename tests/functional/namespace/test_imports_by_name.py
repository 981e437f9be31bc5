"""Modules that are imported by their name, as plug-ins and libraries do.

``importlib`` and code of the host meet the stand-in in ``sys.modules``, which is there
as soon as one version has imported the module.

Mutations that were tried, and fail tests here: the version's module not executed by
importlib (a second version's plug-ins were silently left out); nor by an ``import`` of
the host, nor by a relative one; the children of a ``from`` left out; the stand-in given
to a service's own code; an import of the host that finds no version and gets the
stand-in; no stand-in until a module is executed (importlib's locks and ours then wait
for each other).
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

import pytest

from functional.namespace.two_versions import Held, write_asked
from site_folder import outcomes

if TYPE_CHECKING:
    from functional.namespace.two_versions import TwoVersions
    from site_folder import SiteFolder

PLUGIN = """
    VERSION = 1
    from plugins import executed
    executed.append((__name__, VERSION))
"""
PLUGINS = {
    "plugins/__init__.py": "executed = []\n",
    "plugins/one/__init__.py": PLUGIN,
    "plugins/two/__init__.py": PLUGIN,
    "plugins/main.py": "from . import one, two\n",
    "app.py": """
        import importlib.util
        import os
        import pkgutil
        import runpy
        import plugins

        def import_module():
            importlib.import_module("plugins.one")
            importlib.import_module(".two", "plugins")

        def import_of_importlib():
            importlib.__import__("plugins.one")
            importlib.__import__("plugins", fromlist=["two"])

        def a_library():
            for _ in pkgutil.walk_packages(plugins.__path__, "plugins."):
                pass

        def code_without_a_mark():
            exec("import plugins.one\\nfrom plugins import two", {})

        def a_program_of_the_package():
            runpy.run_module("plugins.main")

        def a_file_of_the_package():
            path = os.path.join(os.path.dirname(plugins.__file__), "main.py")
            spec = importlib.util.spec_from_file_location("plugins.main", path)
            spec.loader.exec_module(importlib.util.module_from_spec(spec))

        def code_with_a_package():
            exec("from . import one, two", {"__package__": "plugins"})

        def executed(by):
            globals()[by]()
            return plugins.executed
    """,
}
WAYS = [
    *("import_module", "import_of_importlib", "a_library", "code_without_a_mark"),
    *("a_program_of_the_package", "a_file_of_the_package", "code_with_a_package"),
]


@pytest.mark.parametrize("way", WAYS)
def test_plugins_are_executed_in_each_version(versions: TwoVersions, way: str) -> None:
    """A module is executed by its import, though its name is in ``sys.modules``."""
    versions.serve(PLUGINS)

    old = [("plugins.one", 1), ("plugins.two", 1)]
    new = [("plugins.one", 2), ("plugins.two", 2)]
    assert (old, new) == versions.ask("executed", way)


CHANGED = {
    "app.py": """
        import importlib
        import pieces

        def outcome(name):
            try:
                return importlib.import_module(name).VERSION
            except Exception as error:
                return f"{type(error).__name__}: {error}"

        def statement(name):
            try:
                exec(f"import {name}", {})
            except Exception as error:
                return f"{type(error).__name__}: {error}"
    """,
    "pieces/__init__.py": "",
    "pieces/weak.py": "VERSION = 1\n",
}


def test_a_plugin_that_fails_says_so(versions: TwoVersions) -> None:
    """What a module raises comes from the import, not from the first look at it."""
    failing = {**CHANGED, "pieces/weak.py": "raise ValueError('not today')\n"}
    versions.serve(CHANGED, failing)

    assert (1, "ValueError: not today") == versions.ask("outcome", "pieces.weak")
    assert (None, "ValueError: not today") == versions.ask("statement", "pieces.weak")


def test_a_module_that_only_the_other_version_has(
    site: SiteFolder, versions: TwoVersions
) -> None:
    """An older version's module is not there for the newer one, whoever asks."""
    versions.serve(CHANGED)
    versions.old.ask("outcome", "pieces.weak")
    site.services.joinpath("pieces", "weak.py").unlink()
    assert versions.host is not None
    versions.host.node.reload()
    newer = Held(versions.host, "/app")
    missing = "ModuleNotFoundError: No module named 'pieces.weak'"

    assert 1 == versions.old.ask("outcome", "pieces.weak")
    assert missing == newer.ask("outcome", "pieces.weak")
    assert missing == newer.ask("statement", "pieces.weak")
    newer.close()


def test_the_module_itself_is_given_to_a_service(versions: TwoVersions) -> None:
    """What ``import_module`` returns leads to its version, wherever it is handed."""
    versions.serve(
        {
            "flat.py": "VERSION = 1\n",
            "app.py": """
                import importlib
                import flat
                def given():
                    return importlib.import_module("flat")
                def same():
                    return importlib.import_module("flat") is flat
            """,
        }
    )

    assert (True, True) == versions.ask("same")
    old, new = versions.ask("given")
    assert (1, 2) == (old.VERSION, new.VERSION)  # read by code of no version


def test_the_host_keeps_what_leads_to_the_active_version(site: SiteFolder) -> None:
    """Code of the host gets the stand-in: it goes along with each new version."""
    write_asked(site, "app.py", "VERSION = 1\n")
    host = site.host()
    by_function = importlib.import_module("app")
    by_statement = __import__("app")
    write_asked(site, "app.py", "VERSION = 2\n")
    host.node.reload()

    assert (2, 2) == (by_function.VERSION, by_statement.VERSION)


MET = {
    "met.py": """
        import contextlib, threading
        both = threading.Barrier(2)
        def meet():
            with contextlib.suppress(threading.BrokenBarrierError):
                both.wait(5)
    """,
    "left.py": """
        import met
        met.meet()
        exec("import right", {})
        done = True
    """,
    "right.py": """
        import met
        met.meet()
        import left
        done = True
    """,
    "app.py": """
        import threading
        def ours():
            import left
        def of_the_host():
            exec("import right", {})
        threads = [
            threading.Thread(target=by, daemon=True) for by in (ours, of_the_host)
        ]
        for thread in threads: thread.start()
        for thread in threads: thread.join(20)
        alive = [thread.is_alive() for thread in threads]
        def seen():
            import left, right
            return alive, left.done, right.done
    """,
}


def test_the_host_and_a_service_meet_in_a_circle(site: SiteFolder) -> None:
    """An import of the host and one of a service do not wait for each other."""
    for name, source in MET.items():
        if name == "app.py":
            write_asked(site, name, source)
        else:
            site.write(name, source)
    held = Held(site.host(), "/app")

    assert ([False, False], True, True) == held.ask("seen")
    held.close()


def test_what_no_version_has(site: SiteFolder) -> None:
    """An import of the host finds nothing in a package that is gone or never worked."""
    write_asked(site, "app.py", "VERSION = 1\n")
    site.write("broken.py", "raise ValueError('not today')\n")
    host = site.host()
    assert host.node.last is not None
    assert "failed" == outcomes(host.node.last)["broken"].status
    held = Held(host, "/app")
    site.services.joinpath("app.py").unlink()
    host.node.reload()

    for name in ("app", "broken"):
        with pytest.raises(ModuleNotFoundError) as caught:
            importlib.import_module(name)
        assert name == caught.value.name
        with pytest.raises(ModuleNotFoundError):
            __import__(name)
    held.close()
