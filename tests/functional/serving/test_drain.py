"""A stop loses no request.

Each of these was broken on purpose, and the tests named beside it failed:

================================================== ====================================
what was broken                                    what failed
================================================== ====================================
waitress's own stop instead of the drain           18 of these, among them: running and
                                                   queued, hammer, queue, idle, upload
one accept(2), then close                          the kernel's queue, the hammer
no lock-out before the close                       nobody slips in (always), both ways
                                                   to lock out (1 of 10 runs)
idle connections closed without a grace            both ways to lock out (5 of 10)
no ``Connection: close``                           the hammer, an idle connection
no look for requests behind the last one           pipelined requests
connections closed in one step                     an answer to a refused upload
unflushed answers not waited for                   pipelined requests
no delay, or one without anybody listening         a stop that is announced
a delay for a hand-over, too                       a hand-over is not announced
half received requests taken for idle ones         an upload that has begun
================================================== ====================================
"""

from __future__ import annotations

import errno
import os
import select
import signal
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from functional.serving.hammer import Client, Hammer, get
from functional.serving.place import BIG, wait_for
from pointsman.serving import lockout, register, runner

if TYPE_CHECKING:
    from collections.abc import Iterator

    from functional.serving.place import Place


def stop(place: Place, process: Any) -> int:
    """Stop a server in the foreground; return its exit code."""
    process.send_signal(signal.SIGTERM)
    return int(process.wait(40))


def test_running_queued_and_slow_requests_are_finished(place: Place) -> None:
    """A slow answer, a slow download and a queue longer than the threads all end."""
    port = place.daemon()
    with ThreadPoolExecutor(20) as pool:
        download = pool.submit(slow_download, port)
        slow = [pool.submit(get, port, "/slow2") for _ in range(10)]
        wait_for(lambda: place.ask()["in_flight"] == 11)

        code, output, errors = place.command("--stop-daemon")

        assert (0, "") == (code, errors)
        assert "no request was cut" in output
        assert [b"hello one"] * 10 == [each.result().body for each in slow]
        assert BIG == download.result()


def slow_download(port: int) -> int:
    """Read so slowly that it takes longer than waitress's five seconds."""
    received = 0
    with Client(port) as client:
        client.socket.setsockopt(1, 8, 65536)  # SOL_SOCKET, SO_RCVBUF
        client.send("/big")
        while client.lines.readline() != b"\r\n":
            pass
        began = time.monotonic()
        while received < BIG:
            piece = client.lines.read(min(500_000, BIG - received))
            if not piece:
                break
            received += len(piece)
            ahead = received / (BIG / 6) - (time.monotonic() - began)
            time.sleep(max(0.0, ahead))
    return received


@pytest.mark.parametrize("times", range(3))
def test_clients_that_hammer_lose_nothing(place: Place, times: int) -> None:
    """Keep-alive and one-shot clients see no reset and no cut body during a stop."""
    process = place.foreground()
    hammer = Hammer(place.port()).start()
    wait_for(lambda: hammer.answered.total() > 300)

    code = stop(place, process)
    hammer.join()

    assert [] == hammer.lost
    assert (0, 8) == (code, hammer.refused)


def test_connections_in_the_kernels_queue_are_answered(place: Place) -> None:
    """Who connected before the stop is answered, although nobody accepted yet."""
    process = place.foreground()
    port = place.port()
    process.send_signal(signal.SIGSTOP)
    clients = [Client(port) for _ in range(50)]
    for client in clients:
        client.send("/")
    process.send_signal(signal.SIGTERM)
    process.send_signal(signal.SIGCONT)

    answers = [client.receive() for client in clients]
    for client in clients:
        client.close()

    assert [b"hello one"] * 50 == [answer.body for answer in answers]
    assert 0 == process.wait(30)


def test_an_idle_connection_gets_one_more_answer(place: Place) -> None:
    """A request that a keep-alive client sends during the stop is still answered."""
    process = place.foreground()
    with Client(place.port()) as client:
        client.send("/")
        first = client.receive()
        process.send_signal(signal.SIGTERM)
        wait_for(lambda: place.ask()["state"] == "stopping")
        client.send("/")
        second = client.receive()
        end = client.lines.read()

    assert (False, True, b"") == (first.closes, second.closes, end)
    assert 0 == process.wait(30)


def test_idle_connections_do_not_hold_up_the_stop(place: Place) -> None:
    """A client that never sends again is let go after the grace."""
    process = place.foreground()
    with Client(place.port()) as client:
        client.send("/")
        client.receive()
        assert 0 == stop(place, process)
        assert b"" == client.lines.read()


def test_pipelined_requests_are_all_answered(place: Place) -> None:
    """Only the last of several requests that were sent at once closes."""
    process = place.foreground()
    with Client(place.port()) as client:
        client.send("/slow1")
        wait_for(lambda: place.ask()["in_flight"])
        process.send_signal(signal.SIGTERM)
        client.send("/")
        client.send("/stream", "Connection: close")
        answers = [client.receive() for _ in range(3)]

    assert [False, False, True] == [answer.closes for answer in answers]
    assert 0 == process.wait(30)


def test_an_upload_that_has_begun_is_finished(place: Place) -> None:
    """A body is received to its end, headers as well, however long it takes."""
    process = place.foreground("--server-name", "strict", "deploy.ini")
    port = place.port()
    with Client(port) as body, Client(port) as head, Client(port) as idle:
        body.send("/upload", "Content-Length: 10", body=b"12345")
        head.socket.sendall(b"GET / HTTP/1.1\r\nHo")
        wait_for(lambda: place.ask()["in_flight"] == 2)
        process.send_signal(signal.SIGTERM)
        # The grace of idle connections is over.
        assert b"" == idle.lines.read()
        body.socket.sendall(b"67890")
        head.socket.sendall(b"st: test\r\n\r\n")

        assert [b"10", b"hello one"] == [body.receive().body, head.receive().body]
    assert 0 == process.wait(30)


def announced(place: Place, seconds: float) -> None:
    """Let a stop go on for a while as if there were none."""
    text = place.ini.read_text()
    more = f"drain_delay = {seconds:g}\ndrain_timeout = 25"
    place.ini.write_text(text.replace("drain_timeout = 25", more))


def test_a_stop_that_is_announced(place: Place) -> None:
    """For ``drain_delay``, who comes is answered, and may stay; then it ends."""
    announced(place, 2)
    process = place.foreground()
    port = place.port()
    process.send_signal(signal.SIGTERM)
    wait_for(lambda: place.ask()["state"] == "stopping")
    with Client(port) as client:
        client.send("/")
        answer = client.receive()

    assert (b"hello one", False) == (answer.body, answer.closes)
    assert 0 == process.wait(30)


def test_a_hand_over_is_not_announced(place: Place) -> None:
    """Its successor is ready on the same sockets: nobody has to see anything."""
    announced(place, 600)
    place.daemon()
    before = place.pid()
    code, _, errors = place.command("deploy.ini", "restart")
    after = place.pid()

    assert (0, "", True) == (code, errors, before != after)
    wait_for(lambda: not os.path.exists(f"/proc/{before}"))  # noqa: PTH110 - no file
    announced(place, 0)


def test_what_takes_too_long_is_cut_and_counted(place: Place) -> None:
    """After drain_timeout the stop ends, and says how many requests it cut."""
    place.ini.write_text(place.ini.read_text().replace("timeout = 25", "timeout = 1"))
    port = place.daemon()
    with Client(port) as client:
        client.send("/slow60")
        wait_for(lambda: place.ask()["in_flight"] == 1)
        code, _, errors = place.command("--stop-daemon")

    assert 1 == code
    assert "1 requests took longer than drain_timeout" in errors


def test_a_second_interrupt_stops_at_once(place: Place) -> None:
    """Ctrl-C twice does not wait for what is running."""
    process = place.foreground()
    with Client(place.port()) as client:
        client.send("/slow20")
        wait_for(lambda: place.ask()["in_flight"] == 1)
        process.send_signal(signal.SIGINT)
        wait_for(lambda: place.ask()["state"] == "stopping")
        process.send_signal(signal.SIGINT)

        assert 130 == process.wait(10)
    assert not place.pid_file.exists()


def test_an_answer_to_a_refused_upload_arrives(place: Place) -> None:
    """The answer to an upload that nobody reads is not destroyed by a reset."""
    place.ini.write_text(
        place.ini.read_text().replace("port = 0", "port = 0\nmax_request_body_size = 9")
    )
    place.foreground()
    with Client(place.port()) as client:
        client.socket.sendall(
            b"POST /upload HTTP/1.1\r\nHost: test\r\nContent-Length: 3000000\r\n\r\n"
        )
        client.socket.sendall(b"x" * 3_000_000)

        assert b"HTTP/1.1 413 Request Entity Too Large" == client.lines.readline()[:-2]


@pytest.fixture(name="inside", params=["filter", "plug"])
def _inside(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[threading.Thread, Any]]:
    """A server in a thread, with either way to lock clients out."""
    if request.param == "plug" or os.geteuid() != 0:
        monkeypatch.setattr(lockout, "_filter", lambda _listener: False)

    def application(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [("Content-Length", "2")])
        return [b"ok"]

    thread = threading.Thread(
        target=runner.server_runner,
        args=(application, {}),
        kwargs={"port": "0", "keep_alive_grace": "0.2"},
    )
    thread.start()
    server = register.awaited(10)
    assert server is not None
    yield thread, server
    server.cut()
    thread.join()


@pytest.mark.parametrize("times", range(5))
def test_both_ways_to_lock_out_lose_nothing(
    inside: tuple[threading.Thread, Any], times: int
) -> None:
    """With and without a socket filter, one-shot clients see all or nothing."""
    thread, server = inside
    port = int(server.addresses[0].rpartition(":")[2])
    hammer = Hammer(port, paths=("/",)).start(keep_alive=2, one_shot=8)
    wait_for(lambda: hammer.answered["one-shot"] > 200)

    server.stop()
    thread.join(20)
    hammer.join()

    assert [] == hammer.lost
    assert (False, 10) == (thread.is_alive(), hammer.refused)


def test_nobody_slips_in_before_the_close(
    inside: tuple[threading.Thread, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who comes between the last accept and the close is refused, never reset.

    The window is widened: a client connects in it, and has time to.
    """
    thread, server = inside
    client = socket.socket()
    client.setblocking(False)  # noqa: FBT003 - no keyword
    close = lockout.Lockout.close

    def slowly(self: lockout.Lockout) -> None:
        client.connect_ex(self._listener.getsockname())
        select.select([], [client], [], 0.3)
        close(self)

    monkeypatch.setattr(lockout.Lockout, "close", slowly)
    server.stop()
    thread.join(20)
    client.settimeout(10)
    with client:
        # connect(2) again: EISCONN would mean that the first one had succeeded.
        select.select([], [client], [], 10)
        outcome = client.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)

    assert errno.ECONNREFUSED == outcome
