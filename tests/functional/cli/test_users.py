"""Users: made by a command, through a server and without one; and signing in."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from cluster_site import stock
from functional.cli.operator import Operator, typed
from pointsman.cli import main

if TYPE_CHECKING:
    from cluster_site import ClusterSite

SECRET = "correct horse battery"


def entered(operator: Operator, *words: str, lines: str = SECRET, code: int = 0) -> str:
    """Run a command with lines on standard input; return all that it says."""
    found = CliRunner().invoke(main, [*words, *operator.where], input=f"{lines}\n")
    assert code == found.exit_code, found.output
    return found.output


def test_the_first_administrator_is_made_by_a_command(operator: Operator) -> None:
    """Made, listed, given another password, removed; nothing shows the password."""
    said = entered(operator, "user", "create", "anna", "--admin")
    said += entered(operator, "user", "create", "anna", code=1)
    said += entered(operator, "user", "create", "berit", lines="short", code=1)
    said += entered(operator, "user", "create", "berit", "--role", "viewer")
    (second, first) = operator.ask("user", "list")["users"]
    said += entered(operator, "user", "passwd", "anna", lines="another long password")
    said += entered(operator, "user", "passwd", "nobody", code=1)
    said += operator.run("user", "remove", "anna").out
    operator.run("user", "remove", "anna", code=1)
    table = operator.run("user", "list").out
    events = [one["what"] for one in operator.ask("events")["events"]]

    assert ("anna", "admin", "valid") == (first["name"], first["role"], first["state"])
    assert ("berit", "viewer") == (second["name"], second["role"])
    assert "refused (409" in said
    assert "12 to 200 characters" in said
    assert SECRET not in said
    assert "removed" in table
    assert ["user remove", "user passwd", "user create", "user create"] == events[:4]


def test_without_a_password_nothing_is_made(operator: Operator) -> None:
    """A script that forgets it is told so."""
    found = CliRunner().invoke(main, ["user", "create", "anna", *operator.where])

    assert 1 == found.exit_code
    assert "standard input has ended before the new password of anna" in found.output
    assert [] == operator.ask("user", "list")["users"]


@pytest.mark.parametrize("prompted", [False, True], ids=["pipe", "terminal"])
def test_a_password_on_a_terminal_is_typed_twice(
    cluster: ClusterSite, monkeypatch: pytest.MonkeyPatch, *, prompted: bool
) -> None:
    """There two that differ are asked for again; in a pipe one line is enough."""
    alone = Operator(
        cluster.folder, ("--ini", str(cluster.server("deploy").ini), "--ledger")
    )
    monkeypatch.setattr("pointsman.cli.passwords._is_terminal", lambda: prompted)
    lines = f"{SECRET}\nother\n{SECRET}\n{SECRET}" if prompted else SECRET
    said = entered(alone, "user", "create", "anna", lines=lines)

    assert prompted == ("new password of anna" in said)
    assert ["anna"] == [one["name"] for one in alone.ask("user", "list")["users"]]


def test_an_administrator_signs_in_and_deploys(cluster: ClusterSite) -> None:
    """`user create --admin` before the first start; then no token is needed at all."""
    server = cluster.server("deploy", control__token_file="")
    made = typed(
        cluster.folder,
        *("user", "create", "anna", "--admin", "--ini", str(server.ini)),
        given=f"{SECRET}\n",
    )
    server.start()
    there = Operator(cluster.folder, ("--ini", str(server.ini), "--user", "anna"))
    (file,) = there.write(stock=stock(1))
    denied = entered(there, "deploy", file, lines="a wrong password", code=1)
    entered(there, "deploy", file, "--note", "by hand")
    entered(there, "user", "create", "berit", lines=f"{SECRET}\n{SECRET}2")

    assert 0 == made.code, made.err
    assert "refused (401 Unauthorized): there is no user of this name" in denied
    with cluster.ledger() as ledger:
        who = {one.what: one.actor.name for one in ledger.events()}
        found = {one.name: one.created_by for one in ledger.users()}
    assert "user anna" == who["deploy"]
    assert "user anna" == found["berit"]
    assert found["anna"].startswith("cli ")
