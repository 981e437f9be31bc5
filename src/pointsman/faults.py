"""Named points at which a test can kill this process.  Effects.

``POINTSMAN_KILL_AT=voted`` in the environment ends the process there with SIGKILL,
as a power switch would.  Without it, a point costs one comparison.
"""

from __future__ import annotations

import os
import signal
from typing import Final

#: Every point, in the order in which a deployment passes them.
POINTS: Final = (
    "picked-up",  # a file of the pick-up directory is claimed, nothing is proposed
    "stored",  # the artifact is in the ledger, nothing is proposed
    "proposed",  # the proposal is in the ledger; nobody has begun to load it
    "staged",  # loaded beside what serves; the vote is not given
    "voted",  # the vote is given, and may have decided
    "decided",  # the generation is active in the ledger; the old one still serves
    "switched",  # the new one serves; the ledger does not know it yet
    "recorded",  # the ledger knows it
    "drained",  # the last request of the old version is done; stop() is not called
    "retired",  # the old version is forgotten
    "removing",  # the picked-up file is deployed, and still there
)

#: Every point of what changes a site's releases, each in the order of its change.
RELEASE_POINTS: Final = (
    # building a tree
    "release.begun",  # its folder is there, and empty
    "release.filled",  # all files are there, with any modes
    "release.sealed",  # the manifest and the modes are there, perhaps not on the disk
    "release.synced",  # all is on the disk, under the temporary name
    "release.appeared",  # the tree has its name; nobody has been told
    "release.built",  # releases.log tells it
    # committing one
    "release.lined",  # it is the newest of those that were committed
    "release.linking",  # `current` is about to change
    "release.linked",  # `current` names it
    # quarantine
    "release.isolating",  # its record is about to appear
    "release.isolated",  # its record is there
    "release.clearing",  # releases.log tells that it is cleared
    # removing one
    "release.loosened",  # its folder may be moved
    "release.trashed",  # it has lost its name
    "release.halved",  # some of its files are gone
    "release.pruned",  # releases.log tells it
    # the journal
    "release.noted",  # an entry is about to appear
)

#: Every point of publishing one file to a shared directory.
PUBLISH_POINTS: Final = (
    "release.publish-copied",  # it is there whole, under a temporary name
    "release.publish-summed",  # its checksum is there, and it is not
)

#: Every point of an activation, in its order; those of the store lie between them.
ACTIVATION_POINTS: Final = (
    "release.proving",  # it is in the journal
    "release.proved",  # the self-test has passed
    "release.switching",  # the journal says so; the server is not asked yet
    "release.pointed",  # Apache: new processes load it
    "release.moved",  # Apache: one process has ended
    "release.watching",  # it serves on probation; the journal says so
    "release.switched",  # the server has kept it; nothing says so
    "release.committing",  # the journal says so
    "release.recorded",  # releases.log tells how it ended; the journal does not
    "release.returning",  # it has failed; the journal says so
    "release.quarantined",  # and it is in quarantine
)

_WANTED = os.environ.get("POINTSMAN_KILL_AT", "")


def point(name: str) -> None:
    """Be the point ``name``: end here, if a test wants it."""
    if _WANTED and name == _WANTED:
        os.kill(os.getpid(), signal.SIGKILL)
