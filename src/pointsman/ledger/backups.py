"""Backups: a ledger in a file, whatever database it is from.  Effects."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from sqlalchemy import make_url

from pointsman import durable
from pointsman.errors import LedgerError

if TYPE_CHECKING:
    from collections.abc import Callable

    from pointsman.ledger.copying import Copied

    Copy = Callable[[str, str], Copied]


def url_of(file: Path) -> str:
    """Return the URL of a ledger in a file."""
    return f"sqlite:///{quote(str(file.absolute()))}"


def _shown(url: str) -> str:
    """Return a URL without its password."""
    return make_url(url).render_as_string()


def backup(url: str, file: Path, copy: Copy) -> Copied:
    """Write a ledger to a new file, for its owner alone; it is whole, or not there.

    Raises:
        LedgerError: see `copying.copy`; or there is such a file.

    """
    if file.exists():
        raise LedgerError(
            _shown(url), f"there is a file {file} already; name another one"
        )
    half = file.with_name(f".{file.name}.{secrets.token_hex(4)}.part")
    try:
        copied = copy(url, url_of(half))
        with half.open("rb") as whole:
            os.fsync(whole.fileno())
        os.link(half, file)  # never over one that has come meanwhile
        durable.folder(file.absolute().parent)
    except OSError as error:
        reason = f"{file} cannot be written ({error.strerror}); look at its folder"
        raise LedgerError(_shown(url), reason) from error
    finally:
        for name in (half.name, f"{half.name}-wal", f"{half.name}-shm"):
            with contextlib.suppress(OSError):
                half.with_name(name).unlink()
    return copied


def restore(url: str, file: Path, copy: Copy) -> Copied:
    """Read a backup into a ledger that is new; the file stays as it is.

    Raises:
        LedgerError: see `copying.copy`.

    """
    with tempfile.TemporaryDirectory(prefix="pointsman-") as folder:
        own = Path(folder, "ledger.sqlite")
        try:
            shutil.copyfile(file, own)
        except OSError as error:
            reason = f"{file} cannot be read ({error.strerror})"
            raise LedgerError(_shown(url), reason) from error
        return copy(url_of(own), url)
