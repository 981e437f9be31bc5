"""The tables of the ledger, the same in every database.  Values.

What a generation serves is not written down per generation.  Those that were active
follow each other in one line, so a row of ``entry`` tells *from* which generation
(``since``) *until* before which one (``until``, NULL for the active one) a package
was what it is.  A deployment of one package into a thousand writes two rows.  A
generation that never was active serves what its ``parent`` did, with its changes.

Strings have no limits but those of names; times are seconds since the epoch; the
generations that rows name by ``since`` and ``until`` may have been pruned.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    TypeDecorator,
    text,
)

if TYPE_CHECKING:
    from sqlalchemy import Dialect

#: The revision of these tables, as the last migration makes them.
VERSION: Final = 3

#: The first revision whose programs can work on these tables.
OLDEST_USABLE_BY: Final = 1

#: The most bytes in one row of ``chunk``.
CHUNK: Final = 1024 * 1024

metadata: Final = MetaData(
    naming_convention={
        "ix": "%(table_name)s_by_%(column_0_N_name)s",
        "uq": "%(table_name)s_one_%(column_0_N_name)s",
        "fk": "%(table_name)s_%(column_0_N_name)s",
        "pk": "%(table_name)s_key",
    }
)


class Words(TypeDecorator[str]):
    """Text that every database takes: what UTF-8 cannot tell is told escaped.

    Reasons and file names may hold anything, NUL and halves of surrogates too.
    """

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:  # noqa: ARG002
        """Escape what would be refused."""
        if value is None or (value.isascii() and "\0" not in value):
            return value
        told = value.encode("utf-8", "backslashreplace").decode()
        return told.replace("\0", "\\x00")


def _entry_columns(*, required: bool) -> list[Column[Any]]:
    """Return the columns of a `cluster.Entry`, but for its package."""
    return [
        Column(
            "digest", String(64), ForeignKey("artifact.digest"), nullable=not required
        ),
        Column("kind", String(20), nullable=False, server_default=""),
        Column("file", Words, nullable=False, server_default=""),
        Column("source", Words, nullable=False, server_default="push"),
        Column("version", Words, nullable=False, server_default=""),
        Column("size", BigInteger, nullable=False, server_default=text("0")),
    ]


def _string(name: str) -> Column[str]:
    return Column(name, Words, nullable=False, server_default="")


def _time(name: str) -> Column[float]:
    return Column(name, Double, nullable=True)


# THE SCHEMA ITSELF

schema = Table(
    "schema",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("version", Integer, nullable=False),
    Column("oldest_usable_by", Integer, nullable=False),
)

# Alembic's own: it says from where to migrate.
alembic_version = Table(
    "alembic_version",
    metadata,
    Column("version_num", String(32), nullable=False),
    PrimaryKeyConstraint("version_num", name="alembic_version_pkc"),
)

# THE ONE CLUSTER ROW: locked first by whoever changes a state, a ballot or a node

cluster = Table(
    "cluster",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("active", Integer, nullable=False, server_default=text("0")),
    Column("staging", Integer, nullable=True),
    Column("newest", Integer, nullable=False, server_default=text("0")),
    Column("reloads", Integer, nullable=False, server_default=text("0")),
    Column("confirming", Integer, nullable=False, server_default=text("0")),
    Column("lock_name", Words, nullable=True),
    Column("lock_address", Words, nullable=True),
    Column("lock_reason", Words, nullable=True),
    _time("lock_since"),
)

# ARTIFACTS

# Without a digest, it is still being stored.
artifact = Table(
    "artifact",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("digest", String(64), unique=True, nullable=True),
    Column("size", BigInteger, nullable=False, server_default=text("0")),
    Column("stored_at", Double, nullable=False),
    sqlite_autoincrement=True,
)

chunk = Table(
    "chunk",
    metadata,
    Column("artifact", ForeignKey("artifact.id", ondelete="CASCADE"), nullable=False),
    Column("number", Integer, nullable=False),
    Column("data", LargeBinary, nullable=False),
    PrimaryKeyConstraint("artifact", "number"),
)

# GENERATIONS

generation = Table(
    "generation",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("state", String(20), nullable=False),
    _string("actor"),
    _string("address"),
    _string("what"),
    _string("note"),
    _string("reason"),
    Column("base", Integer, nullable=False),
    Column("parent", Integer, nullable=True),
    Column("timeout", Double, nullable=False),
    Column("proposed_at", Double, nullable=False),
    _time("staged_at"),
    _time("deadline"),
    _time("decided_at"),
    Index("generation_by_state", "state"),
)

# Without a digest, the package is taken away.
change = Table(
    "change",
    metadata,
    Column(
        "generation",
        ForeignKey("generation.number", ondelete="CASCADE"),
        nullable=False,
    ),
    Column("package", String(200), nullable=False),
    *_entry_columns(required=False),
    PrimaryKeyConstraint("generation", "package"),
    Index("change_by_digest", "digest"),
)

service_change = Table(
    "service_change",
    metadata,
    Column(
        "generation",
        ForeignKey("generation.number", ondelete="CASCADE"),
        nullable=False,
    ),
    Column("service", Words, nullable=False),
    Column("stopped", Boolean, nullable=False),
    PrimaryKeyConstraint("generation", "service"),
)

entry = Table(
    "entry",
    metadata,
    Column("package", String(200), nullable=False),
    *_entry_columns(required=True),
    Column("since", Integer, nullable=False),
    Column("until", Integer, nullable=True),
    PrimaryKeyConstraint("package", "since"),
    Index("entry_by_digest", "digest"),
)

stopped = Table(
    "stopped",
    metadata,
    Column("service", Words, nullable=False),
    Column("since", Integer, nullable=False),
    Column("until", Integer, nullable=True),
    PrimaryKeyConstraint("service", "since"),
)

# NODES AND VOTES

node = Table(
    "node",
    metadata,
    Column("id", String(200), primary_key=True),
    _string("host"),
    Column("pid", Integer, nullable=False),
    Column("started", BigInteger, nullable=False),
    _string("release"),
    _string("python"),
    Column("state", String(20), nullable=False),
    Column("generation", Integer, nullable=False, server_default=text("0")),
    Column("joined_at", Double, nullable=False),
    Column("lease", Double, nullable=False),  # its length
    Column("lease_until", Double, nullable=False),
    _string("reason"),
    Column("report", JSON, nullable=False),
    Column("serves", Boolean, nullable=False),
)

vote = Table(
    "vote",
    metadata,
    Column(
        "generation",
        ForeignKey("generation.number", ondelete="CASCADE"),
        nullable=False,
    ),
    Column("node", String(200), nullable=False),
    Column("loaded", Boolean, nullable=True),
    _string("reason"),
    Column("failures", JSON, nullable=False),
    _time("voted_at"),
    Column("duration", Double, nullable=False, server_default=text("0")),
    _time("switched_at"),
    _string("departure"),  # why it does not count any more
    PrimaryKeyConstraint("generation", "node"),
)

# WHAT NODES ARE ASKED

question = Table(
    "question",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("node", String(200), nullable=False),
    _string("what"),
    Column("answer", JSON(none_as_null=True), nullable=True),
    Column("asked_at", Double, nullable=False),
    sqlite_autoincrement=True,
)

# DIRECTORIES

scanner = Table(
    "scanner",
    metadata,
    Column("location", Words, primary_key=True),
    Column("node", String(200), nullable=False),
    Column("lease", Double, nullable=False),  # its length
    Column("lease_until", Double, nullable=False),
)

sighting = Table(
    "sighting",
    metadata,
    Column("location", Words, nullable=False),
    Column("file", Words, nullable=False),
    Column("digest", String(64), nullable=False),
    Column("package", String(200), nullable=False, server_default=""),
    PrimaryKeyConstraint("location", "file"),
)

claim = Table(
    "claim",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("claim", Words, nullable=False, unique=True),
    Column("generation", Integer, nullable=False),
)

mount = Table(
    "mount",
    metadata,
    Column("key", Words, primary_key=True),
    Column("package", String(200), nullable=False),
)

# PEOPLE

token = Table(
    "token",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("digest", String(64), nullable=False, unique=True),
    Column("name", Words, nullable=False),
    Column("role", String(20), nullable=False),
    Column("packages", JSON, nullable=False),
    Column("created_at", Double, nullable=False),
    _string("created_by"),
    _time("expires_at"),
    _time("revoked_at"),
    _time("used_at"),
)

# In a disabled one, nothing is left of the password.
user = Table(
    "user",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", Words, nullable=False),
    _string("hash"),
    Column("role", String(20), nullable=False),
    Column("created_at", Double, nullable=False),
    _string("created_by"),
    _time("disabled_at"),
    _time("used_at"),
)

event = Table(
    "event",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("at", Double, nullable=False),
    _string("actor"),
    _string("address"),
    _string("what"),
    _string("subject"),
    Column("generation", Integer, nullable=True),
    _string("detail"),
    sqlite_autoincrement=True,
)
