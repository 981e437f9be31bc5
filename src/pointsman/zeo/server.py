"""The ZEO server of one zeo.conf, from its pid file to its end.  Effects.

ZEO's own server is stopped by an exception wherever it just is, also in the middle of
a commit.  Here signals are taken between two messages: what was answered is on disk,
and what was not is tried again by the client.
"""

from __future__ import annotations

import logging
import os
import signal
from typing import TYPE_CHECKING, Any

from zc.lockfile import LockError  # type: ignore[import-untyped]
from ZEO.runzeo import ZEOServer

from pointsman.errors import ReleaseError
from pointsman.serving import logs, pidfile
from pointsman.zeo import asking

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pointsman.zeo.configured import Configured

log = logging.getLogger(__name__)
_PATIENCE = 2.0  # seconds that a stranger on our address may take
_OURS_ALONE = 0o077


def run(server: Configured, on_listening: Callable[[], None] | None = None) -> None:
    """Serve until SIGTERM or SIGINT.  Main thread.

    ``on_listening`` is called when clients can connect.

    Raises:
        ReleaseError: it could not be started; nothing of it is left.

    """
    # Who reaches the socket may read and write everything: ZEO asks nobody.
    os.umask(_OURS_ALONE)
    with pidfile.held(server.pid_file):
        server.options.load_logconf("eventlog")
        _Server(server).serve(on_listening)


class _Server(ZEOServer):  # type: ignore[misc]  # ZEO has no types
    def __init__(self, configured: Configured) -> None:
        super().__init__(configured.options)
        self._configured = configured
        self.storages: dict[str, Any] = {}

    def serve(self, on_listening: Callable[[], None] | None) -> None:
        self.setup_default_logging()
        self._check_address()
        self.clear_socket()
        try:
            self._open()
            self._take_signals()
            log.info("serving %s, pid %d", self._configured.place, os.getpid())
            if on_listening is not None:
                on_listening()
            self.server.loop()
        finally:
            self._close()
            self.clear_socket()
        log.info("ended")

    def _check_address(self) -> None:
        if asking.accepts(self._configured.address, _PATIENCE):
            place = self._configured.place
            raise ReleaseError(
                f"somebody listens on {place} already; stop that one, or change "
                f"address in {self._configured.file}"
            )

    def _open(self) -> None:
        try:
            self.open_storages()
            self.create_server()
        except LockError as error:
            raise ReleaseError(
                f"{self._paths()} is open in another process, which has to end first: "
                f"{error}"
            ) from error
        except OSError as error:
            raise ReleaseError(
                f"{self._configured.file}: {self._paths()} cannot be served on "
                f"{self._configured.place}: {error}"
            ) from error

    def _paths(self) -> str:
        paths = (getattr(each.config, "path", "") for each in self.options.storages)
        return ", ".join(filter(None, paths)) or "the storage"

    def _take_signals(self) -> None:
        loop = self.server.acceptor.event_loop
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop)
        for number in (signal.SIGUSR1, signal.SIGUSR2):
            loop.add_signal_handler(number, self._reopen)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)

    def _stop(self) -> None:
        log.info("stopping")
        self.server.acceptor.close()
        for clients in self.server.zeo_storages_by_storage_id.values():
            for client in tuple(clients):
                client.connection.close()

    def _reopen(self) -> None:
        if self.options.config_logger is not None:
            self.options.config_logger.reopen()
        if self._configured.log_file is not None and not os.isatty(2):
            logs.redirect(self._configured.log_file)
        log.info("the log is opened anew")

    def _close(self) -> None:
        if self.server is not None:
            self.server.close()
            return
        for storage in self.storages.values():
            storage.close()


def log_file(server: Configured) -> Path:
    """Return where the output of a server in the background goes."""
    return server.log_file or server.pid_file.with_suffix(".log")
