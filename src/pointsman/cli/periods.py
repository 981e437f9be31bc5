"""How people say how long: 90d, 12h, never.  Decisions."""

from __future__ import annotations

import re

_PARTS = re.compile(r"(\d{1,9})([smhdw])", re.ASCII)
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


def seconds(text: str) -> float | None:
    """Return how many seconds ``90d`` or ``1d12h`` are; None is ``never``.

    Raises:
        ValueError: it is no period, or none at all.

    """
    word = text.strip().lower()
    if word == "never":
        return None
    parts = _PARTS.findall(word)
    total = sum(int(number) * _SECONDS[unit] for number, unit in parts)
    if not total or "".join(number + unit for number, unit in parts) != word:
        message = f"{text!r} is no period; write like 90d, 12h, 1d12h, 8w, or never"
        raise ValueError(message)
    return float(total)
