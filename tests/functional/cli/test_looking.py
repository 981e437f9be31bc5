"""What there is: services, nodes, threads, damage; and how a cluster is reached."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import threading
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from click.testing import CliRunner

from cluster_site import ClusterSite, shop, stock
from functional.cli.operator import Operator, command, environment, typed
from pointsman.cli import main
from pointsman.cluster import State
from waiting import wait_for

WAITS = """
import pathlib, time
from pointsman import Service

class Slow(Service):
    path = "/slow"

    def handle(self, request):
        while not pathlib.Path({gate!r}).exists():
            time.sleep(0.01)
        return "slow"
"""


def served(cluster: ClusterSite, **settings: str) -> Operator:
    """Return an operator beside a server that runs."""
    server = cluster.server("deploy", **settings).start()
    return Operator(cluster.folder, ("--ini", str(server.ini)))


def test_services_and_nodes_are_listed(cluster: ClusterSite) -> None:
    """Where, which artifact, who; by the server, and the same by the ledger."""
    operator = served(cluster)
    operator.run("deploy", *operator.write(shop=shop(1), stock=stock(1)))
    (record,) = cluster.wait_for_nodes(1)

    services, nodes = operator.run("services"), operator.run("nodes", "--leaks")
    beside = Operator(cluster.folder, (*operator.where, "--ledger"))
    known = beside.ask("services")["services"]

    assert "/shop  shop.shop" in services.out
    assert str(record.pid) in nodes.out
    assert f"{record.id}: nothing of an ended version is left" in nodes.out
    assert [("shop.shop", "/shop", "shop")] == [
        (one["name"], one["path"], one["package"]) for one in known
    ]
    (asked,) = beside.ask("nodes", "--leaks")["nodes"]
    assert (record.id, []) == (asked["node"], asked["leaks"])


@pytest.mark.parametrize("way", [(), ("--ledger",)])
def test_threads_name_the_service_that_they_work_for(
    cluster: ClusterSite, way: tuple[str, ...]
) -> None:
    """A node is known by its pid; a request in flight is seen in its service."""
    operator = served(cluster)
    gate = cluster.folder / "gate"
    operator.run("deploy", *operator.write(slow=WAITS.format(gate=str(gate))))
    (record,) = cluster.wait_for_nodes(1)
    asked = threading.Thread(target=cluster.servers[0].get, args=("/slow",))
    asked.start()
    beside = Operator(cluster.folder, (*operator.where, *way))

    def told() -> str:
        found = beside.run("threads", str(record.pid)).out
        return found if "works for slow.slow" in found else ""

    assert "in handle" in wait_for(told, "the service is in a stack")
    assert "there is no node '1'" in beside.run("threads", "1", code=1).err
    gate.touch()
    asked.join()


def test_a_server_that_is_down_gives_way_to_its_ledger(cluster: ClusterSite) -> None:
    """That is told in one line; what was deployed is served by the next start."""
    server = cluster.server("deploy").start()
    assert 0 == server.stop()
    operator = Operator(cluster.folder, ("--ini", str(server.ini)))

    done = operator.run("deploy", *operator.write(shop=shop(1), stock=stock(1)))

    assert "this goes to the ledger itself, sqlite:///" in done.err
    assert "no node serves" in done.err
    assert "no node serves it before the next start" in done.out
    server.start()
    assert "1 1" == server.text("/shop")


def test_without_server_and_ledger_nothing_is_reached(cluster: ClusterSite) -> None:
    """Exit code 3, and no ledger is made by looking."""
    server = cluster.server("deploy")
    operator = Operator(cluster.folder, ("--ini", str(server.ini)))

    document = operator.ask("packages", code=3)

    assert "there is no ledger yet" in document["error"]
    assert [] == cluster.files_in(cluster.folder / "ledger")


def test_an_ini_without_a_server_leads_to_its_ledger(cluster: ClusterSite) -> None:
    """As under mod_wsgi: nothing in the ini says where it listens."""
    server = cluster.server("deploy").start()
    ini = cluster.folder / "bare.ini"
    ini.write_text(server.ini.read_text().partition("[server:main]")[0])
    operator = Operator(cluster.folder, ("--ini", str(ini)))

    done = operator.run("deploy", *operator.write(stock=stock(1)))

    assert "has no [server:main]; this goes to the ledger itself" in done.err
    assert "generation 1 is active on 1 node" in done.out


def test_a_dead_node_is_not_waited_for(cluster: ClusterSite) -> None:
    """Its lease lasts on, but it was killed here: the command votes itself."""
    server = cluster.server("deploy").start()
    server.kill()
    operator = Operator(cluster.folder, ("--ini", str(server.ini), "--ledger"))

    done = operator.run("deploy", *operator.write(stock=stock(1)))

    assert "generation 1 is active" in done.out
    assert "no node serves" in done.err


def test_no_wait_only_proposes(cluster: ClusterSite) -> None:
    """The command ends at once; the nodes decide without it."""
    operator = served(cluster)
    where = Operator(cluster.folder, (*operator.where, "--ledger"))

    for one, source in ((operator, stock(1)), (where, stock(2))):
        document = one.ask("deploy", *one.write(stock=source), "--no-wait")
        cluster.wait_until_decided()
        number = document["generation"]
        assert "active" == operator.ask("show", str(number))["state"]


def test_reload_tells_of_all_nodes(cluster: ClusterSite) -> None:
    """Each node answers for itself; one that fails makes it exit code 1."""
    folder = cluster.folder
    (folder / "list.txt").write_text("static/\n")
    (folder / "static").mkdir()
    (folder / "static/prices.py").write_text(stock(1))
    operator = served(cluster, service_sources=str(folder / "list.txt"))
    cluster.server("second", service_sources=str(folder / "list.txt")).start()
    beside = Operator(folder, (*operator.where, "--ledger"))

    for one in (operator, beside):
        nodes = one.ask("reload")["nodes"]
        assert [False, False] == [each["reload"]["failed"] for each in nodes]
    (folder / "static/prices.py").write_text("1 / 0\n")
    for one in (operator, beside):
        failed = one.run("reload", code=1)
        assert "ZeroDivisionError" in failed.out
        assert "goes on as it was" in failed.err


def test_damage_of_the_ledger_is_found(cluster: ClusterSite) -> None:
    """Both checks tell it, with exit code 1; a whole ledger passes."""
    server = cluster.server("deploy").start()
    operator = Operator(cluster.folder, ("--ini", str(server.ini)))
    operator.run("deploy", *operator.write(stock=stock(1)))
    server.stop()
    assert "the ledger is whole" in operator.run("ledger", "check").out
    site = Operator(cluster.folder, ())
    assert site.ask("check", str(server.ini))["ok"]

    with sqlite3.connect(cluster.folder / "ledger/ledger.sqlite") as database:
        (table, column) = _bytes_of(database)
        database.execute(f"UPDATE {table} SET {column} = x'00'")

    found = operator.run("ledger", "check", code=1)
    assert "the ledger is damaged" in found.out
    assert not site.ask("check", str(server.ini), code=1)["ok"]


def _bytes_of(database: sqlite3.Connection) -> tuple[str, str]:
    """Return the table and column with the bytes of artifacts."""
    names = database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
    for (table,) in names.fetchall():
        for column in database.execute(f"PRAGMA table_info({table})"):
            if column[2] == "BLOB":
                return table, column[1]
    raise AssertionError


def test_check_knows_what_is_deployed(cluster: ClusterSite) -> None:
    """What the next start serves is the generation's, too."""
    server = cluster.server("deploy")
    operator = Operator(cluster.folder, ("--ini", str(server.ini), "--ledger"))
    operator.run("deploy", *operator.write(shop=shop(1), stock=stock(1)))

    checked = Operator(cluster.folder, ()).ask("check", str(server.ini))

    (section,) = checked["sections"]
    assert ["shop.shop"] == [one["name"] for one in section["services"]]
    assert [] == [node.id for node in cluster.nodes()]


def test_a_folder_is_packed_and_deployed(cluster: ClusterSite) -> None:
    """The same folder makes the same bytes; they are a package."""
    operator = served(cluster)
    folder = cluster.folder / "crm"
    folder.mkdir()
    (folder / "service.ini").write_text(
        "[package]\nname = crm\nversion = 1.2.0\n"
        "[service:crm.web]\nuse = crm_web:app\npath = /crm\n"
    )
    (folder / "crm_web.py").write_text(
        "def app(environ, start_response):\n"
        "    start_response('200 OK', [('Content-Length', '2')])\n"
        "    return [b'hi']\n"
    )
    packer = Operator(cluster.folder, ())
    one, two = (str(cluster.folder / name) for name in ("one.sar", "two.sar"))

    first = packer.ask("pack", str(folder), "-o", one)
    second = packer.ask("pack", str(folder), "-o", two)
    operator.run("deploy", one)

    assert first["digest"] == second["digest"]
    assert "hi" == cluster.servers[0].text("/crm")
    (package,) = operator.ask("packages")["packages"]
    assert ("crm", "1.2.0") == (package["package"], package["version"])
    refused = packer.run("pack", str(cluster.folder / "ledger"), "-o", one, code=1)
    assert "has no service.ini" in refused.err


# IN A SHELL


def test_ctrl_c_takes_back_what_only_this_command_votes_on(
    cluster: ClusterSite,
) -> None:
    """A generation that nobody would decide any more is failed, with the reason.

    Broken on purpose: without the abort it stays staging until its deadline.
    """
    server = cluster.server("deploy", staging_timeout="4")
    operator = Operator(cluster.folder, ("--ini", str(server.ini), "--ledger"))
    (file,) = operator.write(endless="import time\ntime.sleep(60)\n")
    process = subprocess.Popen(
        command("deploy", file, *operator.where),
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    wait_for(lambda: _votes(cluster), "it is being loaded", 60)

    process.send_signal(signal.SIGINT)

    assert 1 == process.wait(60)
    (one,) = cluster.generations().values()
    assert (State.FAILED, "whoever proposed it pressed Ctrl-C") == (
        one.state,
        one.reason,
    )


def _votes(cluster: ClusterSite) -> bool:
    return any(one.votes for one in cluster.generations().values())


def test_a_token_can_be_taken_by_a_shell(cluster: ClusterSite) -> None:
    """TOKEN=$(pointsman token create ...) has it, and nothing else."""
    server = cluster.server("deploy")
    words = command("token", "create", "ci", "--ledger", "--ini", str(server.ini))
    script = 'TOKEN=$("$@"); test ${#TOKEN} = 46; echo "$TOKEN" | grep -c "^pm_"'

    done = subprocess.run(
        ["bash", "-euc", script, "bash", *words],
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )

    assert ("1\n", 0) == (done.stdout, done.returncode), done.stderr


@pytest.mark.parametrize("way", [(), ("--ledger",)])
def test_names_are_completed(
    cluster: ClusterSite, monkeypatch: pytest.MonkeyPatch, way: tuple[str, ...]
) -> None:
    """Packages, services, generations and nodes; nothing at all when nobody answers."""
    operator = served(cluster)
    operator.run("deploy", *operator.write(shop=shop(1), stock=stock(1)))
    (record,) = cluster.wait_for_nodes(1)

    def completed(*words: str) -> list[str]:
        given = ["pointsman", *words[:-1], *operator.where, *way, words[-1]]
        monkeypatch.setenv("COMP_WORDS", " ".join(given))
        monkeypatch.setenv("COMP_CWORD", str(len(given) - 1))
        monkeypatch.setenv("_POINTSMAN_COMPLETE", "bash_complete")
        return _completions()

    assert ["shop", "stock"] == completed("undeploy", "s")
    assert ["shop.shop"] == completed("stop", "sh")
    assert ["1"] == completed("show", "1")
    assert [str(record.pid)] == completed("threads", str(record.pid))
    cluster.servers[0].kill()
    shutil.rmtree(cluster.folder / "ledger")
    assert [] == completed("undeploy", "s")


def _completions() -> list[str]:
    """Return what the shell would be given, from the environment's words."""
    done = CliRunner().invoke(main, [], prog_name="pointsman")
    assert "" == done.stderr
    lines = done.stdout.split()
    return [line.partition(",")[2] for line in lines]


def test_root_becomes_the_owner_of_the_work_directory() -> None:
    """What root writes there the servers could not read.  Who is not root stays.

    Broken on purpose: without becoming the owner, the ledger belongs to root.
    """
    with TemporaryDirectory(prefix="pm-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # the one of pytest is for one user only
        site = ClusterSite(folder)
        ini = site.server("deploy").ini
        (folder / "var").mkdir()
        for path in (folder / "var", folder / "ledger"):
            if os.geteuid() == 0:
                shutil.chown(path, "nobody", "nogroup")

        made = typed(folder, "token", "create", "ci", "--ledger", "--ini", str(ini))

        assert 0 == made.code, made.err
        owners = {path.stat().st_uid for path in (folder / "ledger").iterdir()}
        assert {(folder / "var").stat().st_uid} == owners


def test_a_directory_that_is_held_is_told_and_confirmed(cluster: ClusterSite) -> None:
    """An empty one takes nothing away until somebody says that it is meant."""
    server = cluster.server("deploy", archives__location="%(here)s/archives").start()
    operator = Operator(cluster.folder, ("--ini", str(server.ini)))
    cluster.keep(one="X = 1\n", two="X = 2\n", three="X = 3\n")
    wait_for(lambda: 3 == len(operator.ask("packages")["packages"]), "they serve")
    operator.run("reload")

    for path in cluster.archives.iterdir():
        path.unlink()
    held = wait_for(lambda: _refused_reload(operator), "it is held")
    confirmed = operator.run("reload", "--confirm-removals")

    assert f"{cluster.archives}: held" in held
    assert "one removed" in confirmed.out
    assert [] == operator.ask("packages")["packages"]


def _refused_reload(operator: Operator) -> str:
    """Return what a reload says that is refused; nothing while it is not."""
    found = CliRunner().invoke(main, ["reload", *operator.where])
    return found.stdout if found.exit_code == 1 else ""
