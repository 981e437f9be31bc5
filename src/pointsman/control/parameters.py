"""Parameters of the query that several calls have.  Values."""

from __future__ import annotations

from typing import Final

from pointsman.control.routes import Field

WAIT: Final = Field(
    "wait",
    "seconds",
    "as long is waited for all nodes, in seconds; then it is taken back (504). With "
    "0 nobody waits: 202",
    30.0,
)
PATIENCE: Final = Field(
    "wait", "seconds", "as long is waited for the other nodes, in seconds", 30.0
)
NOTE: Final = Field("note", "text", "kept with the generation, for people", "")
CASCADE: Final = Field(
    "cascade", "boolean", "undeploy those that import from it, too", default=False
)
DRY_RUN: Final = Field(
    "dry_run", "boolean", "tell what would change, and change nothing", default=False
)
FILE: Final = Field(
    "file",
    "text",
    "the name of the file; else that of Content-Disposition counts, or the content",
    "",
)
BEFORE: Final = Field("before", "generation", "only those with smaller numbers")


def limit(default: int, most: int) -> Field:
    """Return how many of something are told."""
    return Field("limit", "count", "as many are told at most", default, most)
