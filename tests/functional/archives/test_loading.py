"""Archives and wheels in a namespace: what a manifest declares is what is served."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

import pytest

from functional.archives.place import Site, answer, mounts
from pointsman.errors import LoadError
from unit.archive.making import wheel

WEB = """
import json
from pointsman import Service

def app(environ, start_response):
    start_response("200 OK", [])
    return [b"app"]

def make(global_conf, **local_conf):
    def made(environ, start_response):
        start_response("200 OK", [])
        return [json.dumps([global_conf["here"], local_conf]).encode()]
    return made

class Page(Service):
    path = "/from/the/class"

    def handle(self, request):
        return dict(self.settings, name=self.log.name)

class Unmounted(Page):
    path = ""

instance = Page()

class Deep:
    app = staticmethod(app)

class Empty(Service):
    pass

table = {}
"""


def test_what_a_manifest_can_name(place: Site) -> None:
    """Applications, factories and classes get the names and paths of the manifest."""
    manifest = """name = crm
        [service:crm.app]
        use = crm.web:app
        path = /apps/crm
        [service:crm.made]
        use = crm.web:make
        factory = yes
        rows = 5
        [service:crm.web]
        use = crm.web:Page
        page_size = 50
        colour = red
        [service:crm.plain]
        use = crm.web:Unmounted
        [service:crm.moved]
        use = crm.web:Page
        path = /here
        [service:crm.instance]
        use = crm.web:instance
        size = 1
        [service:crm.deep]
        use = crm.web:Deep.app
        """.replace("    ", "")
    place.deploy(place.archive(manifest, {"crm/web.py": WEB}))

    assert {
        "crm.app": "/apps/crm",
        "crm.made": "/crm/made",
        "crm.web": "/from/the/class",
        "crm.plain": "/crm/plain",
        "crm.moved": "/elsewhere",
        "crm.instance": "/crm/instance",
        "crm.deep": "/crm/deep",
    } == mounts(place.active["crm"])
    assert '["/site", {"rows": "5"}]' == place.get("crm", "crm.made")
    assert '{"page_size":"99","colour":"red","name":"crm.web"}' == place.get(
        "crm", "crm.web"
    )
    assert '{"size":"1","name":"crm.instance"}' == place.get("crm", "crm.instance")
    assert "app" == place.get("crm", "crm.app") == place.get("crm", "crm.deep")


@pytest.mark.parametrize(
    ("use", "reason"),
    [
        ("crm.wbe:app", "there is no module 'crm.wbe'; did you mean 'crm.web'?"),
        ("crm.x.y:app", "there is no module 'crm.x.y'"),
        ("cmr:app", "there is no module 'cmr'; did you mean 'crm'?"),
        ("zzz:app", "there is no module 'zzz'; it has crm, crm.web"),
        ("crm.web:ap", "crm.web has no 'ap'; did you mean 'app'?"),
        ("crm.web:zzz", "crm.web has no 'zzz'; it has Service, app, make, Page"),
        ("crm.web:Deep.ap", "crm.web.Deep has no 'ap'; did you mean 'app'?"),
        ("crm.web:app.zzz", "crm.web.app has no 'zzz'; it has nothing that can be"),
        ("crm.web:table", "crm.web.table is a dict, which cannot be called"),
        ("crm:web", "crm.web is a module, which cannot be called"),
        (
            "crm.web:make",
            (
                "it is called as (global_conf, **local_conf), and a WSGI application "
                "takes environ and start_response; if it makes one, write factory"
            ),
        ),
        ("crm.web:Empty", "it is a Service class without handle()"),
        ("crm.web:Page\nfactory = yes", "it is a Service class; take factory = yes"),
        ("crm.web:Deep\nfactory = yes", "it is called as (), and a factory takes"),
    ],
)
def test_what_is_not_there(place: Site, use: str, reason: str) -> None:
    """What cannot be served is told with file, section, and what there is instead."""
    files: dict[str, str | bytes] = {
        "crm/__init__.py": "from crm import web\n",
        "crm/web.py": WEB,
    }
    package = place.archive(f"name = crm\n[service:a.b]\nuse = {use}\n", files)
    told = f"service.ini [service:a.b] use = {use.partition(chr(10))[0]}: {reason}"
    with pytest.raises(LoadError) as caught:
        place.deploy(package)

    assert told in str(caught.value)


def test_a_rehearsal_tells_the_same(place: Site) -> None:
    """The child's sentence is that of the serving process."""
    manifest = "name = crm\n[service:a.b]\nuse = crm.web:ap\n"
    found = place.rehearse(place.archive(manifest, {"crm/web.py": WEB}))

    assert {
        "crm": "service.ini [service:a.b] use = crm.web:ap: crm.web has no 'ap'; did "
        "you mean 'app'?"
    } == {name: failure.reason for name, failure in found.failures.items()}


def test_what_a_module_cannot_import(place: Site) -> None:
    """A module that is there, and imports what is not, is told by its traceback."""
    files: dict[str, str | bytes] = {"crm.py": "import no_such_library\n"}
    package = place.archive("name = c\n[service:a]\nuse = crm:app\n", files)
    with pytest.raises(LoadError) as caught:
        place.deploy(package)

    assert "No module named 'no_such_library'" in caught.value.reason
    assert 'File "crm.sar (upload)/crm.py", line 1' in caught.value.traceback


def test_a_service_of_the_host(place: Site) -> None:
    """A manifest may name what the environment has, and give it settings."""
    manifest = "name = c\n[service:hello]\nuse = wsgiref.simple_server:demo_app\n"
    place.deploy(place.archive(manifest, {}))

    assert {"hello": "/hello"} == mounts(place.active["c"])


def test_a_library(place: Site) -> None:
    """An archive without services is imported by others, under its modules' names."""
    library = place.archive("name = crm-core", {"crm_core/__init__.py": "VALUE = 7\n"})
    web = place.archive(
        "name = crm-web\n[service:w]\nuse = crm_web:app\n",
        {
            "crm_web.py": "from crm_core import VALUE\nfrom crm_util import double\n"
            "def app(e, s):\n    s('200 OK', [])\n    return [b'%d' % double(VALUE)]\n",
            "crm_util.py": "def double(x): return 2 * x\n",
        },
    )
    place.deploy(library, web)
    space = place.active["crm-web"].space

    assert "14" == place.get("crm-web", "w")
    assert space is not None
    assert {"crm_web", "crm_util"} == space.tops
    assert frozenset({"crm-core"}) == place.active["crm-web"].imports
    assert {"crm-core", "crm-web"} == {one.package.name for one in space.reach()}
    assert {"crm.sar (upload)"} == set(place.active["crm-web"].origins.values())
    assert 2 == len(place.active["crm-web"].origins)


def test_a_rehearsal_sees_the_others(place: Site) -> None:
    """The child finds modules of other packages, whatever those are called.

    With its world keyed by packages' names again, this failed: No module named.
    """
    library = place.archive("name = crm-core", {"crm_core/__init__.py": "VALUE = 7\n"})
    place.deploy(library)
    web = place.archive(
        "name = crm-web\n[service:w]\nuse = crm_web:app\nsize = 1\n",
        {
            "crm_web.py": "import crm_core, crm_util\nassert crm_core.VALUE == 7\n"
            "def app(e, s): ...\n",
            "crm_util.py": "",
            ".hidden": "read as well",
            "notes~": "",
        },
    )
    found = place.rehearse(web)

    assert {} == found.failures
    assert {"crm-web": frozenset({"crm-core"})} == found.imports
    assert {"crm_web", "crm_util"} == found.codes["crm-web"].keys()


def test_files_that_were_changed(place: Site) -> None:
    """A rehearsal refuses files that are not those that were laid out."""
    package = place.archive("name = c\n[service:w]\nuse = c:app\n", {"c.py": WEB})
    loaded = place.runtime.open(package)
    assert loaded.space is not None
    for change in ("x = 1\n", None):
        path = loaded.space.root / "service.ini"
        path.write_text(change) if change else path.unlink()
        found = place.rehearsal.run({"c": loaded}, ["c"], [])
        assert "is not what was laid out there" in found.failures["c"].reason
    place.runtime.forget(loaded, None)


def test_files_that_a_service_writes(place: Site) -> None:
    """What a service writes beside its modules does not stop a rehearsal."""
    package = place.archive("name = c\n[service:w]\nuse = c:app\n", {"c.py": WEB})
    loaded = place.runtime.open(package)
    assert loaded.space is not None
    (loaded.space.root / "cache.bin").write_text("written later")

    assert {} == place.rehearsal.run({"c": loaded}, ["c"], []).failures
    place.runtime.forget(loaded, None)


VERSIONED = """
import importlib.resources
from importlib import import_module
from pathlib import Path

def app(environ, start_response):
    start_response("200 OK", [])
    beside = (Path(__file__).parent / "data" / "text.txt").read_text()
    resource = (importlib.resources.files("crm") / "data/text.txt").read_text()
    manifest = "size = 1" in (Path(__file__).parent.parent / "service.ini").read_text()
    late = import_module("crm.late").VALUE
    from crm_util import VALUE
    return [repr((beside, resource, late, VALUE, manifest)).encode()]
"""


def test_two_versions_side_by_side(place: Site) -> None:
    """Each version of an archive has its own files, resources and late imports."""

    def version(text: str) -> dict[str, str | bytes]:
        return {
            "crm/__init__.py": "",
            "crm/web.py": VERSIONED,
            "crm/late.py": f"VALUE = {text!r}\n",
            "crm/data/text.txt": text,
            "crm_util.py": f"VALUE = {text!r}\n",
        }

    manifest = "name = crm-web\n[service:w]\nuse = crm.web:app\nsize = 1\n"
    place.deploy(place.archive(manifest, version("one")))
    place.deploy(place.archive(manifest, version("two")))
    old, new = place.replaced[0], place.active["crm-web"]
    expected = {text: repr((text, text, text, text, True)) for text in ("one", "two")}

    for _ in range(2):
        assert expected["two"] == answer(new, "w")
        assert expected["one"] == answer(old, "w")


# WHEELS

ABOUT = """
import importlib.metadata

__version__ = importlib.metadata.version("crm-web")
SUMMARY = importlib.metadata.metadata("crm.web")["Summary"]

def app(environ, start_response):
    start_response("200 OK", [])
    found = importlib.metadata.distribution("CRM_Web")
    (point,) = found.entry_points.select(group="pointsman.services")
    text = found.locate_file("crm/text.txt").read_text()
    loaded = point.load() is app
    return [f"{__version__} {SUMMARY} {point.name} {loaded} {text}".encode()]
"""


def test_a_wheel_knows_its_metadata(place: Site) -> None:
    """Each version of a wheel finds its own distribution, at import and later.

    Without `Finder.find_distributions` it failed: PackageNotFoundError.
    """
    for text in ("one", "two"):
        content = wheel(
            {"crm/__init__.py": ABOUT, "crm/text.txt": text},
            entry_points="[pointsman.services]\ncrm.page = crm:app\n",
            metadata=f"Summary: {text}\n",
        )
        package = place.package(content, "crm_web-1.0-py3-none-any.whl")
        assert {} == place.rehearse(package).failures
        place.deploy(package)
    old, new = place.replaced[0], place.active["crm-web"]

    assert {"crm.page": "/crm/page"} == mounts(new)
    assert "1.0 two crm.page True two" == answer(new, "crm.page")
    assert "1.0 one crm.page True one" == answer(old, "crm.page")


def test_the_host_sees_no_wheel(place: Site) -> None:
    """Code of the host finds its own distributions only; a wheel finds those too."""
    files = {
        "crm.py": "import importlib.metadata as m\nVERSION = m.version('webob')\n"
        "NAMES = {d.metadata['Name'] for d in m.distributions()}\n"
        "def app(e, s):\n    s('200 OK', [])\n    return [VERSION.encode(), "
        "b' ', repr({'crm-web', 'WebOb'} <= NAMES).encode()]\n"
    }
    content = wheel(files, entry_points="[pointsman.services]\ncrm = crm:app\n")
    place.deploy(place.package(content, "crm_web-1.0-py3-none-any.whl"))

    assert f"{version('webob')} True" == place.get("crm-web", "crm")
    with pytest.raises(PackageNotFoundError):
        version("crm-web")


def test_a_wheel_asks_for_what_it_imports_from(place: Site) -> None:
    """A wheel finds the distribution of another one of its generation."""
    core = place.package(wheel({"core.py": ""}, name="core"), "core.whl")
    code = (
        "import core\nfrom importlib.metadata import version\nV = version('core')\n"
        "def app(e, s):\n    s('200 OK', [])\n    return [V.encode()]\n"
    )
    points = "[pointsman.services]\ncrm = crm:app\n"
    web = place.package(wheel({"crm.py": code}, entry_points=points), "crm.whl")
    place.deploy(core, web)

    assert "1.0" == place.get("crm-web", "crm")


def test_an_entry_point_that_leads_nowhere(place: Site) -> None:
    """A wheel's error names its entry point."""
    points = "[pointsman.services]\ncrm = crm:app\n"
    package = place.package(wheel({"crm.py": ""}, entry_points=points), "crm.whl")

    with pytest.raises(
        LoadError,
        match=r"entry_points.txt \[pointsman.services\] crm = crm:app: crm has no 'a",
    ):
        place.deploy(package)


def test_a_namespace_package_in_two_packages(place: Site) -> None:
    """A folder that two packages want to share belongs to one, and that is told."""
    first = place.archive("name = one", {"acme/one.py": "import acme.two\n"})
    second = place.archive(
        "name = two\n[service:w]\nuse = acme.two:app\n",
        {"acme/two.py": "import acme.one"},
    )

    with pytest.raises(
        LoadError, match=r"'acme' is a folder of two alone, since a namespace package"
    ):
        place.deploy(first, second)
