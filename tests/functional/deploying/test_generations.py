"""What deployments do to one process: loading, switching, going back."""

from __future__ import annotations

import textwrap
import threading
from typing import TYPE_CHECKING

import pytest

from pointsman.cluster import Actor, State
from pointsman.errors import Refused
from site_folder import SiteFolder, get, statuses
from waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable

    from pointsman.cluster import Entry, Generation
    from pointsman.verdicts import Result
    from pointsman.wsgi import Host

ACTOR = Actor("a test")
SERVICE = """
    from pointsman import Service

    class Get(Service):
        path = "/{name}"

        def handle(self, request):
            {imports}
            return {value}
"""


def source(name: str, value: str, imports: str = "pass") -> str:
    """Return a module with one service that answers ``value``."""
    return textwrap.dedent(SERVICE).format(name=name, value=value, imports=imports)


def received(host: Host, name: str, text: str) -> Entry:
    """Take one module in."""
    chunks = [textwrap.dedent(text).encode()]
    return host.node.deployments.receive(f"{name}.py", chunks)


def deploy(host: Host, **modules: str) -> Result:
    """Deploy modules as one generation and wait for its end."""
    entries = [received(host, name, text) for name, text in modules.items()]
    deployments = host.node.deployments
    return deployments.decide(deployments.deploy(entries, ACTOR), 60)


def active(host: Host, **modules: str) -> Generation:
    """Deploy modules, which must become active."""
    found = deploy(host, **modules).generation
    assert State.ACTIVE == found.state, found.reason
    return found


def reason(result: Result) -> str:
    """Return why a generation failed, as its only voter says."""
    assert State.FAILED == result.generation.state
    return "\n".join(f.reason for v in result.generation.votes for f in v.failures)


def undeploy(host: Host, *names: str, cascade: bool = False) -> Result:
    """Take packages away and wait for the end."""
    deployments = host.node.deployments
    return deployments.decide(deployments.undeploy(names, ACTOR, cascade=cascade), 60)


def roll_back(host: Host, name: str, to: int | str | None = None) -> Result:
    """Go back with one package and wait for the end."""
    deployments = host.node.deployments
    return deployments.decide(deployments.rollback(name, ACTOR, to=to), 60)


def test_a_deployment_serves(site: SiteFolder) -> None:
    """What is active in the ledger answers, and every answer tells who answered."""
    host = site.host()
    number = active(host, crm=source("crm", "'one'")).number
    answer = get(host, "/crm")

    assert "one" == answer.text
    assert str(number) == answer.headers["Pointsman-Generation"]
    digest = host.node.traffic.versions["crm"].loaded.package.artifact.digest
    assert f"sha256:{digest}" == answer.headers["Pointsman-Digest"]


def test_it_survives_a_restart(site: SiteFolder) -> None:
    """The next process serves the active generation, artifacts and all."""
    first = site.host()
    number = active(first, crm=source("crm", "'one'")).number
    first.node.close()
    host = site.host()

    assert (number, "one") == (host.node.generation, get(host, "/crm").text)


def test_it_survives_without_the_cache(site: SiteFolder) -> None:
    """Artifacts come from the ledger; the folder with copies may be lost."""
    first = site.host()
    active(first, crm=source("crm", "'one'"))
    first.node.close()
    for path in (site.folder / "var" / "artifacts").iterdir():
        path.unlink()

    assert "one" == get(site.host(), "/crm").text


def test_several_packages_are_one_generation(site: SiteFolder) -> None:
    """One that fails keeps the others back, and each failure is told."""
    host = site.host()
    result = deploy(
        host,
        good=source("good", "'one'"),
        bad="raise ValueError('first')",
        worse="import nothing_like_this",
    )

    failures = {f.package for v in result.generation.votes for f in v.failures}
    assert {"bad", "worse"} == failures
    assert "ValueError: first" in reason(result)
    assert "404 Not Found" == get(host, "/good").status
    assert 0 == host.node.generation


def test_the_last_good_one_goes_on(site: SiteFolder) -> None:
    """A version that fails changes nothing, and the failure has its traceback."""
    host = site.host()
    active(host, crm=source("crm", "'one'"))
    result = deploy(host, crm="1 / 0")

    assert "ZeroDivisionError" in reason(result)
    assert "crm.py" in result.generation.votes[0].failures[0].traceback
    assert "one" == get(host, "/crm").text


def test_the_same_again_is_nothing_new(site: SiteFolder) -> None:
    """The same bytes make no generation, and the answer says so."""
    host = site.host()
    number = active(host, crm=source("crm", "'one'")).number
    result = deploy(host, crm=source("crm", "'one'"))

    assert (number, True) == (result.generation.number, result.unchanged)


def test_importers_are_loaded_again(site: SiteFolder) -> None:
    """A package that imports from a changed one never sees the old one again."""
    host = site.host()
    active(host, lib="VALUE = 'one'\n")
    active(host, crm="import lib\n" + source("crm", "lib.VALUE"))
    active(host, lib="VALUE = 'two'\n")

    assert "two" == get(host, "/crm").text


def test_importers_can_refuse_a_change(site: SiteFolder) -> None:
    """What its importers cannot live with is not deployed; they are named."""
    host = site.host()
    active(host, lib="VALUE = 'one'\n")
    active(host, crm="from lib import VALUE\n" + source("crm", "VALUE"))
    result = deploy(host, lib="OTHER = 'two'\n")

    assert "crm, which imports it, fails with it" in reason(result)
    assert "one" == get(host, "/crm").text


def test_what_others_import_does_not_go(site: SiteFolder) -> None:
    """Taking a package away is refused with the names of those that import it."""
    host = site.host()
    active(host, lib="VALUE = 'one'\n", crm="import lib\n" + source("crm", "lib.VALUE"))

    with pytest.raises(Refused, match="crm import from lib"):
        undeploy(host, "lib")
    assert State.ACTIVE == undeploy(host, "lib", cascade=True).generation.state
    assert {} == host.node.traffic.versions


def test_a_late_import_is_an_import(site: SiteFolder) -> None:
    """An import inside of a function keeps the package as well, from its first call."""
    host = site.host()
    active(host, lib="VALUE = 'one'\n")
    active(host, crm=source("crm", "lib.VALUE", imports="import lib"))
    assert "one" == get(host, "/crm").text

    with pytest.raises(Refused, match="crm import from lib"):
        undeploy(host, "lib")
    active(host, lib="VALUE = 'two'\n")
    assert "two" == get(host, "/crm").text


def test_importers_that_appear_during_the_vote_are_loaded_again(
    site: SiteFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An import between the vote and the switch is found, and nobody is torn.

    Caught on purpose: switching without `space.move` looking at the edges again.
    """
    host = site.host()
    active(host, lib="VALUE = 'one'\n")
    active(host, crm=source("crm", "lib.VALUE", imports="import lib"))
    switching = host.node._machinery.switching
    switch = switching.switch

    def late(number: int, stopped: frozenset[str]) -> None:
        assert "one" == get(host, "/crm").text  # it imports lib only now
        switch(number, stopped)

    monkeypatch.setattr(switching, "switch", late)
    active(host, lib="VALUE = 'two'\n")

    assert "two" == get(host, "/crm").text


def test_an_importer_that_cannot_follow_goes_on_as_it_was(
    site: SiteFolder, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """What was decided is switched, though a late importer cannot be loaded again."""
    host = site.host()
    marker = site.folder / "broken"
    active(host, lib="VALUE = 'one'\n")
    crm = f"import os\nif os.path.exists({str(marker)!r}): raise ValueError('later')\n"
    active(host, crm=crm + source("crm", "lib.VALUE", imports="import lib"))
    switching = host.node._machinery.switching
    switch = switching.switch

    def late(number: int, stopped: frozenset[str]) -> None:
        get(host, "/crm")
        marker.touch()
        switch(number, stopped)

    monkeypatch.setattr(switching, "switch", late)
    number = active(host, lib="VALUE = 'two'\n").number

    assert (number, "one") == (host.node.generation, get(host, "/crm").text)
    assert "crm goes on with old imports" in caplog.text


# STATIC PACKAGES


def test_a_deployed_package_shadows_a_static_one(site: SiteFolder) -> None:
    """The ledger wins; the status says so, and a reload does not change it."""
    site.write("crm.py", source("crm", "'static'"))
    host = site.host()
    active(host, crm=source("crm", "'deployed'"))
    report = host.node.reload()

    assert "deployed" == get(host, "/crm").text
    assert ("crm",) == report.shadowed


def test_the_static_one_comes_back(site: SiteFolder) -> None:
    """In the switch in which the package leaves the generation."""
    site.write("crm.py", source("crm", "'static'"))
    host = site.host()
    active(host, crm=source("crm", "'deployed'"))
    undeploy(host, "crm")

    assert "static" == get(host, "/crm").text
    assert () == host.node.shadowed


def test_a_static_change_does_not_touch_the_generation(site: SiteFolder) -> None:
    """A reload of static packages makes no generation."""
    site.write("erp.py", source("erp", "'one'"))
    host = site.host()
    number = active(host, crm=source("crm", "'one'")).number
    site.write("erp.py", source("erp", "'two'"))
    report = host.node.reload()

    assert {"crm": "unchanged", "erp": "updated"} == statuses(report)
    assert (number, "two") == (host.node.generation, get(host, "/erp").text)


def test_one_module_name_has_one_owner(site: SiteFolder) -> None:
    """A package named like a module of the host is refused with that module's file."""
    host = site.host()

    assert "belongs to" in reason(deploy(host, json="VALUE = 1\n"))
    assert "click" in reason(deploy(host, click="VALUE = 1\n"))


def test_a_clash_of_paths_is_refused(site: SiteFolder) -> None:
    """Two services cannot have one path; who serves keeps it, also after a restart."""
    host = site.host()
    active(host, crm=source("shop", "'crm'"))
    result = deploy(host, erp=source("shop", "'erp'"))

    assert "clashes" in reason(result)
    assert "crm" == get(host, "/shop").text


# GOING BACK


def test_going_back_takes_the_warm_version(site: SiteFolder) -> None:
    """The older version serves again as it is: nothing of it is loaded twice."""
    host = site.host(keep_warm="600")
    counted = "import itertools\ncount = itertools.count(1)\n"
    active(host, crm=counted + source("crm", "str(next(count))"))
    assert "1" == get(host, "/crm").text
    active(host, crm=source("crm", "'two'"))
    roll_back(host, "crm")

    assert "2" == get(host, "/crm").text


def test_going_back_takes_what_it_had_imported(site: SiteFolder) -> None:
    """A warm version serves again only with the versions that it has imported."""
    host = site.host(keep_warm="600")
    active(host, lib="import itertools\ncount = itertools.count(1)\n")
    active(host, crm="import lib\n" + source("crm", "str(next(lib.count))"))
    assert "1" == get(host, "/crm").text
    active(host, lib="count = iter('abc')\n")
    assert "a" == get(host, "/crm").text
    roll_back(host, "lib")

    assert "2" == get(host, "/crm").text


def test_a_warm_version_does_not_bring_back_an_old_import(site: SiteFolder) -> None:
    """If what it had imported has changed since, it is loaded anew.

    Caught on purpose: reviving without a look at what the version has imported.
    """
    host = site.host(keep_warm="600")
    active(host, lib="VALUE = 'one'\n", crm="import lib\n" + source("crm", "lib.VALUE"))
    active(host, lib="VALUE = 'two'\n", crm=source("crm", "'no lib'"))
    roll_back(host, "crm")

    assert "two" == get(host, "/crm").text


def test_going_back_without_warm_versions(site: SiteFolder) -> None:
    """It takes longer then, and is the same otherwise."""
    host = site.host()
    first = active(host, crm=source("crm", "'one'")).number
    active(host, crm=source("crm", "'two'"))
    active(host, crm=source("crm", "'three'"))
    roll_back(host, "crm", to=first)

    assert "one" == get(host, "/crm").text


def test_going_back_to_what_was_not_there(site: SiteFolder) -> None:
    """A whole generation comes back, with what was added since taken away."""
    host = site.host()
    first = active(host, crm=source("crm", "'one'")).number
    active(host, crm=source("crm", "'two'"), erp=source("erp", "'new'"))
    deployments = host.node.deployments
    deployments.decide(deployments.rollback_to(first, ACTOR), 60)

    assert "one" == get(host, "/crm").text
    assert "404 Not Found" == get(host, "/erp").status


# STOPPING


def stop(host: Host, name: str) -> Result:
    """Stop one service."""
    deployments = host.node.deployments
    return deployments.decide(deployments.stop_services([name], ACTOR, [name]), 60)


def test_a_stopped_service_stays_stopped(site: SiteFolder) -> None:
    """It answers 503 with Retry-After, over an update and over a restart."""
    first = site.host()
    active(first, crm=source("crm", "'one'"))
    stop(first, "crm.get")
    active(first, crm=source("crm", "'two'"))
    answer = get(first, "/crm")
    assert ("503 Service Unavailable", "30") == (
        answer.status,
        answer.headers["Retry-After"],
    )
    first.node.close()
    host = site.host()
    assert "503 Service Unavailable" == get(host, "/crm").status

    deployments = host.node.deployments
    deployments.decide(deployments.start_services(["crm.get"], ACTOR, ["crm.get"]), 60)
    assert "two" == get(host, "/crm").text


def test_a_running_request_finishes_when_its_service_stops(site: SiteFolder) -> None:
    """Only what comes afterwards is turned away."""
    host = site.host()
    slow = "import threading\nentered, go = threading.Event(), threading.Event()\n"
    text = source("crm", "'done'", imports="entered.set(); go.wait(20)")
    active(host, crm=slow + text)
    found: list[str] = []
    asks = threading.Thread(target=lambda: found.append(get(host, "/crm").text))
    asks.start()
    space = host.node.traffic.versions["crm"].loaded.space
    assert space is not None
    entered = space.modules["crm"].entered
    wait_for(entered.is_set, "the request")
    stop(host, "crm.get")
    assert "503 Service Unavailable" == get(host, "/crm").status
    space.modules["crm"].go.set()
    asks.join(20)

    assert ["done"] == found


# SEVERAL NODES


def test_two_nodes_switch_together(site: SiteFolder) -> None:
    """Both vote, both serve it; what fails on one serves on none."""
    one, two = site.host(), site.host()
    number = active(one, crm=source("crm", "'one'")).number
    assert {number} == {one.node.generation, two.node.generation}
    assert ["one", "one"] == [get(one, "/crm").text, get(two, "/crm").text]

    once = f"""
        import os
        flag = {str(site.folder / "loaded")!r}
        os.close(os.open(flag, os.O_CREAT | os.O_EXCL))
    """
    result = deploy(two, crm=once)
    assert "FileExistsError" in reason(result)
    assert ["one", "one"] == [get(one, "/crm").text, get(two, "/crm").text]


def test_a_node_that_comes_later_follows(site: SiteFolder) -> None:
    """It needs nothing but the ledger."""
    one = site.host()
    active(one, crm=source("crm", "'one'"))
    two = site.host()

    assert "one" == get(two, "/crm").text


def test_a_reload_reaches_every_node(site: SiteFolder) -> None:
    """Asked at one of them, all read their sources again and tell what they found."""
    one, two = site.host(), site.host()
    site.write("erp.py", source("erp", "'one'"))
    report = one.node.reload(ACTOR)

    def request() -> int:
        return two.node.last.request if two.node.last else 0

    wait_for(lambda: request() == report.request, "the other node")

    assert ["one", "one"] == [get(one, "/erp").text, get(two, "/erp").text]


def test_who_makes_it_for_workers_loads_nothing(
    site: SiteFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each worker does, and takes part; what was asked for meanwhile, it has read."""
    one = site.host()
    site.write("erp.py", source("erp", "'one'"))
    told: list[Callable[[], None]] = []
    monkeypatch.setattr("pointsman.forks.serves_here", lambda: False)
    monkeypatch.setattr("pointsman.forks.when_forked", told.append)
    two = site.host()
    assert ("404 Not Found", None) == (get(two, "/erp").status, two.node.last)
    site.write("erp.py", source("erp", "'two'"))
    report = one.node.reload(ACTOR)
    (start,) = told
    start()

    assert "two" == get(two, "/erp").text
    assert two.node.last is not None
    assert report.request == two.node.last.request


def test_who_starts_after_a_reload_has_followed_it(site: SiteFolder) -> None:
    """Nobody waits for an answer of a process that read its sources later."""
    site.write("erp.py", source("erp", "'one'"))
    report = site.host().node.reload(ACTOR)
    told = site.host().node.report()["reload"]

    assert {
        "number": report.request,
        "failed": False,
        "packages": [],
        "problems": [],
    } == told


def test_a_node_that_cannot_follow_serves_what_it_can(site: SiteFolder) -> None:
    """It serves the newest generation that loads, and says that it is behind."""
    marker = site.folder / "broken"
    first = site.host()
    older = active(first, crm=source("crm", "'one'")).number
    broken = (
        f"import os\nif os.path.exists({str(marker)!r}): raise ValueError('here')\n"
    )
    number = active(first, crm=broken + source("crm", "'two'")).number
    first.node.close()
    marker.touch()
    host = site.host()

    assert (older, "one") == (host.node.generation, get(host, "/crm").text)
    ready, detail = host.node.readiness()
    assert (False, "behind") == (ready, detail["status"])
    assert f"cannot go to generation {number}" in str(detail["reason"])

    marker.unlink()
    host.node.reload()
    wait_for(lambda: host.node.generation == number, "the newer one")
    assert "two" == get(host, "/crm").text
    wait_for(lambda: host.node.readiness()[0], "it has said so")
