"""Log handlers that the code of a version has attached, and who goes on with them.

Each version attaches its own, and the replaced one's are detached in the switch, so
that no line is written twice.  But one that asks ``if not logger.handlers``, as
``logging.basicConfig`` does, finds those of the version that still serves, and attaches
none: it inherits them, until it attaches one to that logger itself.  Effects.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_log = logging.getLogger(__name__)
# As they are before `registries` takes them over: what is done here is nobody's.
_attach, _detach = logging.Logger.addHandler, logging.Logger.removeHandler


@dataclass(slots=True, eq=False)
class Inherited:
    """A handler that a later version goes on with; without origin that has ended."""

    logger: logging.Logger
    handler: logging.Handler
    origin: LogHandlers | None


@dataclass(slots=True, eq=False)
class LogHandlers:
    """The handlers of one version.  One thread at a time; `add` and `remove` any."""

    own: list[tuple[logging.Logger, logging.Handler]] = field(default_factory=list)
    _silenced: list[tuple[logging.Logger, logging.Handler]] = field(
        default_factory=list
    )
    _inherited: list[Inherited] = field(default_factory=list)
    _lent: list[Inherited] = field(default_factory=list)

    def add(self, logger: logging.Logger, handler: logging.Handler) -> None:
        """Note one that was attached; it takes the place of what was inherited."""
        self.own.append((logger, handler))
        for item in tuple(self._inherited):
            if item.logger is logger:
                self._inherited.remove(item)
                _give_back(item)

    def remove(self, logger: logging.Logger, handler: logging.Handler) -> None:
        """Forget one that the version has taken away itself."""
        if (logger, handler) in self.own:
            self.own.remove((logger, handler))

    def silence(self, heir: LogHandlers | None) -> None:
        """Let ``heir`` take over, where it has none of its own; detach the others."""
        for logger, handler in tuple(self.own):
            if handler not in logger.handlers:
                continue
            if heir is not None and not heir._has(logger):  # noqa: SLF001 - a sibling
                item = Inherited(logger, handler, self)
                self._lent.append(item)
                heir._inherited.append(item)  # noqa: SLF001
            else:
                self._silenced.append((logger, handler))
                _quietly(_detach, logger, handler)
        while self._inherited:
            self._pass_on(self._inherited.pop(0), heir)

    def _pass_on(self, item: Inherited, heir: LogHandlers | None) -> None:
        if heir is not None and item.origin is heir:  # it serves again
            heir._lent.remove(item)  # noqa: SLF001
        elif heir is None or heir._has(item.logger):  # noqa: SLF001
            _give_back(item)
        else:
            heir._inherited.append(item)  # noqa: SLF001

    def revive(self) -> None:
        """Attach again what was detached, for a version that serves again."""
        while self._silenced:
            _quietly(_attach, *self._silenced.pop(0))

    def end(self) -> None:
        """Detach and close all that nobody goes on with."""
        while self._inherited:
            _give_back(self._inherited.pop(0))
        lent = {id(item.handler) for item in self._lent}
        for item in self._lent:
            item.origin = None
        for logger, handler in tuple(self.own):
            if id(handler) not in lent:
                _quietly(_detach, logger, handler)
                _quietly(handler.close)

    def _has(self, logger: logging.Logger) -> bool:
        return any(logger is other for other, _ in self.own)


def _give_back(item: Inherited) -> None:
    _quietly(_detach, item.logger, item.handler)
    if item.origin is None:
        _quietly(item.handler.close)
        return
    item.origin._lent.remove(item)  # noqa: SLF001 - of the class above
    item.origin._silenced.append((item.logger, item.handler))  # noqa: SLF001


def _quietly(function: Callable[..., object], *arguments: object) -> None:
    try:
        function(*arguments)
    except BaseException:  # noqa: BLE001 - a stranger's handler must not stop ours
        _log.exception("%r of a replaced version failed", function)
