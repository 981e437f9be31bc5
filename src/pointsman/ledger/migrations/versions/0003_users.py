# ruff: noqa: INP001 - Alembic reads these files by their paths
"""Those who sign in with a name and a password.  Effects.

It only adds, so programs that know the first tables go on working.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add their table."""
    op.create_table(
        "user",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("hash", sa.Text, nullable=False, server_default=""),
        sa.Column("role", sa.String(20), nullable=False),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.Column("created_by", sa.Text, nullable=False, server_default=""),
        sa.Column("disabled_at", sa.Double, nullable=True),
        sa.Column("used_at", sa.Double, nullable=True),
        sa.PrimaryKeyConstraint("id", name="user_key"),
    )
