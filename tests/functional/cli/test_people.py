"""Tokens, the lock, the audit log: through a server and without one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cluster_site import stock
from functional.cli.operator import Operator

if TYPE_CHECKING:
    from cluster_site import ClusterSite


def test_a_token_is_made_listed_and_revoked(operator: Operator) -> None:
    """It is printed alone, once; the list tells all but itself."""
    made = operator.run(
        *("token", "create", "ci", "--role", "deployer", "--expires", "90d"),
        *("--packages", "crm*", "--packages", "shop"),
    )
    again = operator.run("token", "create", "ci", code=1)
    (listed,) = operator.ask("token", "list")["tokens"]
    operator.run("token", "revoke", "ci")
    (revoked,) = operator.ask("token", "list")["tokens"]

    secret = made.out.removesuffix("\n")
    assert secret.startswith("pm_")
    assert "\n" not in secret
    assert "refused (409" in again.err
    assert (["crm*", "shop"], "deployer", "valid") == (
        listed["packages"],
        listed["role"],
        listed["state"],
    )
    assert secret not in str(listed)
    assert "revoked" == revoked["state"]
    operator.run("token", "revoke", "ci", code=1)


def test_a_lock_is_taken_and_given_back(operator: Operator) -> None:
    """Its holder still deploys, and everybody sees it in the log."""
    (file,) = operator.write(stock=stock(1))

    told = operator.run("lock", "incident 42").out
    operator.run("deploy", file)
    operator.run("unlock")
    operator.run("unlock")

    assert "incident 42" in told
    events = [one["what"] for one in operator.ask("events")["events"]]
    assert {"lock", "deploy", "unlock"} <= set(events)


@pytest.mark.parametrize(
    "reason", ["", "  ", "x" * 501], ids=["empty", "blank", "long"]
)
def test_a_lock_needs_a_reason(operator: Operator, reason: str) -> None:
    """Others want to know why; nothing is locked without."""
    refused = operator.run("lock", reason, code=1)

    assert "refused (400 Bad Request)" in refused.err
    assert "lock" not in [one["what"] for one in operator.ask("events")["events"]]


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (("token", "revoke", "1" * 5000), 1, "there is no token '111"),
        (("show", "9" * 20), 2, "is not in the range"),
        (("lock", "bad \udcff"), 2, r"'bad \udcff' is not UTF-8"),
        (("stop", "crm\udcff"), 2, r"'crm\udcff' is not UTF-8"),
        (("undeploy", "crm", "--note", "\udcff"), 2, r"'\udcff' is not UTF-8"),
        (("undeploy", "crm", "--wait", "nan"), 2, "'nan' is not a number"),
        (("undeploy", "crm", "--timeout", "nan"), 2, "'nan' is not a number"),
        (("reload", "--wait", "nan"), 2, "'nan' is not a number"),
    ],
    ids=range(8),
)
@pytest.mark.parametrize("operator", ["ledger"], indirect=True)
def test_odd_words_are_refused_in_a_sentence(
    operator: Operator, words: tuple[str, ...], code: int, told: str
) -> None:
    """None of them is a traceback."""
    assert told in operator.run(*words, code=code).err


def test_tokens_open_only_what_they_are_for(
    cluster: ClusterSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One bound to packages deploys only these; a lock holds off all but its holder.

    The environment's token counts before that of the ini.
    """
    server = cluster.server("deploy").start()
    here = Operator(cluster.folder, ("--ini", str(server.ini), "--ledger"))
    crm = here.run("token", "create", "crm", "--packages", "crm*").out.strip()
    admin = here.run("token", "create", "other", "--role", "admin").out.strip()
    there = Operator(cluster.folder, ("--ini", str(server.ini)))
    files = there.write(crm="X = 1\n", stock=stock(1))

    monkeypatch.setenv("POINTSMAN_TOKEN", crm)
    there.run("deploy", files[0])
    bound = there.run("deploy", files[1], code=1)
    here.run("lock", "incident 42")
    monkeypatch.setenv("POINTSMAN_TOKEN", admin)
    locked = there.run("deploy", files[1], code=1)
    kept = there.run("unlock", code=1)
    there.run("unlock", "--force")
    there.run("deploy", files[1])

    assert "refused (403 Forbidden)" in bound.err
    assert "crm*" in bound.err
    assert "refused (423" in locked.err
    assert "incident 42" in locked.err
    assert "refused (423" in kept.err
