"""Paced HTTP clients, in a process of their own that imports nothing but Python.

It is told what to ask by one line of JSON on standard input, asks until standard
input is closed, and then writes what came back as JSON.  Sockets are used directly:
a client library would cost more than the servers that are measured.

An answer is judged by its words.  Words with ``=`` are facts that must be as
expected; all others are the version that spoke, and must be one and the same.
"""

from __future__ import annotations

import json
import socket
import sys
import threading
import time
from typing import Any

#: Seconds that an answer may take; then it counts as failed.
PATIENCE = 30.0

Record = tuple[float, float, str, str, str]  # see `Client.records`


class BrokenAnswer(Exception):
    """What came back is no complete answer."""


class Client:
    """One client, with one connection at a time.  Belongs to one thread."""

    def __init__(self, plan: dict[str, Any], over: threading.Event) -> None:
        self._address = (plan["host"], plan["port"])
        self._keep_alive = plan["keep_alive"]
        self._period = plan["period"]
        self._requests = [Request(one, plan) for one in plan["requests"]]
        self._over = over
        self._socket: socket.socket | None = None
        #: When it ended (monotonic seconds), how long it took, which kind it was,
        #: the version, and what was wrong with it ("" if nothing).
        self.records: list[Record] = []

    def run(self) -> None:
        """Ask in turn, one request each period, or as fast as they are answered."""
        due = time.monotonic()
        turn = 0
        while not self._over.is_set():
            self._ask(self._requests[turn % len(self._requests)])
            turn += 1
            due = max(due + self._period, time.monotonic() - self._period)
            pause = due - time.monotonic()
            if pause > 0:
                time.sleep(pause)
        self._hang_up()

    def _ask(self, request: Request) -> None:
        begun = time.monotonic()
        try:
            status, body = self._answer(request)
            version, wrong = request.judged(status, body)
        except (OSError, BrokenAnswer, ValueError, IndexError) as error:
            self._hang_up()
            version, wrong = "", f"failed: {type(error).__name__}: {error}"
        ended = time.monotonic()
        self.records.append((ended, ended - begun, request.kind, version, wrong))

    def _answer(self, request: Request) -> tuple[int, bytes]:
        connection = self._socket
        if connection is None:
            connection = socket.create_connection(self._address, PATIENCE)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._socket = connection
        connection.sendall(request.head)
        if request.body:
            connection.sendall(request.body)
        status, body, stays = received(connection)
        if not (stays and self._keep_alive):
            self._hang_up()
        return status, body

    def _hang_up(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None


class Request:
    """One kind of request, as bytes, and how to judge what comes back."""

    def __init__(self, given: dict[str, Any], plan: dict[str, Any]) -> None:
        self.kind: str = given["kind"]
        self.body = b"x" * given.get("upload", 0)
        self._facts: set[str] = set(given.get("facts", ()))
        lines = [
            f"{'POST' if self.body else 'GET'} {given['path']} HTTP/1.1",
            f"Host: {plan['host']}:{plan['port']}",
            f"Connection: {'keep-alive' if plan['keep_alive'] else 'close'}",
        ]
        if self.body:
            lines.append(f"Content-Length: {len(self.body)}")
        self.head = "\r\n".join([*lines, "", ""]).encode()

    def judged(self, status: int, body: bytes) -> tuple[str, str]:
        """Return the version that answered, and what was wrong ("" if nothing)."""
        if status != 200:
            return "", f"failed: status {status}"
        words = body.decode("ascii", "replace").split()
        versions = [word for word in words if "=" not in word]
        if self._facts != {word for word in words if "=" in word}:
            return versions[0], "failed: incomplete or wrong"
        if any(version != versions[0] for version in versions):
            return versions[0], f"torn: {' '.join(dict.fromkeys(versions))}"
        return versions[0], ""


def received(connection: socket.socket) -> tuple[int, bytes, bool]:
    """Read one answer (RFC 9112): status, body, and whether the connection stays.

    Raises:
        BrokenAnswer: it ended before it was complete.

    """
    data = bytearray()
    while (end := data.find(b"\r\n\r\n")) < 0:
        _more(connection, data)
    lines = bytes(data[:end]).decode("latin-1").split("\r\n")
    del data[: end + 4]
    status = int(lines[0].split()[1])
    headers = {}
    for line in lines[1:]:
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip().lower()
    says = headers.get("connection", "")
    stays = says != "close" if lines[0].startswith("HTTP/1.1") else says == "keep-alive"
    if headers.get("transfer-encoding") == "chunked":
        return status, _chunked(connection, data), stays
    if "content-length" in headers:
        length = int(headers["content-length"])
        while len(data) < length:
            _more(connection, data)
        return status, bytes(data), stays
    while part := connection.recv(65536):
        data += part
    return status, bytes(data), False


def _chunked(connection: socket.socket, data: bytearray) -> bytes:
    body = bytearray()
    while True:
        while (end := data.find(b"\r\n")) < 0:
            _more(connection, data)
        size = int(bytes(data[:end]), 16)
        while len(data) < end + size + 4:
            _more(connection, data)
        body += data[end + 2 : end + 2 + size]
        del data[: end + size + 4]
        if not size:
            return bytes(body)


def _more(connection: socket.socket, data: bytearray) -> None:
    part = connection.recv(65536)
    if not part:
        message = f"the connection ended after {len(data)} bytes of an answer"
        raise BrokenAnswer(message)
    data += part


class Machine:
    """Notes when this process was not run although it wanted to be.

    What a server seems to take then is the machine's.
    """

    STEP, NOTEWORTHY = 0.001, 0.003  # seconds

    def __init__(self, over: threading.Event) -> None:
        self._over = over
        #: When it was run again (monotonic seconds), and how late that was.
        self.held_up: list[tuple[float, float]] = []

    def run(self) -> None:
        """Sleep, and look at the clock."""
        while not self._over.is_set():
            begun = time.monotonic()
            time.sleep(self.STEP)
            ended = time.monotonic()
            if ended - begun > self.NOTEWORTHY:
                self.held_up.append((ended, ended - begun - self.STEP))


def main() -> None:
    """Ask what the first line of standard input says until there is no more line."""
    sys.setswitchinterval(0.0005)
    plans: list[dict[str, Any]] = json.loads(sys.stdin.readline())
    over = threading.Event()
    clients = [Client(plan, over) for plan in plans]
    machine = Machine(over)
    threads = [threading.Thread(target=client.run) for client in clients]
    watching = threading.Thread(target=machine.run)
    watching.start()
    for number, thread in enumerate(threads):
        thread.start()
        # Spread over the first period, so that they do not ask in step.
        time.sleep(plans[number]["period"] / len(threads))
    sys.stdin.read()
    over.set()
    for thread in threads:
        thread.join()
    watching.join()
    records = [client.records for client in clients]
    json.dump({"clients": records, "held_up": machine.held_up}, sys.stdout)


if __name__ == "__main__":
    main()
