"""The Python that a release starts with.  Effects: asks it."""

from __future__ import annotations

import subprocess
import sysconfig
from pathlib import Path

from pointsman.errors import ConfigError
from pointsman.releases.manifest import Python

_ASKED = "import os, platform, sys; print(platform.python_version()); "
_ASKED += "print(os.path.realpath(sys.executable))"


def interpreter(path: str) -> Python:
    """Return the Python at ``path``, or without one that of this build.

    Raises:
        ConfigError: nothing there answers, or it is not of the minor version of the
            build, whose compiled modules it could not import.

    """
    if not path:
        return Python.running()
    try:
        command = [str(Path(path).expanduser()), "-IS", "-c", _ASKED]
        said = subprocess.check_output(command, text=True)  # noqa: S603 - the operator's
    except (OSError, subprocess.CalledProcessError) as error:
        raise ConfigError(f"python = {path}: it is no Python: {error}") from error
    version, real = said.split("\n")[:2]
    wanted = sysconfig.get_python_version()
    if version.rpartition(".")[0] != wanted:
        raise ConfigError(
            f"python = {path} is Python {version}, and the eggs are for {wanted}; "
            "build with the Python that shall run it"
        )
    return Python(version, real)
