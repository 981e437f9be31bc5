"""An application that tells which process has loaded it, and which was called back."""

from __future__ import annotations

import json
import os
import threading
from typing import Any

from pointsman import forks

#: Pid, word, and whether a thread that was started there has run.
marks: list[tuple[int, str, bool]] = []
#: As whom this process ran when it was told.
users: list[int] = []


def make(global_conf: Any, **local_conf: str) -> Any:
    """Make the application (``paste.app_factory``)."""
    forks.refuse_unfit_server()
    if forks.serves_here():
        mark("serves")
    else:
        marks.append((os.getpid(), "loads", False))
        forks.when_forked(lambda: mark("forked"))
        marks.extend(in_child())
    return answer


def mark(word: str) -> None:
    """Note that this process was told, from a thread of its own."""
    users.append(os.geteuid())
    thread = threading.Thread(target=lambda: marks.append((os.getpid(), word, True)))
    thread.start()
    thread.join(10)


def in_child() -> list[tuple[int, str, bool]]:
    """Fork a child that is no worker; return what was noted in it, and only there."""
    known = len(marks)
    read, write = os.pipe()
    pid = os.fork()
    if not pid:
        os.write(write, json.dumps(marks[known:]).encode())
        os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        found = json.loads(pipe.read())
    os.waitpid(pid, 0)
    return [(os.getpid(), f"{word} in a child", ran) for _, word, ran in found]


def answer(environ: Any, start_response: Any) -> list[bytes]:
    """Tell all of it, as JSON, after one more fork if that is asked for."""
    found = in_child() if environ["PATH_INFO"] == "/fork" else []
    start_response("200 OK", [("Content-Type", "application/json")])
    told = {"pid": os.getpid(), "marks": [*marks, *found], "users": users}
    return [json.dumps(told).encode()]
