"""On which kind of file system a directory lies.  Effects: reads ``/proc``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

#: What others change without this kernel knowing: no event tells of it.
_REMOTE = frozenset(
    (
        "9p",
        "afs",
        "beegfs",
        "ceph",
        "cifs",
        "coda",
        "drvfs",
        "fakeowner",
        "fuse",
        "gfs2",
        "glusterfs",
        "gpfs",
        "lustre",
        "ncpfs",
        "nfs",
        "nfs4",
        "ocfs2",
        "orangefs",
        "prl_fs",
        "smb2",
        "smb3",
        "smbfs",
        "vboxsf",
        "virtiofs",
        "vmhgfs",
    )
)


def remote(folder: Path) -> str:
    """Return the kind of a file system that others may change, "" for any other."""
    kind = _kind(folder)
    return kind if kind in _REMOTE or kind.startswith("fuse.") else ""


def _kind(folder: Path) -> str:
    """Return the type of the mount that a directory lies on, "" if it is unknown."""
    try:
        device = os.stat(folder).st_dev  # noqa: PTH116 - the one call that is needed
        lines = Path("/proc/self/mountinfo").read_text("utf-8", "replace").splitlines()
    except OSError:
        return ""
    return kind_of(f"{os.major(device)}:{os.minor(device)}", lines)


def kind_of(device: str, lines: Iterable[str]) -> str:
    """Return the type of the mount with the device ``major:minor``, see proc(5)."""
    for line in lines:
        fields = line.split()
        if len(fields) > 2 and fields[2] == device and "-" in fields:  # noqa: PLR2004
            return fields[fields.index("-") + 1]
    return ""
