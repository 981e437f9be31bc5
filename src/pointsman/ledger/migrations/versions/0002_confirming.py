# ruff: noqa: INP001 - Alembic reads these files by their paths
"""Reloads that confirm removals; indexes for pruning and for the queue.  Effects.

It only adds, so programs that know the first tables go on working.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add them."""
    op.add_column(
        "cluster",
        sa.Column(
            "confirming", sa.Integer, nullable=False, server_default=sa.text("0")
        ),
    )
    op.create_index("generation_by_state", "generation", ["state"])
    op.create_index("change_by_digest", "change", ["digest"])
    op.create_index("entry_by_digest", "entry", ["digest"])
