"""Clients whose requests span a switch: long ones, and more than can be run at once."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from functional.serving.hammer import Client, LostError
from functional.serving.place import BIG

if TYPE_CHECKING:
    from collections.abc import Callable


class Bulk:
    """Clients whose bodies of 30 MB, and whose slow answers, span a switch."""

    def __init__(self, port: int) -> None:
        self.lost: list[str] = []
        self.ended = 0
        self._port = port
        self._over = threading.Event()
        requests = (self._download, self._upload, self._queue)
        self._threads = [
            threading.Thread(target=self._repeat, args=(request,))
            for request in requests
        ]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _repeat(self, request: Callable[[], None]) -> None:
        while not self._over.is_set():
            try:
                request()
                self.ended += 1
            except (LostError, OSError, AssertionError) as error:
                self.lost.append(f"{request.__name__}: {error!r}")

    def _download(self) -> None:
        """Read for a while longer than a switch takes."""
        received = 0
        with Client(self._port) as client:
            client.socket.setsockopt(1, 8, 65536)  # SOL_SOCKET, SO_RCVBUF
            client.send("/big", "Connection: close")
            while client.lines.readline() != b"\r\n":
                pass
            while received < BIG:
                piece = client.lines.read(min(1_000_000, BIG - received))
                assert piece, f"cut after {received} bytes"
                received += len(piece)
                time.sleep(0.02)

    def _upload(self) -> None:
        with Client(self._port) as client:
            client.send("/upload", f"Content-Length: {BIG}", "Connection: close")
            for _ in range(30):
                client.socket.sendall(b"x" * 1_000_000)
                time.sleep(0.02)
            assert str(BIG).encode() == client.receive().body

    def _queue(self) -> None:
        """Ask for more at once than there are threads."""
        clients = [Client(self._port) for _ in range(12)]
        try:
            for client in clients:
                client.send("/slow0.2", "Connection: close")
            for client in clients:
                client.receive()
        finally:
            for client in clients:
                client.close()
