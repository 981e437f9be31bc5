"""What a test needs from the system."""

import os
import shutil
from pathlib import Path

import pytest

# Before a command: it sees no network, not even a loopback device.
NO_NETWORK = ("unshare", "-n") if os.geteuid() == 0 else ("unshare", "-rn")


def require(command_or_file: str, package: str) -> str:
    """Return the path of a command or file that the Debian ``package`` brings.

    Without it the calling test is skipped with a reason that names the package.
    Where ``CI=true`` it fails: there, ``bootstrap.py test`` installs all of them.
    """
    found = shutil.which(command_or_file)
    if found is None and Path(command_or_file).exists():
        found = command_or_file
    if found is None:
        reason = f"needs {command_or_file}: apt-get install {package}"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return found
