"""What the ledger knows: generations, votes, nodes, tokens, events.  Values.

All times are seconds since the epoch by the ledger's clock; all durations are
seconds.  A *digest* is a SHA-256 in 64 hex digits.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pointsman.model import Kind


class State(enum.StrEnum):
    """What became of a generation, in this order; the last two are ends."""

    QUEUED = "queued"  # waits until no other is staging
    STAGING = "staging"  # the nodes of its ballot load it and vote
    ACTIVE = "active"  # what every node shall serve; one at a time
    RETIRED = "retired"  # was active once, and can be gone back to
    FAILED = "failed"  # never was active, and never will be


class NodeState(enum.StrEnum):
    """What a node is able to do."""

    JOINING = "joining"  # has not loaded the active generation yet; no vote
    READY = "ready"  # serves the active generation, and votes
    BEHIND = "behind"  # cannot load the active generation; serves an older one
    DRAINING = "draining"  # on its way out; no vote


class Role(enum.StrEnum):
    """What a token allows; each allows what stands before it, too."""

    VIEWER = "viewer"
    DEPLOYER = "deployer"
    ADMIN = "admin"

    def covers(self, other: Role) -> bool:
        """Tell whether this role may do what ``other`` may."""
        order = list(Role)
        return order.index(self) >= order.index(other)


@dataclass(frozen=True, slots=True)
class Entry:
    """One package of a generation.

    ``file`` is the name of the file it came in; ``source`` tells who put it there:
    ``push`` for everything that is pushed (upload, command line, pick-up directory),
    or ``archives:<id>/<file>`` for what an archive directory holds.
    """

    package: str
    digest: str
    kind: Kind
    file: str
    source: str = "push"
    version: str = ""  # as its manifest says, for people
    size: int = 0  # bytes

    @property
    def source_kind(self) -> str:
        """Return ``push`` or ``archives``: only the same kind may replace it."""
        return self.source.partition(":")[0]


@dataclass(frozen=True, slots=True)
class Change:
    """What a proposal does to one package; without ``entry`` it is taken away."""

    package: str
    entry: Entry | None = None


@dataclass(frozen=True, slots=True)
class Sighting:
    """What a scanned directory showed, recorded with the proposal that it made.

    ``location`` is the identity of the directory, ``file`` a name in it.  Without
    ``digest`` the file was gone.  ``package`` is what it was deployed as.
    """

    location: str
    file: str
    digest: str = ""
    package: str = ""


@dataclass(frozen=True, slots=True)
class Actor:
    """Who asks for a change, and from where, for the audit log and the lock."""

    name: str  # "token deploy-bot", "control.token", "pick-up directory", "cli alice"
    address: str = ""  # of the client, or the host that the command ran on


@dataclass(frozen=True, slots=True)
class Proposal:
    """Changes that shall become one generation, all or nothing.

    ``what`` is a word for the log: deploy, undeploy, rollback, start, stop.
    ``if_match``: refuse unless this generation is the active one.  ``claims`` are
    the picked-up files that it answers for (see `interfaces.Ledger.claimed`).
    """

    actor: Actor
    what: str
    changes: tuple[Change, ...] = ()
    stop: frozenset[str] = frozenset()  # services to stop
    start: frozenset[str] = frozenset()  # services to start again
    note: str = ""
    if_match: int | None = None
    sightings: tuple[Sighting, ...] = ()
    claims: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Proposed:
    """Where a proposal went.

    ``unchanged``: nothing of it is new, and generation ``number`` (the active one,
    or one on its way) has it all already; no generation was made.
    """

    number: int
    unchanged: bool = False


@dataclass(frozen=True, slots=True)
class Contents:
    """What a generation serves: its packages by name, and its stopped services."""

    number: int
    entries: dict[str, Entry] = field(default_factory=dict)  # never changed
    stopped: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Failed:
    """Why one package could not be loaded on a node."""

    package: str
    reason: str
    traceback: str = ""


@dataclass(frozen=True, slots=True)
class Vote:
    """One node's part in a ballot.  ``loaded`` is None until it has voted."""

    node: str
    loaded: bool | None = None
    reason: str = ""
    failures: tuple[Failed, ...] = ()
    voted_at: float | None = None
    duration: float = 0.0  # of loading
    switched_at: float | None = None  # when its requests went to the generation
    left: str = ""  # why it does not count any more: it is gone, or drains


@dataclass(frozen=True, slots=True)
class Generation:
    """The record of one generation: who, what, how it went."""

    number: int
    state: State
    actor: Actor
    what: str
    base: int  # the generation that was active when it was proposed
    note: str = ""
    reason: str = ""  # why it failed
    changes: tuple[Change, ...] = ()
    stop: frozenset[str] = frozenset()
    start: frozenset[str] = frozenset()
    proposed_at: float = 0.0
    staged_at: float | None = None
    deadline: float | None = None  # until when all votes must be there
    decided_at: float | None = None  # active or failed
    votes: tuple[Vote, ...] = ()
    parent: int | None = None  # the one that was active when it was staged


@dataclass(frozen=True, slots=True)
class NodeRecord:
    """What the ledger knows of one node.  ``report`` is what it last said of itself.

    The report is a JSON object: in flight, lingering, stuck, shadowed, leaks,
    directories, problems.
    """

    id: str
    host: str
    pid: int
    started: int  # clock ticks since boot, as proc(5) tells it
    release: str
    python: str
    state: NodeState
    generation: int  # what it serves; 0 is none of the ledger's
    joined_at: float
    lease_until: float
    reason: str = ""  # why it is behind
    report: dict[str, object] = field(default_factory=dict)
    serves: bool = True  # answers requests; a command that only votes does not


@dataclass(frozen=True, slots=True)
class Observation:
    """What one node sees at one moment, read in one transaction.

    ``now`` is the ledger's clock.  ``staging`` is the generation that is staging,
    with its votes; ``queued`` tells whether another waits.  ``me`` is None when the
    ledger does not know the node (any more).  ``reloads`` counts the requests to
    read the sources again, ``confirming`` is the last that confirmed removals;
    ``questions`` are those for this node that have no answer.
    """

    now: float
    active: int
    staging: Generation | None = None
    queued: bool = False
    me: NodeRecord | None = None
    reloads: int = 0
    confirming: int = 0
    questions: tuple[Question, ...] = ()


@dataclass(frozen=True, slots=True)
class Question:
    """Something that one node is asked by way of the ledger: threads, leaks."""

    id: int
    node: str
    what: str
    answer: dict[str, object] | None = None


@dataclass(frozen=True, slots=True)
class Token:
    """A bearer token, without itself: only its SHA-256 is kept.

    ``packages`` are patterns (fnmatch); empty is all.
    """

    id: int
    name: str
    role: Role
    packages: tuple[str, ...] = ()
    created_at: float = 0.0
    created_by: str = ""
    expires_at: float | None = None
    revoked_at: float | None = None
    used_at: float | None = None


@dataclass(frozen=True, slots=True)
class User:
    """Somebody who signs in with a name and a password.

    Of the password only ``hash`` is kept, by argon2; it is left out of lists.
    """

    id: int
    name: str
    role: Role
    hash: str = field(default="", repr=False)
    created_at: float = 0.0
    created_by: str = ""
    disabled_at: float | None = None
    used_at: float | None = None


@dataclass(frozen=True, slots=True)
class Event:
    """One line of the audit log."""

    id: int
    at: float
    actor: Actor
    what: str  # "deploy", "token create", "lock", ...
    subject: str = ""  # a package, a token, a node
    generation: int | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class DeployLock:
    """Deployments are frozen for everybody but ``actor``."""

    actor: Actor
    reason: str
    since: float
