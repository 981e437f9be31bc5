"""What stays alive of ended versions is told, with who holds it."""

from __future__ import annotations

import codecs
import functools
import gc
import logging
import sys
import textwrap
import threading
from types import ModuleType
from typing import TYPE_CHECKING

import pytest

from pointsman.model import Artifact, Kind, Package
from pointsman.namespace.leaks import Leak, Watch
from pointsman.namespace.space import View
from pointsman.namespace.unpacked import Unpacked
from pointsman.runtime.inprocess import InProcess
from pointsman.runtime.services import Surroundings
from waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Forgetting:
    """Loads a module and forgets it, as a reload would."""

    def __init__(self, folder: Path) -> None:
        self._runtime = InProcess(Unpacked(folder), Surroundings({}, {}, {}))
        self.watch = Watch()

    def leaks(self, source: str) -> tuple[Leak, ...]:
        """Return what one version of ``crm`` leaves behind."""
        self._live(textwrap.dedent(source))
        return self.watch.leaks(collect=True)

    def _live(self, source: str) -> None:
        artifact = Artifact("crm", Kind.MODULE, {"crm.py": source.encode()})
        loaded = self._runtime.open(Package("crm", artifact, ("crm",)))
        space = loaded.space
        assert space is not None
        space.view = View(1, {"crm": space})
        space.load("crm")
        self._runtime.forget(loaded, None)
        self.watch.add(space)


@pytest.fixture(name="forgetting")
def _forgetting(tmp_path: Path) -> Forgetting:
    return Forgetting(tmp_path)


@pytest.fixture(name="library")
def _library(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A library of the host."""
    module = ModuleType("hostlib")
    monkeypatch.setitem(sys.modules, "hostlib", module)
    return module


def holders(found: tuple[Leak, ...]) -> list[str]:
    """Return who holds the only leak."""
    assert ["crm"] == [leak.package for leak in found]
    return list(found[0].holders)


def test_no_leak(forgetting: Forgetting) -> None:
    """A version that registered nothing is gone after one collection."""
    source = """
        import dataclasses, enum, logging, re, typing

        class Colour(enum.Enum):
            RED = 1

        @dataclasses.dataclass
        class Customer:
            name: str
            colours: typing.List[Colour] = dataclasses.field(default_factory=list)

        log = logging.getLogger("crm")
        log.info("%s", Customer("x"))
        cycle = [Customer("y")]
        cycle.append(cycle)
    """

    assert () == forgetting.leaks(source)


def test_garbage_is_no_leak(forgetting: Forgetting) -> None:
    """What only waits for the collector is held by nobody, so it is not told."""
    gc.disable()
    try:
        forgetting._live("def f(): pass\n")
        assert () == forgetting.watch.leaks()
    finally:
        gc.enable()


def test_leak_names_its_version(forgetting: Forgetting, library: ModuleType) -> None:
    """A leak has the package, the digest, and its age by the watch's clock."""
    now = [100.0]
    forgetting.watch = Watch(lambda: now[0])
    vars(library)["kept"] = []
    source = "import hostlib\nclass C: pass\nhostlib.kept.append(C)\n"
    forgetting._live(source)
    now[0] = 107.5
    digest = Artifact("crm", Kind.MODULE, {"crm.py": source.encode()}).digest

    assert (
        Leak("crm", digest, 7.5, ("the list kept of module hostlib",)),
    ) == forgetting.watch.leaks(collect=True)


def test_leak_that_ends_is_forgotten(
    forgetting: Forgetting, library: ModuleType
) -> None:
    """When the holder lets go, the leak is no more."""
    kept: list[object] = []
    vars(library)["kept"] = kept
    before = forgetting.leaks("import hostlib\nhostlib.kept.append(lambda: 1)\n")
    kept.clear()

    assert (1, ()) == (len(before), forgetting.watch.leaks(collect=True))


LIBRARY_CASES = {
    "the list callbacks of module hostlib": "hostlib.callbacks.append(on_change)",
    "the dict registry of module hostlib": "hostlib.registry[1] = {'x': [Customer]}",
    "hook of module hostlib": "hostlib.hook = on_change",
    "listener of hostlib.Bus 'main'": "hostlib.bus.listener = Customer()",
    "the set seen of hostlib.Slotted, in module hostlib": (
        "hostlib.slotted.seen.add(on_change)"
    ),
    "the dict table of class hostlib.Bus": "hostlib.Bus.table['crm'] = Customer()",
    "hook of class hostlib.Bus": "hostlib.Bus.hook = on_change",
    "the dict cache in the closure of function hostlib.render": (
        "hostlib.render(Customer())"
    ),
    "hook of function hostlib.plain": "hostlib.plain.hook = Customer()",
}


@pytest.mark.parametrize(("holder", "line"), LIBRARY_CASES.items())
def test_library_that_holds(
    forgetting: Forgetting, library: ModuleType, holder: str, line: str
) -> None:
    """What a host library keeps is told by its own name there."""
    exec(
        textwrap.dedent("""
            callbacks = []
            registry = {}
            class Bus:
                table = {}
                def __init__(self):
                    self.name = "main"
                    self.listener = None
            bus = Bus()
            class Slotted:
                __slots__ = ("seen",)
                def __init__(self):
                    self.seen = set()
            slotted = Slotted()
            def renderer():
                cache = {}
                def render(thing):
                    cache[thing] = 1
                return render
            render = renderer()
            render.__qualname__ = "render"
            def plain():
                pass
        """),
        vars(library),
    )
    source = (
        "import hostlib\nclass Customer: pass\n"
        "def on_change(): return Customer\n" + line + "\n"
    )
    found = forgetting.leaks(source)

    assert [holder] == holders(found)


def test_log_handler_put_there_by_hand(forgetting: Forgetting) -> None:
    """The logger is named, and its list."""
    logger = logging.getLogger("hostlib.audit")
    source = """
        import logging

        class Handler(logging.Handler):
            pass

        logging.getLogger("hostlib.audit").handlers.append(Handler())
    """
    found = forgetting.leaks(source)
    logger.handlers.clear()

    # Libraries of other tests may have changed the class of loggers.
    kind = f"{type(logger).__module__}.{type(logger).__qualname__}"
    assert [f"the list handlers of {kind} 'hostlib.audit'"] == holders(found)


def test_system_hook(forgetting: Forgetting, monkeypatch: pytest.MonkeyPatch) -> None:
    """A list or hook of sys is named as everybody writes it."""
    monkeypatch.setattr(sys, "path_importer_cache", dict(sys.path_importer_cache))
    found = forgetting.leaks(
        "import sys\ndef hook(path): pass\nsys.path_importer_cache['/no'] = hook\n"
    )

    assert ["sys.path_importer_cache"] == holders(found)


def test_singledispatch_of_the_host(
    forgetting: Forgetting, library: ModuleType
) -> None:
    """A function registered with a host's generic function is told."""

    def render(thing: object) -> str:
        return "?"

    render.__module__, render.__qualname__ = "hostlib", "render"
    vars(library)["render"] = functools.singledispatch(render)
    source = """
        import hostlib

        class Customer: pass

        @hostlib.render.register
        def _(customer: Customer) -> str:
            return "customer"
    """

    found = forgetting.leaks(source)

    assert ["the mappingproxy registry of function hostlib.render"] == holders(found)


@pytest.fixture(name="stop")
def _stop(library: ModuleType) -> Iterator[threading.Event]:
    """What ends the threads of a version."""
    stop = threading.Event()
    vars(library)["stop"] = stop
    before = set(threading.enumerate())
    yield stop
    stop.set()

    def ended() -> bool:
        gc.collect()  # a pool's threads end with the pool
        return set(threading.enumerate()) <= before

    wait_for(ended, "the threads of the version have ended")


def test_thread_that_never_ends(forgetting: Forgetting, stop: threading.Event) -> None:
    """A thread of the version is named with the function of the version it is in."""
    source = """
        import threading, hostlib

        def loop():
            hostlib.stop.wait()

        threading.Thread(target=loop, name="crm-worker", daemon=True).start()
    """

    assert ["thread 'crm-worker' is running crm.loop"] == holders(
        forgetting.leaks(source)
    )


def test_pool_of_threads(forgetting: Forgetting, stop: threading.Event) -> None:
    """A thread pool that `stop()` forgot is told by its thread, first of all."""
    source = """
        import concurrent.futures, hostlib

        pool = concurrent.futures.ThreadPoolExecutor(1, "crm-pool")
        pool.submit(hostlib.stop.wait)
        pool.submit(lambda: None)
    """
    found = holders(forgetting.leaks(source))

    assert (
        "thread 'crm-pool_0', which it started, is in threading.Condition.wait"
        == (found[0])
    )


def test_thread_of_the_host(
    forgetting: Forgetting, library: ModuleType, stop: threading.Event
) -> None:
    """A variable in a thread of the host is told with the place it is in."""
    ready = threading.Event()

    def serve() -> None:
        held = vars(library)["handed_over"].pop()
        ready.set()
        stop.wait()
        del held

    serve.__module__ = "hostlib"
    vars(library)["handed_over"] = []
    source = "import hostlib\nhostlib.handed_over.append(lambda: 1)\n"
    forgetting._live(source)
    thread = threading.Thread(target=serve, name="server-0", daemon=True)
    thread.start()
    ready.wait()
    found = holders(forgetting.watch.leaks(collect=True))

    where = f"{__name__}.test_thread_of_the_host.<locals>.serve"
    assert [f"thread 'server-0', by a variable in {where}"] == found


def test_thread_local(forgetting: Forgetting, library: ModuleType) -> None:
    """What lies in a threading.local is told by where that is."""
    local = threading.local()
    vars(library)["local"] = local
    found = forgetting.leaks("import hostlib\nhostlib.local.x = lambda: 1\n")
    vars(local).clear()

    assert ["the dict of _thread._local, in module hostlib"] == holders(found)


def test_what_python_does_not_show(forgetting: Forgetting) -> None:
    """A leak whose holder cannot be found is told all the same, when asked for."""
    source = """
        import codecs, sys

        def search(name):
            return None

        codecs.register(search)
    """
    forgetting._live(textwrap.dedent(source))
    unasked = forgetting.watch.leaks()
    found = forgetting.watch.leaks(collect=True)
    own = forgetting.watch._watched[0].own()
    codecs.unregister(next(o["search"] for o in own if isinstance(o, dict)))

    assert () == unasked
    assert holders(found)[0].startswith("something that Python does not show")


def test_frozen_holders_are_found(forgetting: Forgetting, library: ModuleType) -> None:
    """What `gc.freeze` has put aside is searched: there the host's lists are."""
    vars(library)["callbacks"] = []
    gc.collect()
    gc.freeze()
    try:
        source = "import hostlib\nhostlib.callbacks.append(lambda: 1)\n"
        found = holders(forgetting.leaks(source))
    finally:
        gc.unfreeze()

    assert ["the list callbacks of module hostlib"] == found


def test_class_without_functions(forgetting: Forgetting, library: ModuleType) -> None:
    """A class that has no function to hold its module by is watched too."""
    vars(library)["kept"] = []
    found = forgetting.leaks("import hostlib\nclass C: pass\nhostlib.kept += [C()]\n")

    assert ["the list kept of module hostlib"] == holders(found)


def test_two_versions(forgetting: Forgetting, library: ModuleType) -> None:
    """Each version is told with its own holder."""
    library.__dict__.update(first=[], second={})
    forgetting._live("import hostlib\nhostlib.first.append(lambda: 1)\n")
    found = forgetting.leaks("import hostlib\nhostlib.second[1] = lambda: 2\n")

    assert [
        ("the list first of module hostlib",),
        ("the dict second of module hostlib",),
    ] == [leak.holders for leak in found]
