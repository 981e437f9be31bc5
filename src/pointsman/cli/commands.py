"""The ``pointsman`` command, put together.  Edge."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

import pointsman
from pointsman.cli import (
    checking,
    damage,
    deploying,
    history,
    init,
    looking,
    packing,
    people,
    releases,
    reloading,
    users,
)
from pointsman.cli.options import examples


@click.group(
    context_settings={"help_option_names": ["-h", "--help"]},
    no_args_is_help=True,
    epilog=examples(
        "pointsman check deploy.ini          what a start would do, without serving",
        "pointsman deploy crm.py shop.sar    one generation; no request is lost",
        "pointsman history                   what was deployed, and by whom",
        "pointsman rollback crm              to what it was before",
        "pointsman deploy --watch services/  each save, while you write it",
    ),
)
@click.version_option(pointsman.__version__, prog_name="pointsman")
def main() -> None:
    """Deploy services into running pointsman hosts, and look after them.

    A command asks the server that --url or --ini names.  When the ini is there, and
    no server answers, it works with the ledger itself.

    The server itself is started by paster: paster serve deploy.ini

    Exit codes: 0 done, 1 refused, 2 usage, 3 not reachable.
    """


@main.command(
    epilog=examples(
        "pointsman completion bash > /etc/bash_completion.d/pointsman",
        'pointsman completion zsh > "${fpath[1]}/_pointsman"',
        "pointsman completion fish > ~/.config/fish/completions/pointsman.fish",
    )
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print what a shell needs to complete the words of this command."""
    kind = get_completion_class(shell)
    if kind is None:  # pragma: no cover - the choices are click's own
        raise click.UsageError(f"nothing is known of {shell}")
    click.echo(kind(main, {}, "pointsman", "_POINTSMAN_COMPLETE").source())


for command in (
    init.init,
    checking.check,
    deploying.deploy,
    deploying.undeploy,
    deploying.rollback,
    deploying.start,
    deploying.stop,
    looking.packages,
    looking.services,
    looking.nodes,
    looking.threads,
    history.history,
    history.show,
    history.events,
    people.token,
    users.user,
    people.lock,
    people.unlock,
    packing.pack,
    reloading.reload,
    damage.ledger,
    releases.release,
):
    main.add_command(command)
