"""What builds share: the wheels and eggs of libraries.  Effects.

The ``bootstrap.py`` of a project takes the folder from :data:`VARIABLE`.  Whoever may
write there decides what is built, so it belongs to one user.  It can be deleted at any
time: the next build fills it again.
"""

from __future__ import annotations

import fcntl
import os
import stat
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

#: Names the folder; empty, each build takes everything anew.
VARIABLE = "POINTSMAN_BUILD_CACHE"
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


@contextmanager
def shared(say: Callable[[str], None]) -> Iterator[str]:
    """Give the folder to one build at a time; "" where there is none to use.

    ``say`` is told, in a sentence, why there is none, or that it has to be waited for.
    """
    wanted = _wanted()
    descriptor = -1
    try:
        if wanted:
            descriptor = _opened(Path(wanted))
            _lock(descriptor, lambda: say(f"another build fills {wanted}; waiting"))
    except OSError as error:
        say(f"without the cache {wanted}: {error.strerror}")
        wanted = ""
    try:
        yield wanted
    finally:
        if descriptor >= 0:
            os.close(descriptor)


def _wanted() -> str:
    """Return the folder of the environment, or else the user's own (XDG)."""
    given = os.environ.get(VARIABLE)
    if given is not None:
        return str(Path(given).absolute()) if given else ""
    caches = Path(os.environ.get("XDG_CACHE_HOME", ""))
    if not caches.is_absolute():
        with suppress(RuntimeError):  # nobody's home
            caches = Path.home() / ".cache"
    return str(caches / "pointsman" / "build") if caches.is_absolute() else ""


def _opened(folder: Path) -> int:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    found = os.fstat(descriptor)
    if found.st_uid == os.geteuid() and not found.st_mode & _OTHERS_WRITE:
        return descriptor
    os.close(descriptor)
    raise PermissionError(0, "others may write there", str(folder))


def _lock(descriptor: int, on_wait: Callable[[], None]) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        on_wait()
        fcntl.flock(descriptor, fcntl.LOCK_EX)
