"""What looks modules up by name works in each of two versions that live at once."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import pytest

from functional.namespace.two_versions import Held, write_asked

if TYPE_CHECKING:
    from functional.namespace.two_versions import TwoVersions
    from site_folder import SiteFolder

DATACLASSES = """
    from __future__ import annotations
    import dataclasses
    from typing import ClassVar, get_type_hints

    VERSION = 1

    @dataclasses.dataclass
    class Address:
        kind: ClassVar[int] = VERSION
        street: str = "main"

    @dataclasses.dataclass
    class Customer:
        address: Address
        other: dataclasses.InitVar[int] = 0

    def fields():
        return [f.name for f in dataclasses.fields(Address)]

    def hints():
        return get_type_hints(Customer)["address"].kind

    def same():
        return get_type_hints(Customer)["address"] is Address

    def late():
        @dataclasses.dataclass
        class Late:
            kind: ClassVar[int]
            number: int = VERSION
        return Late().number, get_type_hints(Late)["number"].__name__
"""


def test_string_annotations_of_dataclasses(versions: TwoVersions) -> None:
    """A dataclass with string annotations resolves them in its own version."""
    versions.serve({"app.py": DATACLASSES})

    assert (["street"], ["street"]) == versions.ask("fields")
    assert (1, 2) == versions.ask("hints")
    assert (True, True) == versions.ask("same")
    assert ((1, "int"), (2, "int")) == versions.ask("late")


PYDANTIC = """
    from __future__ import annotations
    from typing import List, Optional
    from pydantic import BaseModel

    VERSION = 1

    class Order(BaseModel):
        lines: List[Line]
        parent: Optional[Order] = None

    class Line(BaseModel):
        number: int = VERSION

    def lines():
        order = Order.model_validate({"lines": [{}], "parent": {"lines": [{}]}})
        return order.parent.lines[0].number, type(order.lines[0]) is Line

    def rebuilt():
        Order.model_rebuild(force=True)
        return Order(lines=[Line()]).lines[0].number
"""


def test_forward_references_of_pydantic(versions: TwoVersions) -> None:
    """A pydantic model finds classes that are defined behind it, in its version."""
    versions.serve({"app.py": PYDANTIC})

    assert ((1, True), (2, True)) == versions.ask("lines")
    assert (1, 2) == versions.ask("rebuilt")


SQLALCHEMY = {
    "shop/__init__.py": "",
    "shop/base.py": """
        from sqlalchemy.orm import DeclarativeBase
        class Base(DeclarativeBase):
            pass
    """,
    "shop/models.py": """
        from __future__ import annotations
        from typing import List
        from sqlalchemy import ForeignKey, create_engine
        from sqlalchemy.orm import Mapped, Session, mapped_column, relationship
        from shop.base import Base

        VERSION = 1

        class Customer(Base):
            __tablename__ = "customer"
            id: Mapped[int] = mapped_column(primary_key=True)
            orders: Mapped[List["Order"]] = relationship(
                "Order", order_by="Order.id", back_populates="customer"
            )

        class Order(Base):
            __tablename__ = "order"
            id: Mapped[int] = mapped_column(primary_key=True)
            customer_id: Mapped[int] = mapped_column(ForeignKey("customer.id"))
            customer: Mapped["Customer"] = relationship(
                "shop.models.Customer", back_populates="orders"
            )
            version = VERSION

        def stored():
            engine = create_engine("sqlite://")
            Base.metadata.create_all(engine)
            with Session(engine) as session:
                session.add(Customer(id=7, orders=[Order(id=1), Order(id=2)]))
                session.commit()
                found = session.get(Customer, 7)
                answer = [type(o) is Order and o.version for o in found.orders]
                answer.append(found.orders[0].customer is found)
            engine.dispose()
            return answer
    """,
}


def test_relationships_of_sqlalchemy(versions: TwoVersions) -> None:
    """SQLAlchemy's declarative models find each other by name, each in its version."""
    versions.serve(SQLALCHEMY, asked="shop.models", entries=("shop.models",))

    assert ([1, 1, True], [2, 2, True]) == versions.ask("stored")


PICKLES = {
    "crm/__init__.py": "",
    "crm/models.py": """
        import copy
        import enum
        import pickle

        VERSION = 1

        class Colour(enum.Enum):
            RED = 1

        class Customer:
            version = VERSION
            def __init__(self, name):
                self.name = name
                self.colour = Colour.RED
                self.kind = type(self)

        def dumped(protocol):
            return pickle.dumps(Customer("Ann"), protocol)

        def loaded(blob):
            found = pickle.loads(blob)
            return [
                found.name,
                found.version,
                type(found) is Customer,
                found.kind is Customer,
                found.colour is Colour.RED,
            ]

        def copied():
            found = copy.deepcopy(Customer("Ann"))
            return type(found) is Customer and found.colour is Colour.RED
    """,
}


@pytest.mark.parametrize("protocol", [0, 2, 5])
def test_pickles(versions: TwoVersions, protocol: int) -> None:
    """Bytes name plain ``crm.models``; each version reads what the other wrote."""
    versions.serve(PICKLES, asked="crm.models", entries=("crm.models",))
    from_old, from_new = versions.ask("dumped", protocol)

    assert from_old == from_new
    assert b"crm.models" in from_old
    right = ["Ann", 1, True, True, True], ["Ann", 2, True, True, True]
    assert right == versions.ask("loaded", from_old)
    assert right == versions.ask("loaded", from_new)
    assert (True, True) == versions.ask("copied")


def test_pickles_read_by_the_host(versions: TwoVersions) -> None:
    """Code of the host, on behalf of nobody, reads a pickle with the active version."""
    import pickle

    versions.serve(PICKLES, asked="crm.models", entries=("crm.models",))
    (blob, _) = versions.ask("dumped", 2)

    assert 2 == pickle.loads(blob).version


BY_NAME = {
    "crm/__init__.py": "VERSION = 1\n",
    "crm/inner/__init__.py": "",
    "crm/inner/deep.py": "VERSION = 1\n",
    "crm/late.py": "VERSION = 1\n",
    "crm/web.py": """
        import importlib
        import importlib.util
        import sys
        import crm

        VERSION = 1

        def in_sys_modules():
            found = sys.modules["crm"]
            return found.VERSION, vars(found)["VERSION"], found.__name__

        def itself():
            found = sys.modules[__name__]
            return found.application is application, vars(found) is globals()

        def absolute():
            return importlib.import_module("crm.inner.deep").VERSION

        def relative():
            deep = importlib.import_module(".inner.deep", "crm")
            deeper = importlib.import_module("..late", "crm.inner")
            return deep.VERSION, deeper.VERSION

        def found_spec():
            spec = importlib.util.find_spec("crm.inner.deep")
            return spec.name, importlib.util.find_spec("crm.nothing")
    """,
}


def test_modules_by_name(versions: TwoVersions) -> None:
    """``sys.modules`` and ``importlib.import_module`` lead to the caller's version."""
    versions.serve(BY_NAME, asked="crm.web", entries=("crm.web",))

    assert ((1, 1, "crm"), (2, 2, "crm")) == versions.ask("in_sys_modules")
    assert ((True, True), (True, True)) == versions.ask("itself")
    assert (1, 2) == versions.ask("absolute")
    assert ((1, 1), (2, 2)) == versions.ask("relative")
    spec = ("crm.inner.deep", None)
    assert (spec, spec) == versions.ask("found_spec")


def test_import_module_of_what_is_not_there(versions: TwoVersions) -> None:
    """``importlib.import_module`` of a missing module names it, as Python does."""
    source = """
        import importlib
        VERSION = 1
        def missing(name):
            try:
                importlib.import_module(name)
            except ModuleNotFoundError as error:
                return error.name, str(error)
    """
    versions.serve({"app.py": source})

    none = ("nowhere", "No module named 'nowhere'")
    assert (none, none) == versions.ask("missing", "nowhere")
    below = ("app.x", "No module named 'app.x'; 'app' is not a package")
    assert (below, below) == versions.ask("missing", "app.x")


LOGGING = """
    import logging
    import logging.config

    VERSION = 1
    seen = []

    class Handler(logging.Handler):
        version = VERSION
        def emit(self, record):
            seen.append((self.version, record.getMessage()))

    class Formatter(logging.Formatter):
        version = VERSION

    def made(**keys):
        return Handler()

    def configured():
        del seen[:]
        logging.config.dictConfig({
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {"own": {"class": "app.Formatter"}},
            "handlers": {
                "named": {"class": "app.Handler", "formatter": "own"},
                "factory": {"()": "app.made"},
                "ext": {"()": "ext://app.made"},
            },
            "loggers": {
                "app.config": {"handlers": ["named", "factory", "ext"], "level": "INFO"}
            },
        })
        logging.getLogger("app.config").info("hello")
        handlers = logging.getLogger("app.config").handlers
        formatter = handlers[0].formatter
        answer = list(seen), formatter.version, type(formatter) is Formatter
        for handler in list(handlers):
            logging.getLogger("app.config").removeHandler(handler)
        return answer
"""


def test_dict_config_of_logging(versions: TwoVersions) -> None:
    """``logging.config.dictConfig`` finds classes and factories of the version."""
    versions.serve({"app.py": LOGGING})

    old = [(1, "hello")] * 3, 1, True
    new = [(2, "hello")] * 3, 2, True
    assert (old, new) == versions.ask("configured")


FILES = {
    "shop/__init__.py": "",
    "shop/templates/page.html": "VERSION = 1 of {{ name }}",
    "shop/data/prices.txt": "VERSION = 1",
    "shop/web.py": """
        import importlib.resources
        import pkgutil
        from pathlib import Path
        import jinja2

        VERSION = 1
        early = jinja2.Environment(loader=jinja2.PackageLoader("shop"))

        def templates():
            return early.get_template("page.html").render(name="early")

        def late_templates():
            late = jinja2.Environment(loader=jinja2.PackageLoader("shop", "templates"))
            return late.get_template("page.html").render(name="late")

        def resources():
            folder = importlib.resources.files("shop")
            with importlib.resources.as_file(folder / "data" / "prices.txt") as path:
                from_path = path.read_text()
            return (
                folder.joinpath("data/prices.txt").read_text(),
                from_path,
                pkgutil.get_data("shop", "data/prices.txt").decode(),
                Path(__file__).with_name("data").joinpath("prices.txt").read_text(),
            )
    """,
}


def test_templates_and_resources(versions: TwoVersions) -> None:
    """Jinja2's PackageLoader and importlib.resources read the version's own files."""
    versions.serve(FILES, asked="shop.web", entries=("shop.web",))

    assert ("VERSION = 1 of early", "VERSION = 2 of early") == versions.ask("templates")
    late = "VERSION = 1 of late", "VERSION = 2 of late"
    assert late == versions.ask("late_templates")
    assert (("VERSION = 1",) * 4, ("VERSION = 2",) * 4) == versions.ask("resources")


FLASK = {
    "pages/__init__.py": """
        import flask
        VERSION = 1
        app = flask.Flask(__name__)

        @app.get("/")
        def index():
            return flask.render_template("page.html", version=VERSION)

        @app.get("/open")
        def opened():
            with app.open_resource("static/hello.txt") as file:
                return file.read()

        def page(path="/"):
            with app.test_client().get(path) as response:
                return response.text

        def names():
            return app.name, app.import_name
    """,
    "pages/templates/page.html": "VERSION = 1 by {{ version }}",
    "pages/static/hello.txt": "VERSION = 1",
    "pages/web.py": """
        from pages import names, page
    """,
}


def test_flask(versions: TwoVersions) -> None:
    """``flask.Flask(__name__)`` finds templates and static files of its version."""
    versions.serve(FLASK, asked="pages.web", entries=("pages.web",))

    assert ("VERSION = 1 by 1", "VERSION = 2 by 2") == versions.ask("page")
    assert ("VERSION = 1", "VERSION = 2") == versions.ask("page", "/static/hello.txt")
    assert ("VERSION = 1", "VERSION = 2") == versions.ask("page", "/open")
    assert (("pages",) * 2,) * 2 == versions.ask("names")


INSPECT = """
    import inspect
    import traceback

    VERSION = 1

    def marked(): return "VERSION = 1"

    class Marked:
        text = "VERSION = 1"

    def function():
        return inspect.getsource(marked)

    def klass():
        return inspect.getsource(Marked).splitlines()[1]

    def module():
        module = inspect.getmodule(marked)
        return module.VERSION, f"VERSION = {VERSION}" in inspect.getsource(module)

    def line():
        try:
            raise ValueError("VERSION = 1")
        except ValueError:
            return traceback.format_exc().splitlines()[2].strip()

    def file():
        return inspect.getfile(Marked) == inspect.getsourcefile(function) == __file__
"""


def test_inspect(versions: TwoVersions) -> None:
    """``inspect.getsource`` and tracebacks show each version's own source."""
    versions.serve({"app.py": INSPECT})

    texts = [f'def marked(): return "VERSION = {n}"\n' for n in (1, 2)]
    assert tuple(texts) == versions.ask("function")
    texts = [f'    text = "VERSION = {n}"' for n in (1, 2)]
    assert tuple(texts) == versions.ask("klass")
    assert ((1, True), (2, True)) == versions.ask("module")
    texts = [f'raise ValueError("VERSION = {n}")' for n in (1, 2)]
    assert tuple(texts) == versions.ask("line")
    assert (True, True) == versions.ask("file")


THREADS = {
    "late.py": "VERSION = 1\n",
    "app.py": """
        import importlib
        import pickle
        import sys
        import threading

        VERSION = 1

        class Thing:
            version = VERSION

        def in_a_thread():
            found = []
            def work():
                import late
                found.append(late.VERSION)
                found.append(importlib.import_module("late").VERSION)
                found.append(sys.modules["app"].VERSION)
            thread = threading.Thread(target=work)
            thread.start()
            thread.join()
            return found

        def of_the_host_only():
            found = []
            def take(thing): found.append(thing)
            thread = threading.Thread(
                target=eval, args=("found.append(loads(blob).version)",
                {"found": found, "loads": pickle.loads, "blob": pickle.dumps(Thing())}))
            thread.start()
            thread.join()
            return found

        def a_timer():
            found = []
            timer = threading.Timer(0, lambda: found.append(sys.modules["app"].VERSION))
            timer.start()
            timer.join()
            return found
    """,
}


def test_imports_in_threads(versions: TwoVersions) -> None:
    """A thread that a version started imports that version's modules."""
    versions.serve(THREADS)

    assert ([1] * 3, [2] * 3) == versions.ask("in_a_thread")
    assert ([1], [2]) == versions.ask("of_the_host_only")
    assert ([1], [2]) == versions.ask("a_timer")


def test_names_are_plain(site: SiteFolder) -> None:
    """Nothing of a namespace shows in names: module, class, logger, repr."""
    write_asked(
        site,
        "app.py",
        """
        import logging
        log = logging.getLogger(__name__)
        class Thing: pass
        def shown(): return __name__, Thing.__module__, repr(Thing), log.name
        """,
    )
    held = Held(site.host(), "/app")

    assert ("app", "app", "<class 'app.Thing'>", "app") == held.ask("shown")
    held.close()


def test_facades_leave_the_process_with_the_host(site: SiteFolder) -> None:
    """When a host is closed, ``sys.modules`` is as it was before."""
    before = set(sys.modules)
    site.write("facade_a.py", "import facade_b\napplication = len\n")
    site.write("facade_b.py", "")
    site.host()
    within: dict[str, Any] = dict(sys.modules)
    site.close()

    assert {"facade_a", "facade_b"} <= within.keys()
    assert set() == {n for n in set(sys.modules) - before if n.startswith("facade")}
