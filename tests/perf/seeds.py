"""``bin/soak``: thousands of simulated clusters in which everything goes wrong."""

from __future__ import annotations

import argparse
import multiprocessing
import os
import signal
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from perf.table import Table

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

#: How many seeds of so many nodes; the largest take a minute each.
SEEDS = {3: 2000, 6: 1000, 20: 200, 50: 60, 200: 2}
COSTS = (10, 25, 50, 100, 200)  # nodes of clusters in which one deployment is counted
_SHARE = 10  # seeds that are given to a process at once
_COLUMNS = ("nodes", "seeds", "broken", "statements", "commits", "switches", "minutes")
_COST_COLUMNS = (
    "nodes",
    "statements",
    "for each node",
    "notifications",
    "simulated ms",
    "spread ms",
    "idle: statements/node/minute",
)


@dataclass(frozen=True)
class Share:
    """What some seeds have come to; ``stories`` are those of the broken ones."""

    seeds: int
    stories: tuple[str, ...]
    statements: int
    commits: int
    switches: int


def main(argv: Sequence[str] | None = None) -> int:
    """Run them; 1 when a promise was broken."""
    wanted = _parser().parse_args(argv)
    # As Ctrl-C does: the processes of the pool end when what they have begun is done.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    pool = ProcessPoolExecutor(wanted.jobs, multiprocessing.get_context("forkserver"))
    try:
        broken = _run(pool, wanted)
        if not wanted.nodes:
            costs = tuple(pool.map(_cost, COSTS))
            print(Table("One deployment, all is well", _COST_COLUMNS, costs).text())
    finally:
        pool.shutdown(cancel_futures=True)
    return 1 if broken else 0


def _run(pool: ProcessPoolExecutor, wanted: argparse.Namespace) -> int:
    """Run all sizes; return how many seeds broke a promise."""
    broken = 0
    rows: list[tuple[str, ...]] = []
    for nodes, count in _sizes(wanted):
        began = time.monotonic()
        shares = list(_shares(pool, nodes, wanted.first, count))
        broken += sum(len(share.stories) for share in shares)
        rows.append(_row(nodes, shares, time.monotonic() - began))
    print(Table("Simulated clusters", _COLUMNS, tuple(rows)).text(), flush=True)
    return broken


def _shares(
    pool: ProcessPoolExecutor, nodes: int, first: int, count: int
) -> Iterator[Share]:
    """Run the seeds of one size, and tell the stories of those that broke."""
    firsts = range(first, first + count, _SHARE)
    lasts = [min(one + _SHARE, first + count) for one in firsts]
    for share in pool.map(run_share, [nodes] * len(lasts), firsts, lasts):
        for story in share.stories:
            print(story, end="\n\n", flush=True)
        yield share


def _sizes(wanted: argparse.Namespace) -> Iterator[tuple[int, int]]:
    if wanted.nodes:
        yield wanted.nodes, wanted.seeds or SEEDS.get(wanted.nodes, _SHARE)
        return
    for nodes, count in SEEDS.items():
        yield nodes, min(count, wanted.seeds or count)


def run_share(nodes: int, first: int, last: int) -> Share:
    """Run some seeds, in a process of their own: what they need takes a second."""
    from simulation.promises import Broken
    from simulation.world import run

    stories = []
    statements = commits = switches = 0
    for seed in range(first, last):
        try:
            world = run(seed, nodes=nodes)
        except Broken as error:
            stories.append(str(error))
            continue
        statements += world.server.statements.total()
        commits += world.promises.steps["commits"]
        switches += world.promises.steps["switches"]
    return Share(last - first, tuple(stories), statements, commits, switches)


def _row(nodes: int, shares: Sequence[Share], seconds: float) -> tuple[str, ...]:
    found = (
        nodes,
        sum(share.seeds for share in shares),
        sum(len(share.stories) for share in shares),
        sum(share.statements for share in shares),
        sum(share.commits for share in shares),
        sum(share.switches for share in shares),
    )
    return (*(f"{value:,}" for value in found), f"{seconds / 60:.1f}")


def _cost(nodes: int) -> tuple[str, ...]:
    from simulation.cost import cost_of

    found = cost_of(nodes)
    return (
        str(nodes),
        f"{found.statements:,}",
        f"{found.statements / nodes:.1f}",
        str(found.notifications),
        f"{found.seconds * 1000:.0f}",
        f"{found.spread * 1000:.1f}",
        f"{found.idle_statements:.1f}",
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="soak",
        description="Simulated clusters in which everything goes wrong, and what each "
        "of them promises. A seed that breaks a promise is told, with its story.",
    )
    parser.add_argument(
        "--nodes", type=int, default=0, help="only clusters of this size"
    )
    parser.add_argument(
        "--seeds", type=int, default=0, help="so many of each size, at most"
    )
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument(
        "--jobs", type=int, default=os.cpu_count() or 1, help="processes at once"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
