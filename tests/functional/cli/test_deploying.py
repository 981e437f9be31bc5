"""Deploying, going back, stopping: the same through a server and without one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from cluster_site import digest, shop, stock

if TYPE_CHECKING:
    from cluster_site import ClusterSite
    from functional.cli.operator import Operator

BROKEN = "import nothing_like_that\n"


def active(operator: Operator) -> dict[str, str]:
    """Return package and digest of what is served."""
    return {
        one["package"]: one["digest"] for one in operator.ask("packages")["packages"]
    }


def deployed(operator: Operator, **sources: str) -> dict[str, Any]:
    """Deploy modules that must become active."""
    document = operator.ask("deploy", *operator.write(**sources))
    assert "active" == document["state"]
    return dict(document)


def test_files_that_go_together_are_one_generation(operator: Operator) -> None:
    """Several files become active at once; the same again makes nothing new."""
    files = operator.write(shop=shop(1), stock=stock(1))

    first = operator.run("deploy", *files, "--note", "the first")
    second = operator.run("deploy", *files)

    assert "generation 1 is active" in first.out
    assert "nothing to do: generation 1 has all of it" in second.out
    assert {"shop": digest(shop(1)), "stock": digest(stock(1))} == active(operator)
    (one,) = operator.ask("history")["generations"]
    assert ("deploy", "the first") == (one["what"], one["note"])


def test_what_fails_changes_nothing_and_shows_why(operator: Operator) -> None:
    """Exit code 1, reason and traceback, and the last good one stays."""
    deployed(operator, stock=stock(1))

    failed = operator.run("deploy", *operator.write(stock=BROKEN), code=1)

    assert "ModuleNotFoundError: No module named 'nothing_like_that'" in failed.out
    assert 'File "' in failed.out
    assert "generation 2 failed, and nothing changed" in failed.out
    assert {"stock": digest(stock(1))} == active(operator)
    assert "failed" == operator.ask("show", "2")["state"]


def test_a_dry_run_tells_all_and_changes_nothing(operator: Operator) -> None:
    """What changes, who is loaded again, the difference; no generation is made."""
    deployed(operator, shop=shop(1), stock=stock(1))
    (file,) = operator.write(stock=stock(2))

    told = operator.run("deploy", file, "--dry-run")
    document = operator.ask("deploy", file, "--dry-run", "--remove", "shop")

    assert "-VERSION = 1\n+VERSION = 2\n" in told.out
    assert "against generation 1; nothing was changed" in told.out
    plan = {one["package"]: one["status"] for one in document["packages"]}
    assert {"shop": "removed", "stock": "updated"} == plan
    assert 1 == len(operator.ask("history")["generations"])


@pytest.mark.parametrize("way", [(), ("--dry-run",)])
def test_a_package_is_named_once(operator: Operator, way: tuple[str, ...]) -> None:
    """Deployed and removed, or twice removed: nobody knows which was meant."""
    deployed(operator, crm="X = 1\n")
    (file,) = operator.write(crm="X = 2\n")

    both = operator.run("deploy", file, "--remove", "crm", *way, code=1)
    twice = operator.run("deploy", "--remove", "crm", "--remove", "crm", *way, code=1)
    files = operator.run("deploy", file, file, *way, code=1)

    told = "refused (400 Bad Request): 'crm' is to be deployed or removed twice"
    assert [True] * 3 == [told in done.err for done in (both, twice, files)]
    assert {"crm": digest("X = 1\n")} == active(operator)


def test_a_dry_run_names_the_dependents(operator: Operator) -> None:
    """Who imports what changes is loaded again with it, and is told."""
    deployed(operator, shop=shop(1), stock=stock(1))
    (file,) = operator.write(stock=stock(2))

    (planned,) = operator.ask("deploy", file, "--dry-run")["packages"]

    assert ["shop"] == planned["importers"]


def test_only_on_top_of_what_was_seen(operator: Operator) -> None:
    """--if-match refuses when somebody else was faster."""
    deployed(operator, stock=stock(1))
    (file,) = operator.write(stock=stock(2))

    refused = operator.run("deploy", file, "--if-match", "7", code=1)
    operator.run("deploy", file, "--if-match", "1")

    assert "refused (412" in refused.err
    assert {"stock": digest(stock(2))} == active(operator)


def test_one_package_goes_back(operator: Operator) -> None:
    """To what it was; to a generation; to a digest; not to nothing."""
    for version in (1, 2, 3):
        deployed(operator, stock=stock(version))

    operator.run("rollback", "stock")
    assert {"stock": digest(stock(2))} == active(operator)
    operator.run("rollback", "stock", "--to", "1")
    assert {"stock": digest(stock(1))} == active(operator)
    operator.run("rollback", "stock", "--to", digest(stock(3))[:12])
    assert {"stock": digest(stock(3))} == active(operator)
    refused = operator.run("rollback", "nobody", code=1)
    assert "refused (404" in refused.err


def test_a_whole_generation_comes_back(operator: Operator) -> None:
    """Packages that came later go; what was stopped is stopped again."""
    deployed(operator, shop=shop(1), stock=stock(1))
    operator.run("stop", "shop.shop")
    operator.run("start", "shop.shop")
    deployed(operator, stock=stock(2), other="VERSION = 1\n")

    operator.run("rollback", "--to", "2")

    assert {"shop": digest(shop(1)), "stock": digest(stock(1))} == active(operator)
    (service,) = operator.ask("services")["services"]
    assert ("shop.shop", "/shop", "stopped") == (
        service["name"],
        service["path"],
        service["state"],
    )


def test_a_service_that_is_not_there_cannot_be_stopped(operator: Operator) -> None:
    """The nearest name is told."""
    deployed(operator, shop=shop(1), stock=stock(1))

    refused = operator.run("stop", "shop.shoq", code=1)

    assert "did you mean 'shop.shop'?" in refused.err


def test_what_others_import_goes_with_them_only(operator: Operator) -> None:
    """Refused with their names, unless they go too; one generation for both."""
    deployed(operator, shop=shop(1), stock=stock(1))

    refused = operator.run("undeploy", "stock", code=1)
    done = operator.ask("undeploy", "stock", "--cascade")

    assert "shop import" in refused.err
    assert ["shop", "stock"] == [change["package"] for change in done["changes"]]
    assert {} == active(operator)


def test_several_packages_go_at_once(operator: Operator) -> None:
    """Names that are all there make one generation; an unknown one, none."""
    deployed(operator, one="X = 1\n", two="X = 2\n")

    refused = operator.run("undeploy", "one", "too", code=1)
    operator.run("undeploy", "one", "two")

    assert "did you mean 'two'?" in refused.err
    assert {} == active(operator)
    assert 2 == len(operator.ask("history")["generations"])


def test_show_has_votes_and_the_difference(operator: Operator) -> None:
    """Who, each node's vote, and the sources that are different."""
    deployed(operator, stock=stock(1))
    deployed(operator, stock=stock(2))

    told = operator.run("show", "2").out
    document = operator.ask("show", "2")

    assert "-VERSION = 1\n+VERSION = 2\n" in told
    (vote,) = document["votes"]
    assert vote["loaded"]
    assert vote["node"] in told
    assert document["actor"]["name"] in told
    assert "there is no generation 9" in operator.run("show", "9", code=1).err


def test_show_without_what_was_before(operator: Operator, cluster: ClusterSite) -> None:
    """The record is told, and why there is no difference."""
    for version in (1, 2, 3):
        deployed(operator, stock=stock(version))
    with cluster.ledger() as ledger:
        ledger.prune(2)

    told, document = operator.run("show", "2"), operator.ask("show", "2")

    assert "generation 2: retired" in told.out
    assert "generation 1, which was active before it, is not kept" in told.err
    assert ("retired", None) == (document["state"], document["packages"])


def test_what_is_no_artifact_is_refused(operator: Operator) -> None:
    """A file of another kind, and one that is not the package it should be."""
    picture = operator.folder / "picture.png"
    picture.write_bytes(b"\x89PNG\r\n")
    (file,) = operator.write(stock=stock(1))

    assert "picture.png" in operator.run("deploy", str(picture), code=1).err
    operator.run("deploy", file, "--package", "other", code=1)
    operator.run("deploy", file, "--package", "stock")
