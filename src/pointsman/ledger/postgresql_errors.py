"""What PostgreSQL's errors mean to whoever runs the site.  Decisions."""

from __future__ import annotations

from typing import Final

_AWAY: Final = (
    "it does not answer ({said}); start it, or look at the network between here and "
    "it; it is tried again by itself"
)
_REFUSED: Final = (
    "it does not let us in ({said}); look at the user, the password and pg_hba.conf"
)
_NO_DATABASE: Final = (
    "there is no such database ({said}); make it: createdb --encoding=UTF8 NAME"
)
_NO_RIGHT: Final = (
    "its user may not do that ({said}); make that user the owner of the database"
)
_CROWDED: Final = (
    "it has no connection left for us ({said}); raise max_connections: a node needs "
    "three, and more at moments of many uploads"
)
_FULL: Final = "its disk is full ({said}); free some, nothing was written meanwhile"
_LOCKED: Final = (
    "another process has kept a lock for {busy:g} s ({said}); pg_stat_activity shows "
    "who is idle in a transaction"
)
_STALLED: Final = (
    "this process was silent for too long in the middle of a transaction, which was "
    "undone ({said}); it is done again by itself"
)
_READ_ONLY: Final = (
    "it is a copy that can only be read ({said}); name the primary in ledger.url, or "
    "all of them with target_session_attrs=read-write"
)
_DAMAGED: Final = "it is damaged ({said}); put a backup in its place"
_CLASHED: Final = "two transactions were in each other's way ({said}); do it again"

#: By the first five, or else the first two, characters of the SQLSTATE.
_BY_STATE: Final = {
    "08": _AWAY,
    "28": _REFUSED,
    "3D": _NO_DATABASE,
    "42501": _NO_RIGHT,
    "53300": _CROWDED,
    "53100": _FULL,
    "55P03": _LOCKED,
    "57014": _LOCKED,
    "25P03": _STALLED,
    "25P04": _STALLED,
    "57P": _AWAY,
    "57": _AWAY,
    "25006": _READ_ONLY,
    "XX001": _DAMAGED,
    "XX002": _DAMAGED,
    "40": _CLASHED,
}

#: Texts of libpq, which has no states: it was never told one.
_BY_TEXT: Final = {
    "authentication failed": _REFUSED,
    "no pg_hba.conf entry": _REFUSED,
    "no password supplied": _REFUSED,
    "does not exist": _NO_DATABASE,
    "too many clients": _CROWDED,
    "remaining connection slots": _CROWDED,
    "too many connections": _CROWDED,
    "read-only": _READ_ONLY,
}

COMMITTING: Final = (
    "; it was lost while it was told to commit, so that may have been written, or "
    "not: look, before you do it again"
)


def sentence(error: BaseException, *, busy: float, committing: bool = False) -> str:
    """Say what is wrong, and what to do; ``busy`` is how long a lock is waited for.

    ``committing`` tells that nobody knows whether the transaction was committed.
    """
    said = " ".join(str(error).split()) or type(error).__name__
    text = _text_for(getattr(error, "sqlstate", None), said)
    told = text.format(said=said, busy=busy)
    return told + COMMITTING if committing and text is _AWAY else told


def _text_for(state: str | None, said: str) -> str:
    if not state:
        found = (text for part, text in _BY_TEXT.items() if part in said)
        return next(found, _AWAY)
    return _BY_STATE.get(state) or _BY_STATE.get(state[:2]) or "{said}"
