"""Relational databases: one pool of connections for all versions.  Effects.

Needs the extra ``sqlalchemy``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import create_engine
from sqlalchemy.engine import Engine

from pointsman.resources.shared import Shared

if TYPE_CHECKING:
    from pointsman.namespace.space import Namespace


class SharedEngine(Shared):
    """A pool of connections, and an ``Engine`` over it for each version.

    An engine remembers the statements that it has compiled, with the mapped
    classes in them; the pool and the dialect remember nothing of a version.
    """

    def __init__(self, uri: str) -> None:
        """Connect to nothing yet.

        Raises:
            sqlalchemy.exc.ArgumentError: ``uri`` is none of SQLAlchemy.
            ImportError: the driver that it names is not installed.

        """
        super().__init__()
        # A connection that the database has dropped must cost no request its answer.
        self._engine = create_engine(uri, pool_pre_ping=True)

    def _make(self, space: Namespace | None) -> Engine:  # noqa: ARG002 - all alike
        shared = self._engine
        return Engine(shared.pool, shared.dialect, shared.url)

    def _end(self, view: Engine) -> None:
        view.clear_compiled_cache()

    def _close(self) -> None:
        self._engine.dispose()
