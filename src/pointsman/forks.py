"""Whether this process serves, or loads for workers that are forked later.  Effects.

Threads do not survive fork(2), and a lock that another thread held at that moment is
held for ever in the child.  So a process that only loads must start nothing; what it
has loaded starts in each worker.

=========================  =====================================================
server                     when it forks
=========================  =====================================================
gunicorn                   before it loads; with ``--preload`` after
uWSGI with a master        after it loads; with ``lazy-apps`` before
mod_wsgi, daemon mode      before it loads
waitress, ``paster``       never
=========================  =====================================================
"""

from __future__ import annotations

import os
import re
import sys
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from pointsman.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

_ARBITER, _WORKER = "gunicorn.arbiter", "gunicorn.workers.base"
#: The first uWSGI in which a worker with several threads ends after its last request.
_ENDS = (2, 0, 26)


def serves_here() -> bool:
    """Tell whether what is loaded now will serve in this process.

    To be asked by the code that the server calls to load the application, on that
    thread: of gunicorn, only the stack tells.
    """
    uwsgi = sys.modules.get("uwsgi")
    if uwsgi is not None:
        return bool(uwsgi.worker_id()) or not uwsgi.masterpid()
    names = (frame.f_globals.get("__name__") for frame in _stack())
    # A worker is made by the arbiter, so the arbiter is further out on its stack.
    nearest = next((name for name in names if name in (_ARBITER, _WORKER)), "")
    return nearest != _ARBITER


def is_replacement() -> bool:
    """Tell whether this process serves in place of one that has ended.

    To be asked like `serves_here`.  gunicorn counts the workers that it starts, and
    uWSGI how often it has started each of them again.  mod_wsgi does not tell, and
    starts the next one whichever it was.
    """
    uwsgi = sys.modules.get("uwsgi")
    if uwsgi is not None:
        return any(
            one["id"] == uwsgi.worker_id() and one["respawn_count"] > 0
            for one in uwsgi.workers()
        )
    if getattr(sys.modules.get("mod_wsgi"), "process_group", ""):
        return True
    for frame in _stack():
        worker: Any = frame.f_locals.get("self")
        if frame.f_globals.get("__name__") == _WORKER and hasattr(worker, "age"):
            return bool(worker.age > worker.cfg.workers)
    return False


def when_forked(callback: Callable[[], None]) -> None:
    """Call back in each worker, once, on its main thread and before its requests.

    To be asked where `serves_here` said no.  Threads may be started there: rights
    are dropped and signals are set.  Other children, of this process or of a worker,
    are not called.  Under gunicorn, a worker whose callback raises does not boot.

    uWSGI has one place for such a callback.  Ours calls what it finds there; whoever
    puts another there later must do the same.
    """
    _callbacks.append(callback)
    _listen()


def refuse_unfit_server() -> None:
    """Refuse a server in which services cannot be loaded beside requests.

    Raises:
        ConfigError: what about it must be set otherwise.

    """
    uwsgi, mod_wsgi = sys.modules.get("uwsgi"), sys.modules.get("mod_wsgi")
    if uwsgi is not None:
        _refuse_unfit_uwsgi(uwsgi)
    if getattr(mod_wsgi, "process_group", None) == "":
        raise ConfigError(
            "mod_wsgi runs in embedded mode, where Apache starts and ends processes "
            "as it likes; give this site a WSGIDaemonProcess and a WSGIProcessGroup"
        )


def _refuse_unfit_uwsgi(uwsgi: Any) -> None:
    many = int(uwsgi.opt.get("threads", b"1")) > 1
    if not (uwsgi.opt.get("enable-threads") or many):
        raise ConfigError(
            "uWSGI runs without threads, so nothing can be loaded or retired beside "
            "requests; add enable-threads = true"
        )
    if uwsgi.numproc > 1 and not uwsgi.masterpid() and not _lazy(uwsgi):
        raise ConfigError(
            "uWSGI forks without a master, from a process that serves itself; add "
            "master = true"
        )
    if many and int(uwsgi.opt.get("max-requests", b"0")) and _version(uwsgi) < _ENDS:
        raise ConfigError(
            "this uWSGI hangs when a worker with several threads has had its "
            "max-requests: it answers nobody and is not replaced; use "
            "max-worker-lifetime, or one thread, or uWSGI 2.0.26"
        )


def _version(uwsgi: Any) -> tuple[int, ...]:
    """Return its version: 2.0.21 of ``b"2.0.21-debian"``."""
    words = re.findall(r"\d+", os.fsdecode(uwsgi.version))
    return tuple(map(int, words[:3]))


def _lazy(uwsgi: Any) -> bool:
    return bool(uwsgi.opt.get("lazy-apps") or uwsgi.opt.get("lazy"))


# THE CHILD

_callbacks: list[Callable[[], None]] = []


@lru_cache(maxsize=1)
def _listen() -> None:
    """Be told of forks, from now on; once in a process and its children."""
    uwsgi: Any = sys.modules.get("uwsgi")
    if uwsgi is None:
        os.register_at_fork(after_in_child=_gunicorn_has_forked)
    else:
        before = getattr(uwsgi, "post_fork_hook", None)
        uwsgi.post_fork_hook = lambda: _uwsgi_has_forked(uwsgi, before)


def _gunicorn_has_forked() -> None:
    """Call back at the end of a worker's start, if this child is to be one.

    A child that a worker forks has the same frame on its stack, but never gets to
    the end of a start.
    """
    for frame in _stack():
        is_arbiter = frame.f_globals.get("__name__") == _ARBITER
        if is_arbiter and frame.f_code.co_name == "spawn_worker":
            _after_init(frame.f_locals["worker"].cfg)
            return


def _after_init(cfg: Any) -> None:
    """Chain into ``post_worker_init`` of gunicorn, in this child's configuration."""
    before = cfg.post_worker_init

    def initialised(worker: Any) -> None:
        _tell()
        before(worker)

    cfg.set("post_worker_init", initialised)


def _uwsgi_has_forked(uwsgi: Any, before: Callable[[], object] | None) -> None:
    if uwsgi.worker_id() and not uwsgi.mule_id():
        _tell()
    if before is not None:
        before()


def _tell() -> None:
    for callback in tuple(_callbacks):
        callback()


def _stack() -> Iterator[FrameType]:
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001 - the only way
    while frame is not None:
        yield frame
        frame = frame.f_back
