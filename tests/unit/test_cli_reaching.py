"""Which cluster is meant, with whose token, and what is asked of it."""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import click
import pytest
from click.testing import CliRunner, Result

from pointsman.cli import hosts, main, reaching
from pointsman.cli.hosts import UnreachableError
from pointsman.cli.reached import Change
from pointsman.cli.where import Where
from pointsman.errors import ConfigError, LedgerError, Refused

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

INI = """
[app:main]
use = egg:pointsman
work_dir = %(here)s/var

[server:main]
use = egg:pointsman#server
port = 1
"""
VERDICT: dict[str, Any] = {
    "generation": 1,
    "state": "active",
    "what": "deploy",
    "changes": [],
    "stop": [],
    "start": [],
    "reason": "",
    "votes": [],
    "timings": {"queued_ms": 1.0, "staging_ms": 2.0, "switching_ms": None},
    "unchanged": False,
    "timed_out": False,
    "late": [],
}


@pytest.fixture(name="ini")
def _ini(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give the deploy.ini of the current folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("POINTSMAN_TOKEN", raising=False)
    ini = tmp_path / "deploy.ini"
    ini.write_text(INI)
    return ini


# WHICH ONE, AND WITH WHICH TOKEN


def test_the_token_of_this_folder_goes_to_this_machine_only(ini: Path) -> None:
    """A deploy.ini that happens to lie here says nothing to a host elsewhere.

    Broken on purpose: with the ini taken for every URL, its token goes out.
    """
    away = Where(url="https://site.example")
    here = Where(url="http://127.0.0.1:8080")

    assert None is reaching.completed(away).ini
    assert None is hosts.target(reaching.completed(away)).token_file
    assert (
        ini.parent / "var/control.token"
        == hosts.target(reaching.completed(replace(here, ini=ini))).token_file
    )
    assert None is not reaching.completed(here).ini


def test_tokens_have_an_order(ini: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The option, then the environment, then the ini."""
    monkeypatch.setenv("POINTSMAN_TOKEN", " secret\n")
    given = ini.parent / "given.token"

    assert ("secret", ini.parent / "var/control.token") == (
        hosts.target(Where(ini=ini)).token,
        hosts.target(Where(ini=ini)).token_file,
    )
    found = hosts.target(Where(ini=ini, token_file=given))
    assert ("", given) == (found.token, found.token_file)
    assert "secret" not in repr(hosts.target(Where(ini=ini)))


def test_no_token_at_all_says_where_it_could_be(ini: Path) -> None:
    """Nothing is sent without a token."""
    line = hosts.Line(hosts.target(Where(url="http://127.0.0.1:1")), 1)
    with pytest.raises(ConfigError, match="--token-file, or put it into POINTSMAN"):
        line.ask("GET", "/api/v1/packages")
    line.close()


def test_a_bare_url_leads_to_the_control_path(ini: Path) -> None:
    """With a path of its own, a URL is taken as it is."""
    bare = hosts.target(Where(url="https://site.example/")).url
    whole = hosts.target(Where(url="https://site.example/ops/")).url

    assert "https://site.example/_pointsman" == bare
    assert "https://site.example/ops" == whole


def test_options_that_exclude_each_other_are_wrong_usage(ini: Path) -> None:
    """A ledger is found by its ini, not by a URL."""
    with pytest.raises(click.UsageError, match="exclude each other"):
        reaching.completed(Where(url="http://127.0.0.1", ledger=True))


def test_who_signs_in_sends_no_token(ini: Path) -> None:
    """Name and password go out as RFC 7617 says, and are not shown by accident."""
    target = replace(
        hosts.target(Where(ini=ini)), user="test", password="123\N{POUND SIGN}"
    )

    assert "Basic dGVzdDoxMjPCow==" == hosts._authorization(target)
    assert "123" not in repr(target)


@pytest.mark.parametrize("other", [{"ledger": True}, {"token_file": "x"}])
def test_one_way_to_say_who_asks(ini: Path, other: dict[str, Any]) -> None:
    """A ledger asks nobody, and a token is no user."""
    with pytest.raises(click.UsageError, match=r"--user and --.*exclude each other"):
        reaching.completed(Where(ini=ini, user="anna", **other))


# WHAT IS ASKED


@dataclass
class Recorder:
    """A cluster that takes everything, and remembers what it was asked."""

    asked: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = field(
        default_factory=list
    )
    answer: dict[str, Any] = field(default_factory=lambda: dict(VERDICT))
    error: Exception | None = None

    def __getattr__(self, name: str) -> Any:
        def ask(*words: Any, **named: Any) -> dict[str, Any]:
            if self.error is not None:
                raise self.error
            self.asked.append((name, words, named))
            return self.answer

        return ask


@pytest.fixture(name="cluster")
def _cluster(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    cluster = Recorder()

    @contextmanager
    def reached(_: Where, **__: bool) -> Iterator[Recorder]:
        yield cluster

    for module in ("deploying", "history", "looking", "people", "reloading", "users"):
        monkeypatch.setattr(f"pointsman.cli.{module}.reached", reached)
    return cluster


def run(*words: str, code: int = 0) -> Result:
    """Run a command; check how it ends."""
    found = CliRunner().invoke(main, list(words))
    assert code == found.exit_code, found.output
    return found


def test_deploy_says_all_at_once(cluster: Recorder, tmp_path: Path) -> None:
    """Files, removals, note, condition and patience reach the cluster together."""
    files = [tmp_path / "a.py", tmp_path / "b.sar"]
    for file in files:
        file.write_text("x = 1\n")

    run(
        *("deploy", *map(str, files), "--remove", "old", "--note", "why"),
        *("--if-match", "0", "--wait", "7"),
    )

    ((name, (uploads, remove, change, _), _),) = cluster.asked
    assert "deploy" == name
    assert ["a.py", "b.sar"] == [one.name for one in uploads]
    assert [6, 6] == [one.size for one in uploads]
    assert ("old",) == remove
    assert Change(7.0, "why", 0) == change


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["rollback", "crm"], ("rollback", ("crm", None))),
        (["rollback", "crm", "--to", "3f2a9c"], ("rollback", ("crm", "3f2a9c"))),
        (["rollback", "--to", "12"], ("rollback_to", (12,))),
        (["stop", "a.b", "a.c"], ("stop", (("a.b", "a.c"),))),
        (["start", "a.b"], ("start", (("a.b",),))),
        (["undeploy", "a", "b"], ("undeploy", (("a", "b"),))),
    ],
)
def test_each_change_is_asked_for(
    cluster: Recorder, words: list[str], expected: tuple[str, tuple[Any, ...]]
) -> None:
    """The words mean what they say, and --no-wait means not to wait."""
    run(*words, "--no-wait")

    ((name, given, _),) = cluster.asked
    *subject, change = given
    assert expected == (name, tuple(subject))
    assert Change(0.0) == change


@pytest.mark.parametrize(
    "words",
    [
        ["deploy"],
        ["deploy", "--watch", ".", "--remove", "x"],
        ["deploy", "--remove", "x", "--package", "y"],
        ["deploy", "no-such-file.py"],
        ["rollback"],
        ["rollback", "--to", "3f2a9c"],
        ["undeploy"],
        ["stop"],
        ["show", "0"],
        ["show", "crm"],
        ["history", "-n", "0"],
        ["token", "create", "ci", "--role", "boss"],
        ["token", "create", "ci", "--expires", "soon"],
        ["deploy", "--remove", "x", "--wait", "99999"],
        ["packages", "--var", "nothing"],
        ["ledger", "check", "--url", "http://127.0.0.1"],
    ],
)
def test_wrong_usage_is_two(
    cluster: Recorder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str]
) -> None:
    """Nothing is asked of anybody then."""
    monkeypatch.chdir(tmp_path)

    run(*words, code=2)

    assert [] == cluster.asked


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (Refused(423, "Locked", "incident 42"), 1, "refused (423 Locked): incident 42"),
        (UnreachableError("nobody"), 3, "nobody"),
        (LedgerError("sqlite:///x", "is full"), 1, "the ledger sqlite:///x: is full"),
    ],
)
def test_errors_are_one_sentence_and_a_code(
    cluster: Recorder, error: Exception, code: int, said: str
) -> None:
    """As JSON it is still one document."""
    cluster.error = error

    plain = run("packages", code=code)
    document = json.loads(run("packages", "--json", code=code).stdout)

    assert f"pointsman: {said}\n" == plain.stderr
    assert "" == plain.stdout
    assert code == document["exit_code"]


def test_a_refused_generation_is_one_document(cluster: Recorder) -> None:
    """Exit code 1, and standard output is JSON with the votes."""
    cluster.answer |= {"state": "failed", "reason": "crm: boom"}

    found = run("undeploy", "crm", "--json", code=1)

    assert "failed" == json.loads(found.stdout)["state"]


def test_a_clash_in_a_plan_is_refused(cluster: Recorder, tmp_path: Path) -> None:
    """A dry run ends as the deployment would."""
    (tmp_path / "a.py").write_text("x = 1\n")
    one: dict[str, Any] = {
        "package": "a",
        "status": "added",
        "old": None,
        "new": None,
        "files": [],
    }
    planned = {**one, "importers": [], "mounts": ["/a"], "clash": "/a is taken"}
    cluster.answer = {"generation": 3, "packages": [planned]}

    found = run("deploy", str(tmp_path / "a.py"), "--dry-run", code=1)

    assert "a would be refused: /a is taken" in found.stdout
    assert ["plan"] == [name for name, *_ in cluster.asked]
