"""Who votes on what this command proposes: the nodes, or else itself.  Effects."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pointsman import identity, planning
from pointsman.cluster import NodeState
from pointsman.errors import Refused
from pointsman.node import Node

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

    from pointsman.cli.sections import Section
    from pointsman.cluster import NodeRecord
    from pointsman.interfaces import Ledger

_PAUSE = 0.02  # seconds between two looks at the ledger
_ANSWER = 10.0  # seconds that a node may take to answer
_VOTERS = frozenset({NodeState.READY, NodeState.JOINING})


class Voters:
    """The nodes of a ledger; and one in this process, where there is no other.

    One thread.  That one has the same ini, loads and votes, and answers no requests.
    """

    def __init__(
        self, ledger: Ledger, section: Section, tell: Callable[[str], None]
    ) -> None:
        """Look at nothing yet; ``tell`` hears what people should know."""
        self._ledger = ledger
        self._section = section
        self._tell = tell
        self.own: Node | None = None

    def close(self) -> None:
        """Stop voting."""
        if self.own is not None:
            self.own.close()

    def alive(self) -> tuple[NodeRecord, ...]:
        """Return the nodes that serve, but for those that are known dead."""
        nodes, now = self._ledger.nodes(), self._ledger.observe("").now
        gone = identity.gone(nodes)
        return tuple(
            one
            for one in nodes
            if one.serves and one.lease_until > now and one.id not in gone
        )

    def be_one(self) -> None:
        """Vote, where nobody else does.

        Raises:
            Refused: this machine cannot load what is active, so it has no vote.

        """
        if self.own is not None or any(one.state in _VOTERS for one in self.alive()):
            return
        self._tell("no node serves, so this command loads what is deployed, and votes")
        self._ledger.advance(identity.gone(self._ledger.nodes()))
        # The directories are for the nodes that serve: only what was asked for is
        # deployed here.
        settings = replace(
            self._section.settings, pickup_dirs=(), archive_dirs=(), archive_ids=()
        )
        conf = self._section.global_conf
        self.own = Node(settings, conf, starts=False, serves=False)
        self.own.start()
        if self.own.behind:
            detail = f"this machine {self.own.behind}; so it cannot vote"
            raise Refused(409, "Conflict", detail)

    def importers(self, package: str) -> Collection[str]:
        """Return the packages that import from one, at any distance."""
        return planning.affected([package], self._imports()) - {package}

    def _imports(self) -> Mapping[str, Collection[str]]:
        if self.own is not None:
            return self.own.imports()
        for one in self.alive():
            found = self.asked([one.id], "imports").get(one.id, {})
            if "imports" in found:
                known: Mapping[str, Collection[str]] = found["imports"]
                return known
        return {}

    def asked(self, nodes: Iterable[str], what: str) -> dict[str, dict[str, Any]]:
        """Put a question to nodes; return the answers that came in time.

        Raises:
            Refused: 404, there is no such node.

        """
        open_ = {node: self._ledger.ask(node, what) for node in nodes}
        told: dict[str, dict[str, Any]] = {}
        end = time.monotonic() + _ANSWER
        while open_ and time.monotonic() < end:
            for node, number in list(open_.items()):
                question = self._ledger.question(number)
                if question is not None and question.answer is not None:
                    told[node] = dict(question.answer)
                    del open_[node]
            if open_:
                time.sleep(_PAUSE)
        return told

    def reloaded(self, request: int, seconds: float) -> dict[str, Any]:
        """Wait for a reload that was requested; None for who has not answered."""
        end = time.monotonic() + seconds
        while True:
            found = {one.id: _answer(one, request) for one in self.alive()}
            if all(found.values()) or time.monotonic() > end:
                return found
            time.sleep(_PAUSE)


def _answer(node: NodeRecord, request: int) -> Any:
    found = node.report.get("reload")
    is_it = isinstance(found, dict) and int(found.get("number", 0)) >= request
    return found if is_it else None


def not_answered(node: str) -> Refused:
    """Return the refusal of a question that a node did not answer."""
    detail = (
        f"{node} has not answered within {_ANSWER:g} s; look at its process with py-spy"
    )
    return Refused(504, "Gateway Timeout", detail)
