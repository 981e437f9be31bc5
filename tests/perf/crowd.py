"""A process full of clients, and what they got."""

from __future__ import annotations

import json
import subprocess
import sys
from bisect import bisect
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

_CLIENT = Path(__file__).with_name("client.py")

#: Kinds whose answers take long on purpose: no gap or latency is read from them.
SLOW = "slow"


class Answer(NamedTuple):
    """One request as its client saw it; times are monotonic seconds."""

    ended: float
    took: float
    kind: str
    version: str
    wrong: str


@dataclass(frozen=True)
class Answers:
    """Answers in the order in which they ended."""

    all: tuple[Answer, ...]
    #: When the machine let the clients wait, and for how long.
    held_up: tuple[tuple[float, float], ...] = ()

    @classmethod
    def of(
        cls, found: Iterable[Answer], held_up: Iterable[Sequence[float]] = ()
    ) -> Answers:
        """Put them in order."""
        return cls(tuple(sorted(found)), tuple((one[0], one[1]) for one in held_up))

    def between(self, start: float, end: float) -> Answers:
        """Return those that ended between two moments."""
        return Answers(
            tuple(a for a in self.all if start <= a.ended < end),
            tuple(one for one in self.held_up if start <= one[0] < end),
        )

    def quick(self) -> Answers:
        """Leave out those that are slow on purpose."""
        quick = tuple(a for a in self.all if a.kind != SLOW)
        return Answers(quick, self.held_up)

    def longest_hold_up(self) -> float:
        """Return how long the clients themselves were not run, at most."""
        return max((late for _, late in self.held_up), default=0.0)

    @property
    def failed(self) -> list[str]:
        """What went wrong, except for torn answers."""
        return [a.wrong for a in self.all if a.wrong and not a.wrong.startswith("torn")]

    @property
    def torn(self) -> list[str]:
        """Which answers came from two versions."""
        return [a.wrong for a in self.all if a.wrong.startswith("torn")]

    @property
    def versions(self) -> set[str]:
        """Who has answered."""
        return {a.version for a in self.all if a.version}

    def first(self, version: str) -> float | None:
        """Return when a version answered for the first time."""
        return next((a.ended for a in self.all if a.version == version), None)

    def gaps(self) -> list[float]:
        """Return the times without an answer, the longest first, in seconds."""
        good = [a.ended for a in self.all if not a.wrong]
        found = (after - before for before, after in pairwise(good))
        return sorted(found, reverse=True)

    def own_gaps(self) -> list[float]:
        """Return the gaps without what the machine held the clients up in them."""
        good = [a.ended for a in self.all if not a.wrong]
        ends = [end for end, _ in self.held_up]
        found = []
        for before, after in pairwise(good):
            # One that ends just after the gap began before it did.
            inside = self.held_up[bisect(ends, before) : bisect(ends, after) + 1]
            lost = sum(
                max(0.0, min(end, after) - max(end - late, before))
                for end, late in inside
            )
            found.append(after - before - lost)
        return sorted(found, reverse=True)

    def latency(self, share: float) -> float:
        """Return what that share of the answers did not exceed, in seconds."""
        return quantile([a.took for a in self.all], share)


def quantile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that ``share`` of all values do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


class Crowd:
    """Clients that ask until `stop`."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self._answers: Answers | None = None

    def stop(self) -> Answers:
        """End the clients after their current requests; return what they got."""
        if self._answers is None:
            output, _ = self._process.communicate()
            told: dict[str, Any] = json.loads(output)
            found = (Answer(*one) for each in told["clients"] for one in each)
            self._answers = Answers.of(found, told["held_up"])
        return self._answers


@contextmanager
def crowd(port: int, plans: Iterable[dict[str, Any]]) -> Iterator[Crowd]:
    """Let clients ask a server of this machine, by `plan` each."""
    told = [{"host": "127.0.0.1", "port": port, **each} for each in plans]
    process = subprocess.Popen(
        [sys.executable, "-S", str(_CLIENT)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        if process.stdin is None:  # pragma: no cover - for the type
            raise AssertionError
        process.stdin.write(json.dumps(told) + "\n")
        process.stdin.flush()
        made = Crowd(process)
        try:
            yield made
        finally:
            made.stop()


def plan(
    requests: Sequence[dict[str, Any]], *, keep_alive: bool, period: float
) -> dict[str, Any]:
    """Describe one client; it asks once each ``period`` seconds, in turn."""
    return {"requests": list(requests), "keep_alive": keep_alive, "period": period}
