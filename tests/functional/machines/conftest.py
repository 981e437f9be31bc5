"""Three machines: one has the database, two serve."""

from __future__ import annotations

import shutil
import tempfile
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest

from cluster_site import ClusterSite
from functional.machines.network import Machine, Network
from postgresql_server import PostgresqlServer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cluster_processes import Server

#: Both ends give a connection up after about two seconds without an answer, instead of
#: eight: no test waits for longer than it has to.
_QUICK = {
    "tcp_keepalives_idle": "1",
    "tcp_keepalives_interval": "1",
    "tcp_keepalives_count": "1",
    "tcp_user_timeout": "2s",
}


@dataclass(frozen=True)
class Site:
    """The servers, each on a machine, and the site as the database shows it."""

    cluster: ClusterSite
    machines: tuple[Machine, Machine]
    servers: tuple[Server, Server]
    points: Path  # where a file lets the second server wait; see `faults`

    def text(self, number: int) -> str:
        """Return what a server answers on its machine."""
        with self.machines[number].inside():
            return self.servers[number].text()

    def ready(self, number: int) -> dict[str, object]:
        """Return what a server says of its readiness on its machine."""
        with self.machines[number].inside():
            answer = self.servers[number].get("/_pointsman/health/ready")
        return {"http": answer.status_code, **answer.json()}


@pytest.fixture(name="site", scope="module")
def _site() -> Iterator[Site]:
    folder = Path(tempfile.mkdtemp(prefix="pointsman-"))
    folder.chmod(0o755)
    try:
        with Network() as network:
            far = Machine(network, "database", 1)
            server = PostgresqlServer(listen=far.address, prefix=far.prefix)
            with closing(server):
                server.start()
                with ClusterSite(folder, server.url(server.create())) as cluster:
                    yield _begun(cluster, network, server, far.address)
    finally:
        shutil.rmtree(folder)


def _begun(
    cluster: ClusterSite, network: Network, server: PostgresqlServer, address: str
) -> Site:
    options = " ".join(f"-c {name}={value}" for name, value in _QUICK.items())
    url = (
        f"postgresql://postgres@{address}/{server.last}?tcp_user_timeout=2000"
        "&keepalives_idle=1&keepalives_interval=1&keepalives_count=1&connect_timeout=2"
        f"&options={quote(options)}"
    )
    points = cluster.folder / "points"
    points.mkdir()
    machines = Machine(network, "one", 11), Machine(network, "two", 12)
    servers = tuple(
        cluster.server(
            name,
            work_dir=f"%(here)s/{name}",
            ledger__url=url.replace("%", "%%"),
            cluster__lease="6",
        )
        for name in ("one", "two")
    )
    held = {"one": "", "two": str(points)}
    for machine, one in zip(machines, servers, strict=True):
        one.launch(machine.prefix, POINTSMAN_HOLD_IN=held[one.ini.stem])
    for machine, one in zip(machines, servers, strict=True):
        with machine.inside():
            one.wait_until_ready()
    cluster.wait_for_nodes(2)
    return Site(cluster, machines, (servers[0], servers[1]), points)
