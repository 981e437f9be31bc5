"""What several tests of releases need, made once: it takes pip some seconds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from functional.releases.machine import Machine, blocks

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(name="pointsman", scope="session")
def _pointsman() -> Iterator[Machine]:
    """Give a machine on which pip has installed the published pointsman.

    The commands are those of docs/operating/publishing.md: into /srv/mysite.
    """
    with Machine() as machine:
        machine.publish()
        found = blocks("docs/operating/publishing.md")
        (commands,) = (text for mark, _, text in found if mark == "sh")
        machine.run(commands)
        yield machine
