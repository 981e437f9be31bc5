"""SQLAlchemy engines as shared resources, and URIs that cannot be opened."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from pointsman.errors import ConfigError
from pointsman.resources import Resources, masked
from site_folder import get

if TYPE_CHECKING:
    from site_folder import SiteFolder

SERVICE = """
from pointsman import Service
from sqlalchemy import Integer, String, insert, select
from sqlalchemy.orm import DeclarativeBase, Session, mapped_column

class Base(DeclarativeBase):
    pass

class Customer(Base):
    __tablename__ = "customer"
    id = mapped_column(Integer, primary_key=True)
    name = mapped_column(String)

    def told(self):
        return f"VERSION:{self.name}"

class Customers(Service):
    path = "/customers"

    def start(self):
        Base.metadata.create_all(self.resources["crm"])

    def handle(self, request):
        with Session(self.resources["crm"]) as session:
            if request.params:
                session.add(Customer(name=request.params["name"]))
                session.commit()
            found = session.scalars(select(Customer).order_by(Customer.id))
            return [customer.told() for customer in found]
"""


def test_versions_share_a_pool(site: SiteFolder) -> None:
    """Two versions map one table, over one pool, with caches of their own."""
    site.write("crm.py", SERVICE.replace("VERSION", "1"))
    host = site.host(resource__crm=f"sqlite:///{site.folder}/crm.db")
    told = [get(host, "/customers?name=a").text]
    old = host.node.traffic.versions["crm"].loaded.space
    first = host.node.resources._here._shared["crm"].view(old)

    site.write("crm.py", SERVICE.replace("VERSION", "2"))
    host.node.reload()
    told.append(get(host, "/customers?name=b").text)
    new = host.node.traffic.versions["crm"].loaded.space
    second = host.node.resources._here._shared["crm"].view(new)

    assert ['["1:a"]', '["2:a","2:b"]'] == told
    assert first is not second
    assert first.pool is second.pool
    assert first._compiled_cache is not second._compiled_cache


REFUSED = {
    "guestbook": "a URI is needed, like file:///srv/site/Data.fs",
    "sqlit:///x.db": r"sqlit:///x\.db cannot be opened: NoSuchModuleError",
    "nodriver+x://h/d": "cannot be opened: NoSuchModuleError",
    "oracle://me:secret@h/d": (
        r"oracle://me:\*\*\*@h/d cannot be opened: ModuleNotFoundError"
    ),
    "file:///no/such/folder/Data.fs": "cannot be opened: FileNotFoundError",
    "memory://?page_size=3": "cannot be opened: UnknownDatabaseKeywords",
    "zconfig:///no/such/file.conf": "cannot be opened: ConfigurationError",
}


@pytest.mark.parametrize(("uri", "message"), REFUSED.items())
def test_uri_that_cannot_be_opened(uri: str, message: str) -> None:
    """The error names the key, the URI without its password, and the reason."""
    with pytest.raises(ConfigError, match=rf"^resource\.crm = .*{message}"):
        _ = Resources({"crm": uri})["crm"]


@pytest.mark.parametrize(
    ("uri", "modules", "message"),
    [
        ("memory://", ("database", "zodburi"), r"install pointsman\[zodb\]"),
        ("sqlite://", ("engine", "sqlalchemy"), r"install pointsman\[sqlalchemy\]"),
    ],
)
def test_library_that_is_not_installed(
    monkeypatch: pytest.MonkeyPatch, uri: str, modules: tuple[str, str], message: str
) -> None:
    """Without its library, the error names the extra that brings it."""
    ours, theirs = modules
    monkeypatch.delitem(sys.modules, f"pointsman.resources.{ours}", raising=False)
    monkeypatch.setitem(sys.modules, theirs, None)
    with pytest.raises(ConfigError, match=message):
        _ = Resources({"crm": uri})["crm"]


def test_unknown_name() -> None:
    """The error has the name that may have been meant."""
    with pytest.raises(KeyError, match=r"no resource\.gestbook; did you mean 'guest"):
        _ = Resources({"guestbook": "memory://"})["gestbook"]


def test_looking_opens_nothing() -> None:
    """Names can be listed and looked for though nothing can be opened."""
    resources = Resources({"crm": "nonsense"})

    assert (True, False, ["crm"], 1) == (
        "crm" in resources,
        "x" in resources,
        list(resources),
        len(resources),
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("postgresql://me:s3/cr@t@h/d", "postgresql://me:***@h/d"),
        ("zeo://h:1?username=a&password=b&wait=1", None),
        ("sqlite:////srv/a@b.db", "sqlite:////srv/a@b.db"),
        ("file:///srv/Data.fs", "file:///srv/Data.fs"),
    ],
)
def test_masked(text: str, expected: str | None) -> None:
    """Passwords are not shown, and nothing else is hidden."""
    expected = expected or "zeo://h:1?username=a&password=***&wait=1"

    assert expected == masked(text)
