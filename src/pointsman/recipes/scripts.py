"""The scripts of a tree: they find what they import by their own place.  Values.

A tree can be renamed, and the build's environment deleted.  So the first line names
the machine's own Python, by its full version, and ``lib/`` is found beside the script.

``-I`` and ``-S``: nothing of the user, of the environment's variables or of the
machine's site-packages is imported by accident, only what the release has pinned.
``-B``: nothing is written into the tree; what can be compiled is.

The shared lock on the manifest lives as long as the process: a release in use is not
pruned.  It belongs to the open file, so that children of a fork hold it too, and
``exec`` lets it go (flock(2)).
"""

from __future__ import annotations

from dataclasses import dataclass

from pointsman.errors import ReleaseError

#: How Python is started, in one word: a first line has room for one.
FLAGS = "-BIS"
# The kernel cuts the first line of a script there (BINPRM_BUF_SIZE).
_LONGEST_LINE = 255

_TEXT = '''\
#!{python} {flags}
"""{name}, of the release that this file lies in; made by its build."""

import fcntl
import os
import sys

TREE = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))
sys.path.insert(0, os.path.join(TREE, "lib"))

MANIFEST = os.path.join(TREE, "MANIFEST.json")

if __name__ == "__main__":
    if os.path.exists(MANIFEST):  # or it is being built
        # For the life of this process: a release in use is not removed.
        in_use = os.open(MANIFEST, os.O_RDONLY)
        fcntl.flock(in_use, fcntl.LOCK_SH)  # who looks has it for a moment
        if not os.path.exists(MANIFEST):
            sys.exit(f"{{TREE}} has just been removed; start another release")
    from {module} import {head}

    sys.exit({function}())
'''


@dataclass(frozen=True, slots=True)
class Script:
    """One command of ``bin/``: ``function`` (dotted) of ``module`` is called."""

    name: str
    module: str
    function: str

    def text(self, python: str) -> str:
        """Return the file's content, for this Python.

        Raises:
            ReleaseError: the kernel could not start it.

        """
        first = f"#!{python} {FLAGS}"
        if len(first.encode()) > _LONGEST_LINE or any(map(str.isspace, python)):
            raise ReleaseError(
                f"{python} cannot start scripts: its path is too long or has a space; "
                "build with a Python at another place"
            )
        return _TEXT.format(
            python=python,
            flags=FLAGS,
            name=self.name,
            module=self.module,
            head=self.function.partition(".")[0],
            function=self.function,
        )
