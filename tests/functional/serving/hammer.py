"""Clients that count every answer and every loss.

A request is *lost* when its connection was made and its answer did not come whole,
with status 200.  A refused connection is no loss: nobody was promised anything.
"""

from __future__ import annotations

import socket
import threading
from collections import Counter
from dataclasses import dataclass, field
from typing import Self


class LostError(Exception):
    """The answer to a request did not come whole."""


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def closes(self) -> bool:
        return self.headers.get("connection", "").lower() == "close"


class Client:
    """One connection."""

    def __init__(self, port: int, timeout: float = 30) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=timeout)
        self.lines = self.socket.makefile("rb")

    def send(self, path: str, *headers: str, body: bytes = b"") -> None:
        head = [f"GET {path} HTTP/1.1", "Host: test", *headers]
        try:
            self.socket.sendall("\r\n".join([*head, "", ""]).encode() + body)
        except OSError as error:
            raise LostError(f"sending: {error}") from error

    def receive(self) -> Answer:
        try:
            answer = self._receive()
        except (OSError, ValueError, IndexError) as error:
            raise LostError(f"receiving: {error!r}") from error
        if answer.status != 200:
            raise LostError(f"status {answer.status}")
        return answer

    def _receive(self) -> Answer:
        first = self.lines.readline()
        if not first:
            raise LostError("closed without an answer")
        headers = {}
        while (line := self.lines.readline()) not in {b"\r\n", b""}:
            name, _, value = line.decode().partition(":")
            headers[name.lower()] = value.strip()
        status = int(first.split()[1])
        return Answer(status, headers, self._body(headers))

    def _body(self, headers: dict[str, str]) -> bytes:
        if headers.get("transfer-encoding") == "chunked":
            return self._chunks()
        wanted = int(headers["content-length"])
        body = self.lines.read(wanted)
        if len(body) != wanted:
            raise LostError(f"truncated: {len(body)} of {wanted} bytes")
        return body

    def _chunks(self) -> bytes:
        body = b""
        while size := int(self.lines.readline(), 16):
            body += self.lines.read(size + 2)[:-2]
        self.lines.readline()
        return body

    def close(self) -> None:
        self.lines.close()
        self.socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def get(port: int, path: str = "/", *headers: str) -> Answer:
    """Answer one request over a connection of its own."""
    with Client(port) as client:
        client.send(path, "Connection: close", *headers)
        return client.receive()


@dataclass
class Hammer:
    """Clients in threads, until stopped or refused."""

    port: int
    paths: tuple[str, ...] = ("/", "/stream", "/slow0.01")
    answered: Counter[str] = field(default_factory=Counter)
    bodies: set[bytes] = field(default_factory=set)
    lost: list[str] = field(default_factory=list)
    refused: int = 0
    _over: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)

    def start(self, keep_alive: int = 4, one_shot: int = 4) -> Hammer:
        kinds = [self._keep_alive] * keep_alive + [self._one_shot] * one_shot
        for number, kind in enumerate(kinds):
            thread = threading.Thread(target=self._run, args=(kind, number))
            thread.start()
            self._threads.append(thread)
        return self

    def stop(self) -> None:
        self._over.set()
        self.join()

    def join(self) -> None:
        for thread in self._threads:
            thread.join()

    def _run(self, kind: object, number: int) -> None:
        assert callable(kind)
        while not self._over.is_set():
            try:
                kind(number)
            except ConnectionRefusedError:
                self.refused += 1
                return
            except LostError as error:
                self.lost.append(f"{getattr(kind, '__name__', kind)}: {error}")
            number += 1

    def _one_shot(self, number: int) -> None:
        path = self.paths[number % len(self.paths)]
        with Client(self.port) as client:
            client.send(path, "Connection: close")
            self._count("one-shot", client.receive())

    def _keep_alive(self, number: int) -> None:
        with Client(self.port) as client:
            while not self._over.is_set():
                client.send(self.paths[0])
                answer = client.receive()
                self._count("keep-alive", answer)
                if answer.closes:
                    return

    def _count(self, kind: str, answer: Answer) -> None:
        self.answered[kind] += 1
        if len(answer.body) < 100:
            self.bodies.add(answer.body)
