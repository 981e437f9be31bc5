# ruff: noqa: INP001 - Alembic reads these files by their paths
"""Alembic's environment: migrates within the transaction it is given.  Effects."""

from alembic import context

from pointsman.ledger.schema import metadata

context.configure(
    connection=context.config.attributes["connection"], target_metadata=metadata
)
context.run_migrations()
