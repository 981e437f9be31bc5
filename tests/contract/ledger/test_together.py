"""Several at one moment: connections, threads and processes; killed ones; forks."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from contract.ledger.scene import LEASE, digest_of, node_named
from pointsman.cluster import NodeState, Proposed, State

if TYPE_CHECKING:
    from collections.abc import Callable

    from contract.ledger.scene import Place, Scene
    from pointsman.cluster import Change

ROUNDS = 15


def at_once(*actions: Callable[[], object]) -> list[object]:
    """Run actions at the same moment, each on its thread; return or raise."""
    barrier = threading.Barrier(len(actions))
    results: list[object] = [None] * len(actions)
    errors: list[BaseException] = []

    def run(number: int, action: Callable[[], object]) -> None:
        barrier.wait()
        try:
            results[number] = action()
        except BaseException as error:  # noqa: BLE001 - raised below
            errors.append(error)

    threads = [threading.Thread(target=run, args=pair) for pair in enumerate(actions)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return results


def script(place: Place, code: str, *names: str) -> subprocess.Popen[str]:
    """Run code in another process; it has ``scene`` and these arguments."""
    begin = (
        "import os, signal, sys, threading\n"
        "from pointsman.cluster import *\n"
        "from contract.ledger.scene import *\n"
        f"{place.code}\n"
    )
    path = os.pathsep.join([str(Path(__file__).parents[2]), *sys.path])
    return subprocess.Popen(
        [sys.executable, "-c", begin + code, *names],
        env={**os.environ, "PYTHONPATH": path},
        stdout=subprocess.PIPE,
        stdin=subprocess.PIPE,
        text=True,
    )


# CONNECTIONS


def test_two_proposals_at_one_moment(scene: Scene) -> None:
    """Both are accepted: one is staging, the other queued behind it."""
    scene.join("n1")
    one, two = scene.elsewhere(), scene.elsewhere()
    for count in range(ROUNDS):
        a, b = scene.put("a", str(count)), scene.put("b", str(count))
        at_once(lambda a=a: one.propose(a), lambda b=b: two.propose(b))  # type: ignore[misc]
        numbers = [2 * count + 1, 2 * count + 2]
        assert ["staging", "queued"] == [scene.state(n) for n in numbers]
        for number in numbers:
            scene.vote("n1", number)
        assert {
            "a": digest_of(str(count)),
            "b": digest_of(str(count)),
        } == scene.served()


def test_two_proposals_of_one_content_at_one_moment(scene: Scene) -> None:
    """Two nodes see the same file: that makes one generation, whoever was first."""
    scene.join("n1")
    one, two = scene.elsewhere(), scene.elsewhere()
    for count in range(1, ROUNDS):
        change = scene.put("a", str(count))
        done = at_once(
            lambda c=change: one.propose(c),  # type: ignore[misc]
            lambda c=change: two.propose(c),  # type: ignore[misc]
        )
        assert {Proposed(count), Proposed(count, unchanged=True)} == set(done)
        scene.vote("n1", count)


def test_a_decision_and_a_join_at_one_moment(scene: Scene) -> None:
    """Either the new node is in the ballot, or it is not ready for what was before."""
    scene.join("n1")
    one, two = scene.elsewhere(), scene.elsewhere()
    for number in range(1, ROUNDS):
        scene.propose(scene.put("a", str(number)))
        scene.ledger.join(node_named("n2"), lease=LEASE)
        _, ready = at_once(
            lambda n=number: one.vote("n1", n),  # type: ignore[misc]
            lambda n=number: two.ledger.ready("n2", n - 1),  # type: ignore[misc]
        )
        me = scene.ledger.observe("n2").me
        assert me is not None
        decided = scene.state(number) is State.ACTIVE
        assert bool(ready) is not decided
        assert (me.state is NodeState.READY) is bool(ready)
        assert ["n1", "n2"][: 1 + bool(ready)] == scene.voters(number)
        scene.ledger.leave("n2")
        assert State.ACTIVE == scene.state(number)


def test_last_votes_at_one_moment(scene: Scene) -> None:
    """It is decided once, whichever vote was the last."""
    nodes = [f"n{count}" for count in range(4)]
    scene.join(*nodes)
    others = [scene.elsewhere() for _ in nodes]
    for number in range(1, ROUNDS):
        scene.propose(scene.put("a", str(number)))
        at_once(
            *(
                lambda o=other, name=name, n=number: o.vote(name, n)
                for other, name in zip(others, nodes, strict=True)
            )
        )
        assert State.ACTIVE == scene.state(number)
    assert ROUNDS - 1 == scene.events().count("active")


# THREADS OF ONE PROCESS


def test_any_thread(scene: Scene) -> None:
    """One ledger is used from many threads at once; nothing gets lost."""
    scene.join("n1")
    changes = [scene.put(f"p{count}", str(count)) for count in range(40)]

    def propose(mine: list[Change]) -> set[int]:
        numbers = set()
        for change in mine:
            numbers.add(scene.propose(change).number)
            scene.beat("n1")
            scene.ledger.observe("n1")
        return numbers

    shares = [changes[first::8] for first in range(8)]
    made = at_once(*(lambda s=share: propose(s) for share in shares))
    assert set(range(1, 41)) == set[int]().union(*made)  # type: ignore[arg-type]
    for number in range(1, 41):
        scene.vote("n1", number)
    assert {change.package for change in changes} == scene.served().keys()


def test_uploads_at_once(scene: Scene) -> None:
    """Fifty clients store and deploy at once: all get through."""
    scene.join("n1")
    body = "x" * 200_000

    def upload(count: int) -> int:
        return scene.propose(scene.put(f"p{count}", f"{body}{count}")).number

    numbers = at_once(*(lambda c=count: upload(c) for count in range(50)))
    assert set(range(1, 51)) == set(numbers)


# PROCESSES


def test_opening_at_once(place: Place) -> None:
    """Several processes make one fresh ledger; each of them can use it."""
    code = """
print("there", flush=True)
sys.stdin.readline()
scene = Scene(place)
scene.join(sys.argv[1])
"""
    names = [f"n{count}" for count in range(4)]
    children = [script(place, code, name) for name in names]
    for child in children:
        assert child.stdout is not None
        assert "there\n" == child.stdout.readline()
    for child in children:
        assert child.stdin is not None
        child.stdin.write("\n")
        child.stdin.flush()
    for child in children:
        with child:
            child.communicate(timeout=60)
            assert 0 == child.returncode

    ledger = place.open()
    assert names == [node.id for node in ledger.nodes()]
    assert () == ledger.check()


@pytest.mark.parametrize("when", ["propose", "vote", "store", "prune"])
def test_killed_within_a_transaction(scene: Scene, when: str) -> None:
    """A process that is killed while it writes has written nothing; others go on."""
    scene.join("n1")
    for count in range(1, 4):
        scene.deploy(scene.put("a", str(count)))
    big = scene.put("b", "y")
    if when == "vote":
        scene.propose(big)
    code = """
scene = Scene(place)
database = type(scene.ledger._database)
writing = database.writing
class Killed:  # after all of its statements, before it is committed
    def __init__(self, inner): self.inner = inner
    def __enter__(self): return self.inner.__enter__()
    def __exit__(self, *error): os.kill(os.getpid(), signal.SIGKILL)
database.writing = lambda self: Killed(writing(self))
if sys.argv[1] == "store":
    scene.store("z")
elif sys.argv[1] == "prune":
    scene.ledger.prune(2)
elif sys.argv[1] == "vote":
    scene.ledger.vote(Vote("n1", True), 4)
else:
    scene.propose(Change("b", entry("b", "y")))
"""
    before = scene.ledger.generations(), scene.ledger.events(), scene.served()
    with script(scene.place, code, when) as child:
        child.communicate(timeout=60)

    assert -signal.SIGKILL == child.returncode
    other = scene.elsewhere()
    assert before == (other.ledger.generations(), other.ledger.events(), other.served())
    assert (False, ()) == (other.ledger.has(digest_of("z")), other.ledger.check())
    if when != "vote":
        scene.propose(big)
    scene.vote("n1", 4)
    assert {"a", "b"} == scene.served().keys()


# FORKS


def forked(place: Place, code: str) -> None:
    """Run code in a process of its own, which forks; it must end well."""
    with script(place, code) as child:
        said, _ = child.communicate(timeout=60)
    assert (0, "done\n") == (child.returncode, said)


def test_a_forked_child_uses_it(place: Place) -> None:
    """Child and parent go on with the same object, and see what the other writes."""
    forked(
        place,
        """
scene = Scene(place)
scene.join("n1")
scene.ledger.changed()
pid = os.fork()
if not pid:
    scene.deploy(scene.put("a", "child"))
    assert scene.ledger.changed()
    os._exit(0)
assert os.waitpid(pid, 0)[1] == 0
assert scene.ledger.changed()
assert list(scene.served()) == ["a"]
scene.deploy(scene.put("b", "parent"))
assert scene.ledger.check() == ()
print("done")
""",
    )


def test_the_parent_may_end_first(place: Place) -> None:
    """A daemon's child goes on when its parent, which opened the ledger, has ended."""
    forked(
        place,
        """
scene = Scene(place)
scene.join("n1")
there, done = os.pipe()
if os.fork():
    os.close(done)
    assert os.read(there, 1) == b"+"
    print("done")
    sys.exit(0)
for count in range(20):
    scene.deploy(scene.put("a", str(count)))
assert scene.elsewhere().ledger.check() == ()
os.write(done, b"+")
""",
    )


def test_forking_while_others_write(place: Place) -> None:
    """Threads write all the time, the process forks: no child finds it locked.

    Without the gate that closes the connections first, five of fifteen children found
    it locked for ever, by a thread that they do not have.
    """
    forked(
        place,
        """
import warnings
warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12: threads and fork
scene = Scene(place)
scene.join("n1")
stop = False
def write():
    while not stop:
        scene.beat("n1")
        scene.ledger.observe("n1")
threads = [threading.Thread(target=write) for _ in range(3)]
for thread in threads: thread.start()
for count in range(15):
    pid = os.fork()
    if not pid:
        scene.ledger.record(ALICE, "child", str(count))
        scene.ledger.changed()
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
stop = True
for thread in threads: thread.join()
assert scene.events().count("child") == 15
assert scene.ledger.check() == ()
print("done")
""",
    )


def test_a_fork_that_nobody_saw(place: Place) -> None:
    """Where a server forks in C, the process id tells; what is inherited stays."""
    forked(
        place,
        """
import ctypes
scene = Scene(place)
scene.join("n1")
scene.ledger.changed()
pid = ctypes.PyDLL(None).fork()
if not pid:
    scene.deploy(scene.put("a", "child"))
    scene.ledger.changed()
    os._exit(0)
assert os.waitpid(pid, 0)[1] == 0
scene.deploy(scene.put("b", "parent"))
assert sorted(scene.served()) == ["a", "b"]
assert scene.ledger.check() == ()
print("done")
""",
    )
