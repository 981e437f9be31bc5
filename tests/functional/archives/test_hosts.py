"""Archives and wheels deployed to a real host, with a ledger and a rehearsal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from pointsman.cluster import Actor, State
from pointsman.errors import ArtifactError
from site_folder import get
from unit.archive.making import archive, wheel

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pointsman.cluster import Generation
    from pointsman.wsgi import Host
    from site_folder import SiteFolder

ME = Actor("a test")
CRM = "[package]\nname = crm-web\nversion = {0}\n[service:crm]\nuse = crm:app\n"


def crm(version: str) -> bytes:
    """Return an archive with two modules and a file of data."""
    files: dict[str, str | bytes] = {
        "crm.py": "import importlib.resources\nfrom crm_util import VERSION\n"
        "def app(environ, start_response):\n"
        "    start_response('200 OK', [])\n"
        "    data = importlib.resources.files('crm_data') / 'text.txt'\n"
        "    return [VERSION.encode(), b' ', data.read_bytes()]\n",
        "crm_util.py": f"VERSION = {version!r}\n",
        "crm_data/__init__.py": "",
        "crm_data/text.txt": f"data {version}",
    }
    return archive(files, CRM.format(version))


def deploy(host: Host, **files: bytes) -> Generation:
    """Deploy files together; underscores of their names are dots."""
    deployments: Any = host.node.deployments
    entries = [
        deployments.receive(file.replace("_", "."), [content])
        for file, content in files.items()
    ]
    proposed = deployments.deploy(entries, ME)
    generation: Generation = deployments.decide(proposed, 30).generation
    return generation


def texts(host: Host, paths: Mapping[str, str]) -> dict[str, str]:
    """Return what is answered at some paths."""
    return {path: get(host, path).text for path in paths}


def test_a_life_of_an_archive(site: SiteFolder) -> None:
    """An archive is deployed, updated with who imports from it, and taken back."""
    host = site.host(rehearse="yes", keep_warm="60")
    other = archive(
        {
            "other.py": "from crm_util import VERSION\ndef app(e, s):\n"
            "    s('200 OK', [])\n    return [VERSION.encode()]\n"
        },
        "[package]\nname = its-importer\n[service:other]\nuse = other:app\n",
    )
    assert State.ACTIVE == deploy(host, a_sar=crm("one"), b_zip=other).state
    first = {"/crm": "one data one", "/other": "one"}
    assert first == texts(host, first)
    assert {"crm-web"} == host.node.imports()["its-importer"]

    assert State.ACTIVE == deploy(host, a_sar=crm("two")).state
    second = {"/crm": "two data two", "/other": "two"}
    assert second == texts(host, second)

    deployments: Any = host.node.deployments
    proposed = deployments.rollback("crm-web", ME)
    assert State.ACTIVE == deployments.decide(proposed, 30).generation.state
    assert first == texts(host, first)


def test_a_start_with_what_is_in_the_ledger(site: SiteFolder) -> None:
    """The next process of the machine serves the same archives and wheels."""
    host = site.host()
    content = wheel(
        {"shop.py": "def app(e, s):\n    s('200 OK', [])\n    return [b'shop']\n"},
        name="shop",
        entry_points="[pointsman.services]\nshop = shop:app\n",
    )
    generation = deploy(host, a_sar=crm("one"), shop_whl=content)
    assert State.ACTIVE == generation.state
    site.close()
    site.hosts.clear()
    expected = {"/crm": "one data one", "/shop": "shop"}

    assert expected == texts(site.host(), expected)


def test_names_of_modules_have_one_owner(site: SiteFolder) -> None:
    """Each module of an archive is compared with all others, and with the host's."""
    host = site.host()
    deploy(host, a_sar=crm("one"))
    manifest = "[package]\nname = clash\n"
    mine = deploy(host, b_sar=archive({"x.py": "", "crm_util.py": ""}, manifest))
    hosts = deploy(host, b_sar=archive({"x.py": "", "json.py": ""}, manifest))

    assert (State.FAILED, State.FAILED) == (mine.state, hosts.state)
    assert "'crm_util' belongs to the package crm-web" in mine.reason
    assert "'json' belongs to the standard library" in hosts.reason
    assert "one data one" == get(host, "/crm").text


def test_what_is_refused_is_not_kept(site: SiteFolder) -> None:
    """An archive that is refused is neither in the ledger nor in the cache."""
    host = site.host()
    manifest = "[package]\nname = crm\nisolation = process\n"
    with pytest.raises(ArtifactError, match="needs a process of its own"):
        deploy(host, a_sar=archive({}, manifest))
    folder = host.node.settings.work_dir / "artifacts"

    assert [] == (list(folder.iterdir()) if folder.is_dir() else [])
