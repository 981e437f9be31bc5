"""What a zeo.conf says.  Decisions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from pointsman.errors import ConfigError

_TEXT: Final = """\
# A ZEO server, rendered by its build.  bin/zeo reads it; so does ZEO's own runzeo.

<zeo>
  address {address}
  pid-filename {pid_file}
  # Classes of objects are in packages that are deployed while this runs: who resolves a
  # conflict is the client, which has them.
  client-conflict-resolution true
  invalidation-queue-size {invalidation_queue_size}
  transaction-timeout {transaction_timeout}
</zeo>

<filestorage {storage}>
  path {path}
{blobs}</filestorage>

<eventlog>
  level {log_level}
  <logfile>
    path {log_file}
    format %(asctime)s %(levelname)-7s %(name)s: %(message)s
  </logfile>
</eventlog>
"""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a server shall be; numbers are as ZEO takes them, times in seconds.

    ``address`` is ``HOST:PORT``, or the path of a UNIX socket.
    """

    address: str
    path: str
    pid_file: str
    log_file: str
    blob_dir: str = ""
    storage: str = "1"
    log_level: str = "info"
    invalidation_queue_size: str = "1000"
    transaction_timeout: str = "60"

    def __post_init__(self) -> None:
        """Refuse what would make another file of it.

        Raises:
            ConfigError: a value has several lines, or begins what only we begin.

        """
        for key in self.__slots__:
            value = getattr(self, key)
            if value.splitlines() not in ([], [value]) or "$" in value:
                raise ConfigError(
                    f"{key} = {value!r}: it must be one line without a dollar sign"
                )
        if not self.address.strip():
            raise ConfigError("address is needed: HOST:PORT, or the path of a socket")


def text(wanted: Wanted) -> str:
    """Return the file."""
    blobs = f"  blob-dir {wanted.blob_dir}\n" if wanted.blob_dir else ""
    values = {key: getattr(wanted, key) for key in wanted.__slots__}
    return _TEXT.format(**values, blobs=blobs)


def uri(wanted: Wanted) -> str:
    """Return how a client on this machine names it: for ``resource.<name>``."""
    if "/" in wanted.address:
        found = f"zeo://{wanted.address}"
    else:
        host, _, port = wanted.address.rpartition(":")
        found = f"zeo://{host or 'localhost'}:{port}"
    return found if wanted.storage == "1" else f"{found}?storage={wanted.storage}"
