"""What imports from a package that changes is loaded again with it.

Mutations that were tried, and fail tests here: `space.move` without the look at
late edges; `Namespace.owner` that does not record the edge; an import that falls
back on ``sys.modules``; a facade that always answers for the active version, or for
the nearest frame only; `Route.call` without the namespace's mark; facades that are
not dropped.
"""

from __future__ import annotations

import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest

from functional.namespace.two_versions import ANSWERING, Held, write_asked
from site_folder import get, outcomes, statuses
from waiting import wait_for

if TYPE_CHECKING:
    from pointsman.wsgi import Host
    from site_folder import SiteFolder


def late_import(name: str) -> str:
    """Return a service that imports ``name`` when it is asked to."""
    return f"""
        VERSION = 1
        def early():
            return VERSION
        def late():
            import {name}
            return {name}.VERSION
    """


TWO_LEVELS = {
    "base.py": "VERSION = 1\n",
    "middle.py": "import base\nVERSION = 1\ndef of_base(): return base.VERSION\n",
    "app.py": """
        import middle
        from base import VERSION as base_version
        def seen():
            return middle.of_base(), base_version, middle.base.VERSION
    """,
    "other.py": "VERSION = 1\n",
}


def two_levels(site: SiteFolder) -> Host:
    """Serve app, which imports middle, which imports base."""
    for name, source in TWO_LEVELS.items():
        if name == "app.py":
            write_asked(site, name, source)
        else:
            site.write(name, source)
    return site.host()


@pytest.mark.parametrize("rehearse", ["no", "yes"])
def test_two_levels(site: SiteFolder, rehearse: str) -> None:
    """A change at the bottom loads what imports it again, at any distance."""
    for name, source in TWO_LEVELS.items():
        if name == "app.py":
            write_asked(site, name, source)
        else:
            site.write(name, source)
    host = site.host(rehearse=rehearse)
    old = Held(host, "/app")
    site.write("base.py", "VERSION = 2\n")
    report = host.node.reload()
    new = Held(host, "/app")

    assert {
        "app": "updated",
        "base": "updated",
        "middle": "updated",
        "other": "unchanged",
    } == statuses(report)
    assert "imports base, middle" == outcomes(report)["app"].reason
    assert (1, 1, 1) == old.ask("seen")
    assert (2, 2, 2) == new.ask("seen")
    assert (1, 1, 1) == old.ask("seen")
    old.close()
    new.close()


def test_a_change_in_the_middle(site: SiteFolder) -> None:
    """A change in the middle leaves what is below it as it is."""
    host = two_levels(site)
    site.write("middle.py", TWO_LEVELS["middle.py"] + "# changed\n")

    assert {
        "app": "updated",
        "base": "unchanged",
        "middle": "updated",
        "other": "unchanged",
    } == statuses(host.node.reload())


def test_a_broken_base_changes_nothing(site: SiteFolder) -> None:
    """A base that breaks what imports it two levels above is taken back."""
    host = two_levels(site)
    site.write("base.py", "NO_VERSION = 2\n")
    site.write("other.py", "VERSION = 2\n")
    report = host.node.reload()

    assert "failed" == statuses(report)["base"]
    assert "updated" == statuses(report)["other"]
    assert "which imports it" in outcomes(report)["base"].reason
    assert "VERSION" in outcomes(report)["base"].reason
    held = Held(host, "/app")
    assert (1, 1, 1) == held.ask("seen")
    held.close()


def test_an_edge_that_appears_late(site: SiteFolder) -> None:
    """An import inside a handler makes an edge; the dependent is reloaded from then."""
    site.write("shared.py", "VERSION = 1\n")
    write_asked(site, "app.py", late_import("shared"))
    host = site.host()
    site.write("shared.py", "VERSION = 2\n")
    assert {"app": "unchanged", "shared": "updated"} == statuses(host.node.reload())
    held = Held(host, "/app")
    assert 2 == held.ask("late")
    site.write("shared.py", "VERSION = 3\n")
    report = host.node.reload()

    assert {"app": "updated", "shared": "updated"} == statuses(report)
    assert 2 == held.ask("late")
    new = Held(host, "/app")
    assert 3 == new.ask("late")
    held.close()
    new.close()


def test_a_late_import_after_the_switch(site: SiteFolder) -> None:
    """A request of version 1 that imports after the switch sees version 1's module."""
    site.write("shared.py", "VERSION = 1\n")
    write_asked(site, "app.py", late_import("shared"))
    host = site.host()
    old = Held(host, "/app")
    assert 1 == old.ask("early")
    site.write("shared.py", "VERSION = 2\n")
    write_asked(site, "app.py", late_import("shared") + "    # second\n")
    assert {"app": "updated", "shared": "updated"} == statuses(host.node.reload())
    new = Held(host, "/app")
    waiting = host.node.retirement.waiting()
    still_needed = {one.name for one in waiting if not one.drained(waiting)}

    assert {"app", "shared"} == still_needed
    assert 2 == new.ask("late")
    assert 1 == old.ask("late")
    assert (1, 2) == (old.ask("late"), new.ask("late"))
    old.close()
    new.close()


def test_a_late_import_of_its_own_module(site: SiteFolder) -> None:
    """A request of version 1 imports version 1's own submodules after the switch."""
    site.list.write_text("./services\ncrm.web\n")
    for version in (1, 2):
        site.write("crm/late.py", f"VERSION = {version}\n")
        write_asked(
            site,
            "crm/web.py",
            """
            import importlib
            def late():
                from . import late
                return late.VERSION
            def by_name():
                return importlib.import_module(".late", __package__).VERSION
            """,
        )
        if version == 1:
            host = site.host()
            old = Held(host, "/crm/web")
        else:
            host.node.reload()
    new = Held(host, "/crm/web")

    assert (2, 1) == (new.ask("late"), old.ask("late"))
    assert (2, 1) == (new.ask("by_name"), old.ask("by_name"))
    old.close()
    new.close()


def test_an_edge_that_appears_at_the_switch(site: SiteFolder) -> None:
    """An import that begins while the new version is staged is seen before the switch.

    ==============================  =====================================
    a reload                        a request of app
    ==============================  =====================================
    plans: only shared changes
    loads shared, which waits
                                    imports shared: an edge, to version 1
    would keep app beside shared 2
    finds the edge, loads app too
    ==============================  =====================================
    """
    site.write("shared.py", "VERSION = 1\n")
    write_asked(site, "app.py", late_import("shared"))
    host = site.host()
    held = Held(host, "/app")
    here: Any = type(sys)("edge_events")
    here.loading, here.go_on = threading.Event(), threading.Event()
    sys.modules["edge_events"] = here
    site.write(
        "shared.py",
        """
        import edge_events
        edge_events.loading.set()
        edge_events.go_on.wait(20)
        VERSION = 2
        """,
    )
    reports: list[Any] = []
    reload = threading.Thread(target=lambda: reports.append(host.node.reload()))
    reload.start()
    assert here.loading.wait(20)
    assert 1 == held.ask("late")
    here.go_on.set()
    reload.join()
    del sys.modules["edge_events"]
    new = Held(host, "/app")

    assert {"app": "updated", "shared": "updated"} == statuses(reports[0])
    assert (1, 2) == (held.ask("late"), new.ask("late"))
    held.close()
    new.close()


def test_edges_under_load(site: SiteFolder) -> None:
    """No request ever sees two versions of a shared module, however late it imports."""
    site.write("shared.py", "VERSION = 0\ndef version(): return VERSION\n")
    write_asked(
        site,
        "app.py",
        """
        import importlib, sys
        import middle
        def seen():
            import shared
            return {
                shared.VERSION, middle.late(), sys.modules["shared"].version(),
                importlib.import_module("shared").VERSION,
            }
        """,
    )
    middle = "def late():\n    import shared\n    return shared.VERSION\n"
    site.write("middle.py", middle)
    host = site.host()
    torn: list[Any] = []
    over = threading.Event()

    def client() -> None:
        while not over.is_set():
            held = Held(host, "/app")
            found = [held.ask("seen") for _ in range(3)]
            held.close()
            if any(one != found[0] or len(one) != 1 for one in found):
                torn.append(found)
            over.wait(0.001)  # or the threads only wait for each other

    clients = [threading.Thread(target=client) for _ in range(3)]
    for thread in clients:
        thread.start()
    for number in range(1, 40):
        source = f"VERSION = {number}\ndef version(): return VERSION\n"
        site.write("shared.py", source)
        assert "updated" == statuses(host.node.reload())["shared"]
    over.set()
    for thread in clients:
        thread.join()

    assert [] == torn


def test_a_removed_package_that_is_imported(site: SiteFolder) -> None:
    """What others import cannot go: it is kept, with their name in the reason."""
    host = two_levels(site)
    (site.services / "base.py").unlink()
    report = host.node.reload()

    assert "failed" == statuses(report)["base"]
    assert "middle" in outcomes(report)["base"].reason
    held = Held(host, "/app")
    assert (1, 1, 1) == held.ask("seen")
    held.close()


def test_an_import_that_is_added_and_one_that_is_dropped(site: SiteFolder) -> None:
    """Edges are those of the version that serves, not those of versions before."""
    site.write("shared.py", "VERSION = 1\n")
    site.write("app.py", "import shared\n")
    host = site.host()
    site.write("app.py", "VERSION = 2\n")
    host.node.reload()
    site.write("shared.py", "VERSION = 2\n")

    assert {"app": "unchanged", "shared": "updated"} == statuses(host.node.reload())


# WHO ASKS


def test_the_host_sees_the_active_version(site: SiteFolder) -> None:
    """Code of no service finds by name what is active, through all switches."""
    site.write("app.py", "VERSION = 1\n")
    host = site.host()
    facade = sys.modules["app"]
    assert 1 == facade.VERSION
    site.write("app.py", "VERSION = 2\n")
    host.node.reload()

    assert 2 == facade.VERSION
    assert 2 == __import__("app").VERSION
    assert "app" == facade.__name__
    assert "VERSION" in dir(facade)
    site.write("app.py", "raise ValueError\n")
    host.node.reload()
    assert 2 == facade.VERSION


def test_a_facade_of_nobody(site: SiteFolder) -> None:
    """A facade that somebody kept says that no version has the module any more."""
    path = site.write("app.py", "VERSION = 1\n")
    host = site.host()
    facade = sys.modules["app"]
    path.unlink()
    host.node.reload()
    wait_for(lambda: "app" not in sys.modules, "the facade goes")

    with pytest.raises(AttributeError, match="no active version has the module 'app'"):
        _ = facade.VERSION
    with pytest.raises(ModuleNotFoundError):
        __import__("app")


def test_services_that_call_each_other(site: SiteFolder) -> None:
    """The nearest frame decides: a callback works for the version it is from."""
    write_asked(
        site,
        "app.py",
        """
        import functools, sys, pickle, one
        VERSION = 1
        class Thing:
            version = VERSION
        def read(): return sys.modules["app"].VERSION
        def through_another():
            unpickle = functools.partial(pickle.loads, pickle.dumps(Thing()))
            return one.call(read), one.call(unpickle).version
        """,
    )
    site.write("one.py", "def call(function): return function()\n")
    host = site.host()
    old = Held(host, "/app")
    text = (site.services / "app.py").read_text()
    (site.services / "app.py").write_text(text.replace("VERSION = 1", "VERSION = 2"))
    host.node.reload()
    new = Held(host, "/app")

    assert ((1, 1), (2, 2)) == (old.ask("through_another"), new.ask("through_another"))
    assert (1, 1) == old.ask("through_another")
    old.close()
    new.close()


#: A library of the host: an application of it has no code of a service at all.
HOST_LIBRARY = """
import pickle

class Unpickling:
    def __init__(self, blob):
        self.blob = blob

    def __call__(self, environ, start_response):
        start_response("200 OK", [])
        return self.answers()

    def answers(self):
        while True:
            yield pickle.loads(self.blob).version
"""


def test_an_application_of_the_hosts_library(site: SiteFolder) -> None:
    """An application whose code is all the host's works for its own version."""
    library: Any = type(sys)("hostlib")
    exec(HOST_LIBRARY, library.__dict__)
    sys.modules["hostlib"] = library
    source = """
        import pickle
        from hostlib import Unpickling
        class Thing:
            version = b"1"
        application = Unpickling(pickle.dumps(Thing))
    """
    site.write("app.py", source)
    host: Any = site.host()
    old = host({"PATH_INFO": "/app"}, lambda *_: None)
    site.write("app.py", source.replace('b"1"', 'b"2"'))
    host.node.reload()
    new = host({"PATH_INFO": "/app"}, lambda *_: None)

    assert (b"1", b"2", b"1") == (next(old), next(new), next(old))
    old.close()
    new.close()
    del sys.modules["hostlib"]


# NAMES


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("json", "the standard library, {stdlib}/json/__init__.py"),
        ("sys", "the standard library, "),
        ("builtins", "the standard library, "),
        ("click", "/click/__init__.py"),
        ("pointsman", "/pointsman/__init__.py"),
    ],
)
def test_a_module_named_like_the_hosts(site: SiteFolder, name: str, place: str) -> None:
    """A module named like one of the host's is refused, with that module's file."""
    import json
    from pathlib import Path

    site.write(f"{name}.py", "VERSION = 1\n")
    site.write("app.py", "import json\nassert not hasattr(json, 'VERSION')\n")
    report = site.host().node.reload()
    stdlib = Path(json.__file__).parent.parent

    assert {"app": "unchanged", name: "failed"} == statuses(report)
    told = outcomes(report)[name].reason
    assert place.format(stdlib=stdlib) in told
    assert f"{site.services}/{name}.py" in told
    assert "rename yours" in told


def test_a_package_named_like_the_hosts(site: SiteFolder) -> None:
    """So is a folder; and what imports that name gets the host's."""
    site.write("email/__init__.py", "VERSION = 1\n")
    site.write("app.py", "import email.message\nassert email.message.Message\n")
    report = site.host().node.reload()

    assert {"app": "unchanged", "email": "failed"} == statuses(report)


def test_a_module_named_like_a_builtin_function(site: SiteFolder) -> None:
    """A name of a built-in function is free: it is no module's."""
    write_asked(site, "filter.py", "def v(): return list(filter(None, [0, 1]))\n")
    host = site.host()
    held = Held(host, "/filter")

    assert [1] == held.ask("v")
    held.close()


def test_one_name_in_two_directories(site: SiteFolder) -> None:
    """Of two modules with one name the first listed serves; the other is a problem."""
    site.list.write_text("./services\n./more\n")
    site.write("app.py", "VERSION = 1\n")
    site.write("../more/app.py", "VERSION = 2\n")
    report = site.host().node.reload()

    assert {"app": "unchanged"} == statuses(report)
    (problem,) = report.problems
    assert f"{site.list}:2" == problem.where
    assert f"{site.folder}/more/app.py" in problem.reason
    assert f"{site.services}/app.py" in problem.reason
    assert 1 == sys.modules["app"].VERSION


def test_a_module_that_the_host_has_from_a_listed_directory(
    site: SiteFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A listed directory that is on ``sys.path`` too makes its modules no host's."""
    monkeypatch.syspath_prepend(str(site.services))
    site.write("on_the_path.py", "VERSION = 1\n" + ANSWERING)
    host = site.host()

    assert {"on_the_path": "unchanged"} == statuses(host.node.reload())
    assert "404 Not Found" == get(host, "/on_the_path_not").status
