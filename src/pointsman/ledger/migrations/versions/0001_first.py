# ruff: noqa: INP001 - Alembic reads these files by their paths
"""The first tables.  Effects.

Written out, and not taken from `schema`: they stay what they were.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def _text(name: str) -> sa.Column[Any]:
    return sa.Column(name, sa.Text, nullable=False, server_default="")


def _number(name: str) -> sa.Column[Any]:
    return sa.Column(name, sa.Integer, nullable=False)


def _counter(name: str) -> sa.Column[Any]:
    return sa.Column(name, sa.Integer, nullable=False, server_default=sa.text("0"))


def _name(name: str, length: int = 200) -> sa.Column[Any]:
    return sa.Column(name, sa.String(length), nullable=False)


def _time(name: str, *, known: bool = False) -> sa.Column[Any]:
    return sa.Column(name, sa.Double, nullable=not known)


def _size(name: str) -> sa.Column[Any]:
    return sa.Column(name, sa.BigInteger, nullable=False, server_default=sa.text("0"))


def _of_generation() -> sa.Column[Any]:
    return sa.Column(
        "generation",
        sa.Integer,
        sa.ForeignKey("generation.number", ondelete="CASCADE"),
        nullable=False,
    )


def _entry(*, required: bool) -> list[sa.Column[Any]]:
    return [
        sa.Column(
            "digest",
            sa.String(64),
            sa.ForeignKey("artifact.digest"),
            nullable=not required,
        ),
        sa.Column("kind", sa.String(20), nullable=False, server_default=""),
        _text("file"),
        sa.Column("source", sa.Text, nullable=False, server_default="push"),
        _text("version"),
        _size("size"),
    ]


def upgrade() -> None:
    """Make the tables, with their one row where they have one."""
    _make_head()
    _make_artifacts()
    _make_generations()
    _make_nodes()
    _make_directories()
    _make_people()


def _make_head() -> None:
    schema = op.create_table(
        "schema",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        _number("version"),
        _number("oldest_usable_by"),
    )
    op.bulk_insert(schema, [{"id": 1, "version": 1, "oldest_usable_by": 1}])
    cluster = op.create_table(
        "cluster",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        _counter("active"),
        sa.Column("staging", sa.Integer),
        _counter("newest"),
        _counter("reloads"),
        sa.Column("lock_name", sa.Text),
        sa.Column("lock_address", sa.Text),
        sa.Column("lock_reason", sa.Text),
        _time("lock_since"),
    )
    op.bulk_insert(cluster, [{"id": 1}])


def _make_artifacts() -> None:
    op.create_table(
        "artifact",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("digest", sa.String(64), unique=True),
        _size("size"),
        _time("stored_at", known=True),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "chunk",
        sa.Column(
            "artifact",
            sa.Integer,
            sa.ForeignKey("artifact.id", ondelete="CASCADE"),
            nullable=False,
        ),
        _number("number"),
        sa.Column("data", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("artifact", "number"),
    )


def _make_generations() -> None:
    op.create_table(
        "generation",
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        _name("state", 20),
        *map(_text, ("actor", "address", "what", "note", "reason")),
        _number("base"),
        sa.Column("parent", sa.Integer),
        _time("timeout", known=True),
        _time("proposed_at", known=True),
        *map(_time, ("staged_at", "deadline", "decided_at")),
    )
    op.create_table(
        "change",
        _of_generation(),
        _name("package"),
        *_entry(required=False),
        sa.PrimaryKeyConstraint("generation", "package"),
    )
    op.create_table(
        "service_change",
        _of_generation(),
        sa.Column("service", sa.Text, nullable=False),
        sa.Column("stopped", sa.Boolean, nullable=False),
        sa.PrimaryKeyConstraint("generation", "service"),
    )
    op.create_table(
        "entry",
        _name("package"),
        *_entry(required=True),
        _number("since"),
        sa.Column("until", sa.Integer),
        sa.PrimaryKeyConstraint("package", "since"),
    )
    op.create_table(
        "stopped",
        sa.Column("service", sa.Text, nullable=False),
        _number("since"),
        sa.Column("until", sa.Integer),
        sa.PrimaryKeyConstraint("service", "since"),
    )


def _make_nodes() -> None:
    op.create_table(
        "node",
        sa.Column("id", sa.String(200), primary_key=True),
        _text("host"),
        _number("pid"),
        sa.Column("started", sa.BigInteger, nullable=False),
        _text("release"),
        _text("python"),
        _name("state", 20),
        _counter("generation"),
        _time("joined_at", known=True),
        _time("lease", known=True),
        _time("lease_until", known=True),
        _text("reason"),
        sa.Column("report", sa.JSON, nullable=False),
        sa.Column("serves", sa.Boolean, nullable=False),
    )
    op.create_table(
        "vote",
        _of_generation(),
        _name("node"),
        sa.Column("loaded", sa.Boolean),
        _text("reason"),
        sa.Column("failures", sa.JSON, nullable=False),
        _time("voted_at"),
        sa.Column("duration", sa.Double, nullable=False, server_default=sa.text("0")),
        _time("switched_at"),
        _text("departure"),
        sa.PrimaryKeyConstraint("generation", "node"),
    )
    op.create_table(
        "question",
        sa.Column("id", sa.Integer, primary_key=True),
        _name("node"),
        _text("what"),
        sa.Column("answer", sa.JSON),
        _time("asked_at", known=True),
        sqlite_autoincrement=True,
    )


def _make_directories() -> None:
    op.create_table(
        "scanner",
        sa.Column("location", sa.Text, primary_key=True),
        _name("node"),
        _time("lease", known=True),
        _time("lease_until", known=True),
    )
    op.create_table(
        "sighting",
        sa.Column("location", sa.Text, nullable=False),
        sa.Column("file", sa.Text, nullable=False),
        _name("digest", 64),
        sa.Column("package", sa.String(200), nullable=False, server_default=""),
        sa.PrimaryKeyConstraint("location", "file"),
    )
    op.create_table(
        "claim",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("claim", sa.Text, nullable=False, unique=True),
        _number("generation"),
    )
    op.create_table(
        "mount",
        sa.Column("key", sa.Text, primary_key=True),
        _name("package"),
    )


def _make_people() -> None:
    op.create_table(
        "token",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("digest", sa.String(64), nullable=False, unique=True),
        sa.Column("name", sa.Text, nullable=False),
        _name("role", 20),
        sa.Column("packages", sa.JSON, nullable=False),
        _time("created_at", known=True),
        _text("created_by"),
        *map(_time, ("expires_at", "revoked_at", "used_at")),
    )
    op.create_table(
        "event",
        sa.Column("id", sa.Integer, primary_key=True),
        _time("at", known=True),
        *map(_text, ("actor", "address", "what", "subject")),
        sa.Column("generation", sa.Integer),
        _text("detail"),
        sqlite_autoincrement=True,
    )
