"""ZODB as a shared resource: each version sees its own classes, all see one storage."""

from __future__ import annotations

import gc
import threading
import weakref
from typing import TYPE_CHECKING, Any

import pytest

from pointsman.errors import ConfigError, ReleaseError, ServiceError
from pointsman.model import Artifact, Kind, Package
from pointsman.namespace.callers import marked
from pointsman.namespace.space import Namespace, View
from pointsman.resources import Resources
from pointsman.runtime import inprocess
from site_folder import get, statuses
from waiting import wait_for

if TYPE_CHECKING:
    from pathlib import Path

    from site_folder import SiteFolder

FIRST = """
import persistent
import transaction
from pointsman import Service

class Entry(persistent.Persistent):
    def __init__(self, text):
        self.text = text

    def told(self):
        return "1:" + self.text

class Write(Service):
    path = "/write"

    def handle(self, request):
        connection = self.resources["book"].open()
        try:
            connection.root()[request.params["key"]] = Entry(request.params["text"])
            transaction.commit()
        finally:
            connection.close()
        return "written"

class Read(Service):
    path = "/read"

    def handle(self, request):
        connection = self.resources["book"].open()
        try:
            return connection.root()[request.params["key"]].told()
        finally:
            transaction.abort()
            connection.close()
"""

SECOND = FIRST.replace(
    'return "1:" + self.text',
    'return f"2:{self.text}:{self.stars}"\n\n    stars = 0',
).replace("self.text = text", "self.text = text\n        self.stars = 5")

SLOW = """
import threading
reached, go_on = threading.Event(), threading.Event()

class Slow(Service):
    path = "/slow"

    def handle(self, request):
        connection = self.resources["book"].open()
        try:
            first = connection.root()["a"].told()
            reached.set()
            go_on.wait(20)
            transaction.begin()
            connection.cacheMinimize()
            root = connection.root()
            return [first, root["a"].told(), root["b"].told()]
        finally:
            transaction.abort()
            connection.close()
"""


@pytest.fixture(name="uri", params=["memory", "file"])
def _uri(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return "memory://" if request.param == "memory" else f"file://{tmp_path}/Data.fs"


def namespace(source: str, folder: Path, name: str = "book") -> Namespace:
    """Return the namespace of a module, which is the only one of its view."""
    inprocess.install()
    folder.mkdir()
    artifact = Artifact(name, Kind.MODULE, {f"{name}.py": source.encode()})
    (folder / f"{name}.py").write_text(source)
    space = Namespace(Package(name, artifact), folder)
    space.view = View(1, {name: space})
    return space


def test_versions_read_each_other(site: SiteFolder, uri: str) -> None:
    """What 1 wrote 2 reads with its class, and 1 again, when its file comes back."""
    site.write("book.py", FIRST)
    host = site.host(resource__book=uri)
    get(host, "/write?key=a&text=hello")
    told = [get(host, "/read?key=a").text]

    site.write("book.py", SECOND)
    host.node.reload()
    told.append(get(host, "/read?key=a").text)
    get(host, "/write?key=b&text=new")
    told.append(get(host, "/read?key=b").text)

    site.write("book.py", FIRST)
    host.node.reload()
    told += [get(host, "/read?key=a").text, get(host, "/read?key=b").text]

    assert ["1:hello", "2:hello:0", "2:new:5", "1:hello", "1:new"] == told


def test_request_in_flight_keeps_its_classes(site: SiteFolder, uri: str) -> None:
    """A request of 1 that goes on during 2 loads objects as 1's, what 2 wrote too."""
    site.write("book.py", FIRST + SLOW)
    host = site.host(resource__book=uri)
    get(host, "/write?key=a&text=hello")
    space = host.node.traffic.versions["book"].loaded.space
    assert space is not None
    module: Any = space.modules["book"]
    answers: list[str] = []
    client = threading.Thread(target=lambda: answers.append(get(host, "/slow").text))
    client.start()
    module.reached.wait(20)

    site.write("book.py", SECOND)
    host.node.reload()
    get(host, "/write?key=b&text=new")
    get(host, "/write?key=a&text=changed")
    second = get(host, "/read?key=a").text
    module.go_on.set()
    client.join()

    assert ("2:changed:5", ['["1:hello","1:changed","1:new"]']) == (second, answers)


def test_commit_invalidates_the_other_version(tmp_path: Path) -> None:
    """An object that one version has cached is read again when another commits it."""
    import transaction

    resources = Resources({"book": "memory://"})
    one = namespace("", tmp_path / "1")
    two = namespace("", tmp_path / "2")
    first = marked(one)(resources.__getitem__, "book")
    second = marked(two)(resources.__getitem__, "book")
    assert first is not second
    managers = transaction.TransactionManager(), transaction.TransactionManager()
    connections = first.open(managers[0]), second.open(managers[1])
    roots = [connection.root() for connection in connections]
    seen = []
    for writer, reader in ((0, 1), (1, 0)):
        managers[reader].begin()
        seen.append(roots[reader].get("n"))
        roots[writer]["n"] = writer
        managers[writer].commit()
        seen.append(roots[reader].get("n"))  # a snapshot: still the old one
        managers[reader].begin()
        seen.append(roots[reader].get("n"))
    resources.close()

    assert [None, None, 0, 0, 0, 1] == seen


def test_conflict_between_versions(tmp_path: Path) -> None:
    """Two versions that change one object meet in a ConflictError, as ever."""
    import transaction
    from ZODB.POSException import ConflictError

    resources = Resources({"book": f"file://{tmp_path}/Data.fs"})
    managers, roots = [], []
    for number in "12":
        space = namespace("", tmp_path / number)
        manager = transaction.TransactionManager()
        database = marked(space)(resources.__getitem__, "book")
        managers.append(manager)
        roots.append(database.open(manager).root())
    for root in roots:
        root["x"] = object.__name__
    managers[0].commit()
    with pytest.raises(ConflictError):
        managers[1].commit()
    managers[1].abort()
    resources.close()


RESOLVING = """
import persistent

class Counter(persistent.Persistent):
    value = 0
    resolved_by = ""

    def _p_resolveConflict(self, old, saved, new):
        merged = dict(new)
        merged["value"] = saved["value"] + new["value"] - old.get("value", 0)
        merged["resolved_by"] = "VERSION"
        return merged
"""


def test_conflicts_are_resolved_by_the_version_that_commits(tmp_path: Path) -> None:
    """ZODB's process-wide cache of classes serves no version the code of another."""
    import transaction

    resources = Resources({"book": f"file://{tmp_path}/Data.fs"})
    resolved = []
    for number in "12":
        space = namespace(RESOLVING.replace("VERSION", number), tmp_path / number)
        call = marked(space)
        database = call(resources.__getitem__, "book")
        counter = space.load("book").Counter
        managers = [transaction.TransactionManager() for _ in "ab"]
        roots = [call(database.open, manager).root() for manager in managers]
        call(roots[0].__setitem__, "c", counter())
        call(managers[0].commit)
        managers[1].begin()
        for root in roots:
            root["c"].value += 1
        for manager in managers:
            call(manager.commit)
        resolved.append((roots[1]["c"].value, roots[1]["c"].resolved_by))
        call(resources._here._shared["book"].leave, space)
    resources.close()

    assert [(2, "1"), (2, "2")] == resolved


def test_retired_version_is_collected(site: SiteFolder, uri: str) -> None:
    """Neither the storage nor ZODB's own caches hold a version that has ended."""
    site.write("book.py", FIRST)
    host = site.host(resource__book=uri)
    get(host, "/write?key=a&text=hello")
    get(host, "/read?key=a")
    old = weakref.ref(host.node.traffic.versions["book"].loaded.space)
    shared = host.node.resources._here._shared["book"]

    site.write("book.py", SECOND)
    host.node.reload()
    get(host, "/read?key=a")

    def collected() -> bool:
        gc.collect()
        return old() is None

    wait_for(collected, "the first version's namespace is collected")
    views = [space.package.artifact.digest for space in shared._views if space]
    serving = host.node.traffic.versions["book"].loaded.package.artifact.digest
    assert [serving] == views


def test_database_that_a_service_closes_is_opened_again(tmp_path: Path) -> None:
    """`close()` on a version's database ends that database, never the storage."""
    resources = Resources({"book": "memory://"})
    space = namespace("", tmp_path / "1")
    other = marked(namespace("", tmp_path / "2"))(resources.__getitem__, "book")
    first = marked(space)(resources.__getitem__, "book")
    with first.transaction() as connection:
        connection.root()["x"] = 1
    first.close()
    again = marked(space)(resources.__getitem__, "book")
    found = []
    for database in (other, again):
        with database.transaction() as connection:
            found.append(connection.root()["x"])
    resources.close()

    assert [1, 1] == found


def test_rehearsal_writes_nothing(tmp_path: Path) -> None:
    """While a file is locked by who serves, a rehearsal reads it and may write."""
    uri = f"file://{tmp_path}/Data.fs?create=0"
    serving = Resources({"book": f"file://{tmp_path}/Data.fs"})
    with serving["book"].transaction() as connection:
        connection.root()["x"] = 1
    rehearsing = Resources({"book": uri}, rehearsing=True)
    with rehearsing["book"].transaction() as connection:
        read = connection.root()["x"]
        connection.root()["x"] = 2
    with serving["book"].transaction() as connection:
        kept = connection.root()["x"]
    rehearsing.close()
    serving.close()

    assert (1, 1) == (read, kept)


def test_rehearsal_makes_no_file(tmp_path: Path) -> None:
    """A rehearsal of the first version leaves no empty database behind."""
    resources = Resources({"book": f"file://{tmp_path}/Data.fs"}, rehearsing=True)
    with resources["book"].transaction() as connection:
        connection.root()["x"] = 1
    resources.close()

    assert [] == list(tmp_path.iterdir())


def test_file_of_another_process(tmp_path: Path) -> None:
    """A file that is open elsewhere is refused, and ZEO is named."""
    first = Resources({"book": f"file://{tmp_path}/Data.fs"})
    assert first["book"] is not None
    second = Resources({"book": f"file://{tmp_path}/Data.fs"})
    with pytest.raises(ConfigError, match=r"resource\.book = file://.*zeo://"):
        _ = second["book"]
    first.close()


def test_forked_child_opens_its_own(tmp_path: Path) -> None:
    """A child opens a storage of its own, and leaves the parent's as it is."""
    import os

    resources = Resources({"book": "memory://"})
    with resources["book"].transaction() as connection:
        connection.root()["x"] = 1
    pid = os.fork()
    if not pid:
        status = 1
        try:
            with resources["book"].transaction() as connection:
                status = 0 if "x" not in connection.root() else 2
            resources.close()
        finally:
            os._exit(status)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    with resources["book"].transaction() as connection:
        kept = connection.root()["x"]
    resources.close()

    assert (0, 1) == (status, kept)


def test_retired_version_is_refused(tmp_path: Path) -> None:
    """A thread that outlives its version is told so, and holds nothing open."""
    resources = Resources({"book": "memory://"})
    space = namespace("", tmp_path / "1")
    space.forgotten = True
    with pytest.raises(ServiceError, match="after it was retired"):
        marked(space)(resources.__getitem__, "book")


def test_closed_resources_are_refused() -> None:
    """After its node has ended nothing is opened any more."""
    resources = Resources({"book": "memory://"})
    resources.close()
    with pytest.raises(ReleaseError, match=r"resource\.book is closed"):
        _ = resources["book"]


def test_dependent_packages_share_classes(site: SiteFolder, uri: str) -> None:
    """A class of a shared module is found, and its new version reloads who reads it."""
    entries, _, pages = FIRST.partition("class Write")
    imports = "import transaction\nfrom entries import Entry\n"
    site.write("entries.py", entries)
    site.write(
        "pages.py", f"{imports}from pointsman import Service\nclass Write{pages}"
    )
    host = site.host(resource__book=uri)
    get(host, "/write?key=a&text=hello")
    told = [get(host, "/read?key=a").text]
    site.write("entries.py", SECOND.partition("class Write")[0])
    report = host.node.reload()
    told.append(get(host, "/read?key=a").text)

    assert ["1:hello", "2:hello:0"] == told
    assert {"entries": "updated", "pages": "updated"} == statuses(report)
