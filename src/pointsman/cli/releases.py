"""``release``: the versioned trees of a site, and which one serves.  Edge."""

from __future__ import annotations

import functools
import pwd
from typing import TYPE_CHECKING, Any

import click

from pointsman.cli import release_documents as documents
from pointsman.cli import releasing, root, tables
from pointsman.cli.options import REFUSED, ending, examples
from pointsman.cli.progress import Progress
from pointsman.cli.root import there
from pointsman.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

    from pointsman.releases.activation import Activation
    from pointsman.releases.layout import Root
    from pointsman.releases.report import Report
    from pointsman.releases.server import Account, OnStep, Server
    from pointsman.releases.store import Store

_PASTER, _APACHE = "paster", "apache"
_SERVERS = (_PASTER, _APACHE)


@click.group(
    no_args_is_help=True,
    epilog=examples(
        "pointsman release list",
        "pointsman release activate 1.5.0",
        "pointsman release rollback",
    ),
)
def release() -> None:
    """Build, switch and remove the releases of a site.

    A release is a tree below ROOT/releases that nobody changes any more.  All commands
    find the site by --root, or by the folder that they are called in.
    """


def _switching(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add what `activate` and `rollback` share; hand it over as ``activation``."""

    @functools.wraps(command)
    def switches(
        *,
        store: Store,
        server: str | None,
        user: str | None,
        ready_timeout: float,
        **given: Any,
    ) -> Any:
        account = _account(user)
        kind = server or _kind(store.root)
        activation = functools.partial(_activation, store, kind, account, ready_timeout)
        return command(store=store, activation=activation, **given)

    options = (
        click.option(
            "--watch",
            type=click.FloatRange(0, 86_400),
            default=30.0,
            metavar="SECONDS",
            show_default=True,
            help="How long it is on probation.",
        ),
        click.option(
            "--server",
            type=click.Choice(_SERVERS),
            help="Who serves the site.  [as it was activated last, or paster]",
        ),
        click.option(
            "--user",
            metavar="NAME",
            help="As whom it serves.  [as now, or as the owner of shared/var]",
        ),
        click.option(
            "--ready-timeout",
            type=click.FloatRange(0, min_open=True),
            default=120.0,
            metavar="SECONDS",
            show_default=True,
            help="When a release that does not answer is given up.",
        ),
    )
    wrapped: Callable[..., Any] = switches
    for option in reversed(options):
        wrapped = option(wrapped)
    return there(wrapped)


@release.command(
    epilog=examples(
        "pointsman release activate 1.5.0",
        "pointsman release activate mysite-1.5.0 --root /srv/mysite --watch 300",
        "pointsman release activate 1.5.0 --server apache",
    )
)
@click.argument("version", metavar="RELEASE", shell_complete=root.names)
@click.option(
    "--force",
    default="",
    metavar="REASON",
    help="Although it is in quarantine; the reason is logged.",
)
@ending
@_switching
def activate(
    *,
    version: str,
    force: str,
    watch: float,
    store: Store,
    activation: Callable[[OnStep], Activation],
    as_json: bool,
) -> int:
    """Let a release serve; no request is lost.

    Compares every file with the manifest, runs the release's own self-test as the
    serving user, starts it beside the running one, hands the sockets over, watches, and
    only then records it.  Whatever fails: what served before serves, and the release
    is in quarantine.
    """
    wanted = store.find(version)
    return _ended(
        activation,
        lambda one: one.activate(wanted, watch=watch, force=force),
        as_json=as_json,
    )


@release.command(
    epilog=examples(
        "pointsman release rollback",
        'pointsman release rollback --reason "orders are wrong"',
    )
)
@click.option("--reason", default="", metavar="TEXT", help="Why; for the record.")
@ending
@_switching
def rollback(
    *,
    reason: str,
    watch: float,
    store: Store,
    activation: Callable[[OnStep], Activation],
    as_json: bool,
) -> int:
    """Go back to the release that was committed before.

    The one that is left goes to quarantine.  While another command activates, this
    takes its release back.  Neither a network nor a build is needed.
    """
    del store
    return _ended(
        activation,
        lambda one: one.rollback(watch=watch, reason=reason),
        as_json=as_json,
    )


@release.command(
    "list",
    epilog=examples(
        "pointsman release list",
        "pointsman release list --root /srv/mysite --json | jq -r .current",
    ),
)
@ending
@there
def list_(*, store: Store, as_json: bool) -> int:
    """List the releases, the newest first; → is what is committed."""
    releases, entry = store.releases(), store.journal.read()
    if not as_json:
        documents.print_list(releases, entry)
        return 0
    current = store.current()
    tables.print_json(
        {
            "root": str(store.root.path),
            "current": None if current is None else str(current),
            "under_way": documents.under_way(entry),
            "releases": [documents.listed(one) for one in releases],
        }
    )
    return 0


@release.command(
    epilog=examples("pointsman release verify", "pointsman release verify 1.5.0")
)
@click.argument("versions", metavar="[RELEASE]...", nargs=-1, shell_complete=root.names)
@ending
@there
def verify(*, versions: tuple[str, ...], store: Store, as_json: bool) -> int:
    """Compare every file of releases, by default of all, with their manifests."""
    wanted = [store.find(one) for one in versions]
    wanted = wanted or [one.release for one in store.releases()]
    found = {}
    with Progress() as progress:
        for one in wanted:
            progress.say(f"reading {one}")
            found[one] = store.verify(one)
    wrong = any(found.values())
    if as_json:
        releases = [{"release": str(k), "differences": v} for k, v in found.items()]
        tables.print_json({"ok": not wrong, "releases": releases})
        return REFUSED if wrong else 0
    for one, differences in found.items():
        for line in differences:
            tables.say(f"{one}: {line}", "red")
        if not differences:
            tables.say(f"{one} is what was built")
    return REFUSED if wrong else 0


@release.command(epilog=examples("pointsman release prune --keep 3"))
@click.option(
    "--keep",
    type=click.IntRange(0),
    default=3,
    metavar="N",
    show_default=True,
    help="How many stay, the newest versions.",
)
@click.option(
    "--quarantined", is_flag=True, help="Also those in quarantine; they stay known."
)
@ending
@there
def prune(*, keep: int, quarantined: bool, store: Store, as_json: bool) -> int:
    """Remove old releases; never one in use, nor the current, nor the one before."""
    with Progress() as progress:
        progress.say(f"removing releases of {store.root.path}")
        found = store.prune(keep, quarantined=quarantined)
    if as_json:
        tables.print_json({"releases": [documents.pruned(one) for one in found]})
    else:
        documents.print_pruned(found)
    return 0


@release.command(epilog=examples("pointsman release clear 1.5.0"))
@click.argument("version", metavar="RELEASE", shell_complete=root.names)
@ending
@there
def clear(*, version: str, store: Store, as_json: bool) -> int:
    """Take a release out of quarantine: it may be activated again."""
    found = store.find(version)
    reason = store.quarantined(found)
    store.clear(found)
    if as_json:
        tables.print_json({"release": str(found), "reason": reason})
    else:
        tables.say(f"{found} may be activated again; it was in quarantine: {reason}")
    return 0


release.add_command(releasing.build)
release.add_command(releasing.publish)


# WHO SERVES


def _kind(root: Root) -> str:
    """Return how the site is served: as it was activated last."""
    from pointsman.releases.apache_files import ApacheFiles  # noqa: PLC0415 - see `root`

    return _APACHE if ApacheFiles(root).pointer.exists() else _PASTER


def _activation(
    store: Store,
    kind: str,
    account: Account | None,
    ready_timeout: float,
    on_step: OnStep,
) -> Activation:
    # They import all of the server: half a second that other commands save.
    from pointsman.cli.served import Paster  # noqa: PLC0415
    from pointsman.releases.activation import Activation  # noqa: PLC0415
    from pointsman.releases.apache import Apache  # noqa: PLC0415

    server: Server
    if kind == _APACHE:
        server = Apache(store.root, ready_timeout=ready_timeout)
    else:
        server = Paster(store.root, account=account, ready_timeout=ready_timeout)
    return Activation(store, server, kind=kind, account=account, on_step=on_step)


def _account(name: str | None) -> Account | None:
    if name is None:
        return None
    from pointsman.releases.server import Account  # noqa: PLC0415 - see `root`

    try:
        found = pwd.getpwnam(name)
    except KeyError as error:
        raise click.UsageError(
            f"--user {name}: this system has no such user"
        ) from error
    return Account(found.pw_uid, found.pw_gid)


# WHAT IS TOLD


def _ended(
    activation: Callable[[OnStep], Activation],
    call: Callable[[Activation], Report],
    *,
    as_json: bool,
) -> int:
    """Go through it, telling each step, and then what came of it."""
    from pointsman.releases.proof import UnprovenError  # noqa: PLC0415 - see `root`

    try:
        with Progress() as progress:
            found = call(activation(_telling(progress, as_json=as_json)))
    except UnprovenError as error:
        if error.output and not as_json:  # the sentence comes from `ending`
            tables.say(error.output.rstrip())
        elif error.output:
            raise ConfigError(f"{error}\n{error.output.rstrip()}") from error
        raise
    if as_json:
        tables.print_json(documents.report(found))
    else:
        documents.print_report(found)
    return 0 if found.good else REFUSED


def _telling(progress: Progress, *, as_json: bool) -> OnStep:
    """Tell each step: on one line of a terminal, elsewhere one after the other."""

    def told(name: str, detail: str) -> None:
        sentence = f"{name}: {detail}" if detail else name
        if progress.is_shown:
            progress.say(sentence)
        elif not as_json:
            tables.note(sentence)

    return told
