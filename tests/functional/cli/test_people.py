"""Tokens, the lock, the audit log: through a server and without one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cluster_site import stock

if TYPE_CHECKING:
    import pytest

    from cluster_site import ClusterSite
    from functional.cli.operator import Operator


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


def test_a_token_opens_only_what_it_is_for(
    cluster: ClusterSite, operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The environment's token counts; one bound to packages deploys only these."""
    token = operator.run("token", "create", "crm", "--packages", "crm*").out.strip()
    if cluster.servers[0].process is None:
        cluster.servers[0].start()
    monkeypatch.setenv("POINTSMAN_TOKEN", token)
    url = f"http://127.0.0.1:{cluster.servers[0].port}"
    there = type(operator)(operator.folder, ("--url", url))
    crm, stock_ = there.write(crm="X = 1\n", stock=stock(1))

    there.run("deploy", crm)
    refused = there.run("deploy", stock_, code=1)

    assert "refused (403 Forbidden)" in refused.err
    assert "crm*" in refused.err


def test_a_lock_holds_off_others(
    cluster: ClusterSite, operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody else is refused with the reason, until it is taken away by force."""
    token = operator.run("token", "create", "other", "--role", "admin").out.strip()
    operator.run("lock", "incident 42")
    if cluster.servers[0].process is None:
        cluster.servers[0].start()
    monkeypatch.setenv("POINTSMAN_TOKEN", token)
    url = f"http://127.0.0.1:{cluster.servers[0].port}"
    other = type(operator)(operator.folder, ("--url", url))
    (file,) = other.write(stock=stock(1))

    refused = other.run("deploy", file, code=1)
    other.run("unlock", code=1)
    other.run("unlock", "--force")
    other.run("deploy", file)

    assert "refused (423" in refused.err
    assert "incident 42" in refused.err
