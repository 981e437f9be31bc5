"""A clock that is set back and forward while a cluster lives."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from cluster_site import shop, stock

if TYPE_CHECKING:
    from pathlib import Path

    from cluster_site import ClusterSite

#: Python runs this before anything else.  The time of day is an offset away, as the
#: file says at each moment; the monotonic clock is not, as under settimeofday(2).
#: (libfaketime makes sleeping fail when it leaves the monotonic clock alone.)
SITE = """
import pathlib
import time

right = time.time
offset = pathlib.Path(__file__).with_name("offset")
time.time = lambda: right() + float(offset.read_text())
"""


def clock(cluster: ClusterSite) -> Path:
    """Return the file with the offset of all processes that are started from now on."""
    (cluster.folder / "sitecustomize.py").write_text(SITE)
    offset = cluster.folder / "offset"
    set_clock(offset, "0")
    return offset


def set_clock(file: Path, offset: str) -> None:
    """Set it by so many seconds, at one moment."""
    new = file.with_name("offset.new")
    new.write_text(offset)
    new.rename(file)


@pytest.mark.parametrize("offset", ["-3600", "+3600"], ids=["back", "forward"])
def test_clock_is_set(cluster: ClusterSite, offset: str) -> None:
    """An hour more or less changes nothing: all deploy, and who is gone is missed.

    An hour forward ends every lease.  Where a node that was silent did not enter the
    ballot when it was heard again, the deployment waited for nobody, and failed.
    """
    file = clock(cluster)
    one = cluster.server().start()
    two = cluster.server("two", work_dir="%(here)s/two").start()
    one.deploy(shop=shop(1), stock=stock(1))
    set_clock(file, offset)
    one.deploy(shop=shop(2), stock=stock(2))
    cluster.wait_for_nodes(2)
    assert ["2 2", "2 2"] == [one.text(), two.text()]
    # that it works: the record of the last generation is an hour away from here
    last = cluster.generations()[max(cluster.generations())]
    assert abs(last.proposed_at - time.time() - float(offset)) < 600

    two.kill()
    one.deploy(stock=stock(3))
    assert "2 3" == one.text()
    two.start()
    cluster.wait_for_nodes(2)
    assert "2 3" == two.text()
