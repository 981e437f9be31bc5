"""Import statements of services do what Python's do, in each of two versions.

Mutations that were tried, and fail tests here: a child not bound to its parent
before it is executed; a module's replacement of itself not taken; threads without
the namespace's mark.
"""

from __future__ import annotations

import builtins
import sys
import threading
from typing import TYPE_CHECKING, Any
from unittest import mock

import pytest

from functional.namespace.two_versions import Held, write_asked
from site_folder import get, outcomes, statuses

if TYPE_CHECKING:
    from collections.abc import Iterator

    from functional.namespace.two_versions import TwoVersions
    from site_folder import SiteFolder

PORTIONS = {
    "spread/one.py": "VERSION = 1\n",
    "spread/deep/two.py": "VERSION = 1\n",
    "spread/deep/text.txt": "VERSION = 1",
    "app.py": """
        import importlib.resources
        import spread.deep.two
        import spread.one as one
        from spread import deep
        from spread.deep import two

        def versions():
            return spread.one.VERSION, one.VERSION, deep.two.VERSION, two.VERSION

        def text():
            folder = importlib.resources.files("spread.deep")
            return folder.joinpath("text.txt").read_text()

        def is_a_namespace_package():
            return spread.__file__ is None if hasattr(spread, "__file__") else True
    """,
}


def test_folders_without_init(versions: TwoVersions) -> None:
    """PEP 420: a folder without ``__init__.py`` is a package, with its resources."""
    versions.serve(PORTIONS)

    assert ((1,) * 4, (2,) * 4) == versions.ask("versions")
    assert ("VERSION = 1", "VERSION = 2") == versions.ask("text")
    assert (True, True) == versions.ask("is_a_namespace_package")


def test_portions_in_two_directories(versions: TwoVersions, site: SiteFolder) -> None:
    """PEP 420: portions in two listed directories make one package."""
    files = {
        **PORTIONS,
        "../more/spread/other.py": "VERSION = 1\n",
        "app.py": PORTIONS["app.py"]
        + """
        def other():
            import spread.other
            found = importlib.import_module("spread.other")
            return spread.other.VERSION, found.VERSION

        def files():
            folder = importlib.resources.files("spread")
            return sorted(f.name for f in folder.iterdir() if f.name.endswith(".py"))
    """,
    }
    versions.serve(files, entries=("./more",))

    assert ((1,) * 4, (2,) * 4) == versions.ask("versions")
    assert ((1, 1), (2, 2)) == versions.ask("other")
    assert (["one.py", "other.py"],) * 2 == versions.ask("files")


STATEMENTS = {
    "pack/__init__.py": "VERSION = 1\n",
    "pack/sub/__init__.py": "from .. import VERSION as above\nVERSION = 1\n",
    "pack/sub/leaf.py": """
        from __future__ import annotations
        from typing import TYPE_CHECKING
        if TYPE_CHECKING:
            from nowhere import Nothing
        VERSION = 1
        _hidden = VERSION
        def typed(nothing: Nothing) -> Nothing: return nothing
    """,
    "pack/listed/__init__.py": """
        __all__ = ["inner", "VERSION", "_under"]
        _under = VERSION = 1
    """,
    "pack/listed/inner.py": "VERSION = 1\n",
    "flat.py": "VERSION = 1\n_hidden = 1\n",
    "app.py": """
        import pack.sub.leaf
        import pack.sub.leaf as leaf
        import pack.sub as sub, flat as other
        from pack.sub import leaf as again
        from pack.sub.leaf import *
        starred = VERSION, "_hidden" in globals()
        from pack.listed import *
        all_starred = VERSION, inner.VERSION, _under

        def as_statements():
            return (
                pack.VERSION, pack.sub.above, leaf.VERSION, sub.leaf.VERSION,
                other.VERSION, again.VERSION, pack.sub.leaf is leaf is again,
            )

        def stars():
            return starred, all_starred, typed(3)

        def late():
            import pack.sub.leaf as first
            from pack import sub as second
            from pack.listed import inner as third
            return first is leaf, second is sub, third.VERSION

        def by_hand():
            return (
                __import__("pack.sub.leaf").sub.leaf.VERSION,
                __import__("pack.sub", fromlist=["leaf"]).leaf.VERSION,
                __import__("flat").VERSION,
            )

        def executed():
            scope = {}
            exec("import flat\\nfrom pack.sub import leaf", scope)
            inner = {"__name__": "made", "__builtins__": __builtins__}
            exec("import flat", inner)
            value = eval("__import__('flat').VERSION", {})
            both = scope["flat"].VERSION, scope["leaf"].VERSION
            return *both, inner["flat"].VERSION, value

        def missing():
            answers = []
            for statement in ("from flat import nothing", "import pack.nothing",
                              "from pack import nothing", "import flat.below",
                              "from . import flat"):
                try:
                    exec(statement, {"__name__": __name__, "__package__": ""})
                except ImportError as error:
                    answers.append((type(error).__name__, error.name))
            return answers
    """,
}


def test_statements(versions: TwoVersions) -> None:
    """``import a.b as c``, star imports and late imports bind the version's modules."""
    versions.serve(STATEMENTS)

    assert ((1,) * 6 + (True,), (2,) * 6 + (True,)) == versions.ask("as_statements")
    old = (1, False), (1, 1, 1), 3
    new = (2, False), (2, 2, 2), 3
    assert (old, new) == versions.ask("stars")
    assert ((True, True, 1), (True, True, 2)) == versions.ask("late")


def test_imports_by_hand(versions: TwoVersions) -> None:
    """``__import__`` called by hand, and ``exec`` with fresh globals, import too."""
    versions.serve(STATEMENTS)

    assert ((1, 1, 1), (2, 2, 2)) == versions.ask("by_hand")
    assert ((1,) * 4, (2,) * 4) == versions.ask("executed")


def test_what_cannot_be_imported(versions: TwoVersions) -> None:
    """A missing name or module raises what Python raises, and names it."""
    versions.serve(STATEMENTS)
    errors = [
        ("ImportError", "flat"),
        ("ModuleNotFoundError", "pack.nothing"),
        ("ImportError", "pack"),
        ("ModuleNotFoundError", "flat.below"),
        ("ImportError", None),
    ]

    assert (errors, errors) == versions.ask("missing")


CIRCLES = {
    "hen.py": """
        import egg
        VERSION = 1
        def of_egg(): return egg.VERSION
    """,
    "egg.py": """
        import hen
        VERSION = 1
        def of_hen(): return hen.VERSION
    """,
    "ring/__init__.py": "from . import left\n",
    "ring/left.py": """
        from . import right
        VERSION = 1
        def other(): return right.VERSION, right.__name__
    """,
    "ring/right.py": """
        from . import left
        import ring.left as same
        VERSION = 1
        def other(): return left.VERSION, left is same, type(left).__name__
    """,
    "app.py": """
        import egg, hen, ring.right
        def circles():
            return egg.of_hen(), hen.of_egg(), ring.left.other(), ring.right.other()
    """,
}


def test_circular_imports(versions: TwoVersions) -> None:
    """Modules that import each other work, flat ones and inside a package."""
    versions.serve(CIRCLES)

    old = 1, 1, (1, "ring.right"), (1, True, "module")
    new = 2, 2, (2, "ring.right"), (2, True, "module")
    assert (old, new) == versions.ask("circles")


def test_circle_that_python_refuses(site: SiteFolder) -> None:
    """``from`` a module that is still being imported fails as it does in Python."""
    site.write("hen.py", "from egg import egg\nhen = 1\n")
    site.write("egg.py", "from hen import hen\negg = 1\n")
    failed = outcomes(site.host().node.reload())

    told = (
        "failed while it was imported: ImportError: cannot import name 'egg' from "
        "partially initialized module 'egg' (most likely due to a circular import) "
        f"({site.services}/egg.py)"
    )
    assert told == failed["egg"].reason


DYNAMIC = {
    "lazy/__init__.py": """
        VERSION = 1
        def __getattr__(name):
            if name == "late":
                from . import parts
                return parts.VERSION
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        def __dir__():
            return ["late", "VERSION"]
    """,
    "lazy/parts.py": "VERSION = 1\n",
    "itself.py": """
        import sys
        class Replacement:
            VERSION = 1
            @property
            def twice(self):
                return self.VERSION * 2
        sys.modules[__name__] = Replacement()
    """,
    "classy.py": """
        import sys
        import types
        VERSION = 1
        class Classy(types.ModuleType):
            @property
            def thrice(self):
                return self.VERSION * 3
        sys.modules[__name__].__class__ = Classy
    """,
    "app.py": """
        import importlib
        import sys
        import classy
        import itself
        import lazy

        def getattr_of_modules():
            from lazy import late
            return late, lazy.late, sys.modules["lazy"].late, sorted(dir(lazy))

        def replaced():
            again = importlib.import_module("itself")
            return itself.VERSION, itself.twice, again.twice, again.VERSION

        def with_a_class():
            return classy.thrice, sys.modules["classy"].thrice
    """,
}


def test_modules_with_getattr(versions: TwoVersions) -> None:
    """PEP 562: a module's ``__getattr__`` and ``__dir__`` answer for its version."""
    versions.serve(DYNAMIC)
    names = ["VERSION", "late"]

    assert ((1, 1, 1, names), (2, 2, 2, names)) == versions.ask("getattr_of_modules")


def test_modules_that_replace_themselves(versions: TwoVersions) -> None:
    """What a module puts into ``sys.modules`` in its place stands for its version."""
    versions.serve(DYNAMIC)

    assert ((1, 2, 2, 1), (2, 4, 4, 2)) == versions.ask("replaced")
    assert ((3, 3), (6, 6)) == versions.ask("with_a_class")


PATCHED = {
    "crm/__init__.py": "",
    "crm/models.py": "limit = VERSION = 1\nclass Customer:\n    kind = 'real'\n",
    "crm/web.py": """
        import contextlib
        from unittest import mock
        import crm.models

        def read():
            return crm.models.limit, crm.models.Customer.kind

        def patched():
            with mock.patch("crm.models.limit", 99), \\
                 mock.patch.object(crm.models.Customer, "kind", "fake"):
                inside = read()
            return inside, read()

        def patched_class():
            with mock.patch("crm.models.Customer") as fake:
                return crm.models.Customer is fake
    """,
}


def test_mock_patch_by_a_service(versions: TwoVersions) -> None:
    """``mock.patch`` by name patches the caller's version, and puts it back."""
    versions.serve(PATCHED, asked="crm.web", entries=("crm.web",))

    real = (1, "real"), (2, "real")
    assert real == versions.ask("read")
    fake = (99, "fake")
    assert ((fake, (1, "real")), (fake, (2, "real"))) == versions.ask("patched")
    assert (True, True) == versions.ask("patched_class")
    assert real == versions.ask("read")


def test_mock_patch_by_the_host(versions: TwoVersions) -> None:
    """``mock.patch`` from a test, which is no service, patches what is active."""
    versions.serve(PATCHED, asked="crm.web", entries=("crm.web",))
    with mock.patch("crm.models.limit", 99):
        inside = versions.ask("read")

    assert ((1, "real"), (99, "real")) == inside
    assert ((1, "real"), (2, "real")) == versions.ask("read")


POOLS = {
    "late.py": "VERSION = 1\n",
    "app.py": """
        import pickle
        from concurrent.futures import ThreadPoolExecutor

        VERSION = 1
        shared = ThreadPoolExecutor(2)

        class Thing:
            version = VERSION

        def work(number):
            import late
            return late.VERSION + number

        def own_functions():
            return list(shared.map(work, [0, 10]))

        def functions_of_the_host():
            blobs = [pickle.dumps(Thing())] * 2
            with ThreadPoolExecutor(2) as pool:
                found = [thing.version for thing in pool.map(pickle.loads, blobs)]
            return found + [t.version for t in shared.map(pickle.loads, blobs)]

        def nested():
            with ThreadPoolExecutor(1) as pool:
                return pool.submit(lambda: shared.submit(work, 0).result()).result()

        def closed():
            shared.shutdown()
            return True
    """,
}


def test_thread_pools(versions: TwoVersions) -> None:
    """A pool's threads work for the version that started them, host functions too."""
    versions.serve(POOLS)

    assert ([1, 11], [2, 12]) == versions.ask("own_functions")
    assert ([1] * 4, [2] * 4) == versions.ask("functions_of_the_host")
    assert (1, 2) == versions.ask("nested")
    assert (True, True) == versions.ask("closed")


CROWD = {
    "crowd/__init__.py": "",
    "crowd/log.py": """
        import threading
        executed = []
        begun = threading.Event()
        somebody_is_through = threading.Event()
    """,
    "crowd/slow.py": """
        from crowd import log
        log.executed.append(1)
        log.begun.set()
        log.somebody_is_through.wait(0.2)
        VERSION = 1
        complete = True
    """,
    "app.py": """
        import importlib
        import threading
        from crowd import log

        def statement():
            from crowd import slow
            return slow

        def function():
            return importlib.import_module("crowd.slow")

        def read(by, found):
            slow = by()
            log.somebody_is_through.set()
            found.append((slow.VERSION, slow.complete))

        def twenty(first):
            found = []
            ways = [globals()[first]] + [statement, function] * 10
            threads = [threading.Thread(target=read, args=(w, found)) for w in ways]
            threads[0].start()
            log.begun.wait(20)
            for thread in threads[1:]: thread.start()
            for thread in threads: thread.join()
            return found, log.executed
    """,
}


@pytest.mark.parametrize("first", ["statement", "function"])
def test_one_module_in_twenty_threads(versions: TwoVersions, first: str) -> None:
    """Threads that import a module see it complete; it is executed once.

    That is so for those that come by ``importlib.import_module`` while the ``import``
    statement of another executes it, and the other way round.
    """
    versions.serve(CROWD)

    old, new = [(1, True)] * 21, [(2, True)] * 21
    assert ((old, [1]), (new, [1])) == versions.ask("twenty", first)


def test_two_threads_that_meet_in_a_circle(site: SiteFolder) -> None:
    """Two threads that import a circle from both ends do not wait for ever."""
    site.write("met/__init__.py", "import threading\nboth = threading.Barrier(2)\n")
    for one, other in (("a", "b"), ("b", "a")):
        site.write(
            f"met/{one}.py",
            f"""
            import contextlib, threading, met
            with contextlib.suppress(threading.BrokenBarrierError):
                met.both.wait(5)
            import met.{other}
            done = True
            """,
        )
    write_asked(
        site,
        "app.py",
        """
        import importlib, threading
        import met
        def both():
            found = []
            def work(name):
                found.append(importlib.import_module("met." + name).done)
            threads = [threading.Thread(target=work, args=(n,)) for n in "ab"]
            for thread in threads: thread.start()
            for thread in threads: thread.join(20)
            import met.a, met.b
            return sorted(map(str, found)), met.a.done, met.b.done
        """,
    )
    held = Held(site.host(), "/app")

    assert (["True", "True"], True, True) == held.ask("both")
    held.close()


@pytest.fixture(name="clean_builtins")
def _clean_builtins() -> Iterator[None]:
    before = dict(vars(builtins))
    yield
    for name in set(vars(builtins)) - before.keys():
        delattr(builtins, name)


@pytest.mark.usefixtures("clean_builtins")
def test_names_put_into_builtins_later(versions: TwoVersions) -> None:
    """``builtins.x = ...`` and ``gettext.install`` are seen by what was loaded."""
    source = """
        import builtins
        import gettext
        VERSION = 1
        def install():
            gettext.install("messages")
            builtins.pointsman_test_name = 5
        def translated():
            return _("hello"), pointsman_test_name
    """
    versions.serve({"app.py": source})
    versions.old.ask("install")

    assert (("hello", 5), ("hello", 5)) == versions.ask("translated")


def test_reload_of_one_module_is_refused(versions: TwoVersions) -> None:
    """``importlib.reload`` says no, and changes nothing in any version."""
    source = """
        import importlib
        import flat
        def again():
            try:
                importlib.reload(flat)
            except Exception as error:
                return type(error).__name__, str(error)
        def read():
            return flat.VERSION
    """
    versions.serve({"app.py": source, "flat.py": "VERSION = 1\n"})
    old, new = versions.ask("again")

    assert "ImportError" == old[0] == new[0]
    assert "flat" in old[1]
    assert (1, 2) == versions.ask("read")


WALK = {
    "tree/__init__.py": "",
    "tree/a.py": "VERSION = 1\n",
    "tree/sub/__init__.py": "",
    "tree/sub/b.py": "VERSION = 1\n",
    "app.py": """
        import importlib
        import pkgutil
        import tree

        def iterated():
            return [m.name for m in pkgutil.iter_modules(tree.__path__)]

        def walked():
            return [
                (m.name, getattr(importlib.import_module(m.name), "VERSION", 0))
                for m in pkgutil.walk_packages(tree.__path__, "tree.")
            ]

        def loaded():
            return [
                m.module_finder.find_spec(m.name) is not None
                for m in pkgutil.iter_modules(tree.__path__, "tree.")
            ]

        def resolved():
            return pkgutil.resolve_name("tree.sub.b:VERSION")
    """,
}


def test_pkgutil(versions: TwoVersions) -> None:
    """``pkgutil`` iterates and walks a package of the version."""
    versions.serve(WALK)

    assert (["a", "sub"], ["a", "sub"]) == versions.ask("iterated")
    old = [("tree.a", 1), ("tree.sub", 0), ("tree.sub.b", 1)]
    new = [("tree.a", 2), ("tree.sub", 0), ("tree.sub.b", 2)]
    assert (old, new) == versions.ask("walked")
    assert (1, 2) == versions.ask("resolved")


def test_a_module_that_fails_can_be_tried_again(site: SiteFolder) -> None:
    """A late import that raises leaves nothing behind, and is tried anew."""
    site.write("part/__init__.py", "attempts = []\n")
    site.write(
        "part/weak.py",
        """
        import part
        part.attempts.append(1)
        if len(part.attempts) < 2:
            raise RuntimeError("not yet")
        """,
    )
    write_asked(
        site,
        "app.py",
        """
        import sys
        import part
        def tried():
            try:
                from part import weak
            except RuntimeError as error:
                return str(error), hasattr(part, "weak")
            return weak.__name__, hasattr(part, "weak")
        """,
    )
    held = Held(site.host(), "/app")

    assert ("not yet", False) == held.ask("tried")
    assert ("part.weak", True) == held.ask("tried")
    held.close()


def test_the_import_of_others_is_left_alone(site: SiteFolder) -> None:
    """Code of the host imports as ever, beside services and after them."""
    write_asked(site, "app.py", "import json\n")
    site.host()
    sys.modules.pop("this_is_nowhere", None)

    with pytest.raises(ModuleNotFoundError) as raised:
        __import__("this_is_nowhere")
    assert "this_is_nowhere" == raised.value.name
    from concurrent import futures

    assert sys.modules["concurrent.futures"] is futures


def test_a_thread_of_the_host_sees_what_is_active(versions: TwoVersions) -> None:
    """A thread that no service started finds the active version by name."""
    versions.serve({"app.py": "VERSION = 1\ndef v(): return VERSION\n"})
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(sys.modules["app"].VERSION))
    thread.start()
    thread.join()

    assert [2] == found
    assert (1, 2) == versions.ask("v")


def test_same_size_same_second(site: SiteFolder) -> None:
    """A file rewritten with the same size at once is served as it is now."""
    site.write("app.py", "text = '0'\n" + FIXED)
    host = site.host()
    for number in range(1, 10):
        site.write("app.py", f"text = '{number}'\n" + FIXED)
        assert {"app": "updated"} == statuses(host.node.reload())
        assert str(number) == get(host, "/app").text


FIXED = """
def application(environ, start_response):
    start_response("200 OK", [])
    return [text.encode()]
"""
