"""``bin/bench``: measures what is named on the command line, side by side."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from perf import call, deploy, idle, load, release, reload, servers, soak, thousand
from perf.table import Table, machine
from pointsman.errors import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


@dataclass(frozen=True)
class Benchmark:
    """Something to measure; ``line`` says what in the help.

    One that ``counts`` takes how often it does its thing from the command line.
    """

    name: str
    line: str
    measure: Callable[..., list[Table]]
    counts: bool = False

    def tables(self, wanted: argparse.Namespace) -> list[Table]:
        """Measure as the command line says."""
        if self.counts:
            return self.measure(quick=wanted.quick, number=wanted.number)
        return self.measure(quick=wanted.quick)


BENCHMARKS = (
    Benchmark("call", "what the host adds to one call of a service", call.measure),
    Benchmark("reload", "from a reload to the first new answer", reload.measure),
    Benchmark(
        "servers",
        "one deployment under load, beside gunicorn, uWSGI and waitress (minutes)",
        servers.measure,
    ),
    Benchmark(
        "load",
        "1,000 reloads under load: losses, stalls, leaks (minutes)",
        load.measure,
    ),
    Benchmark(
        "deploy",
        "from an upload or a copied file to active, on one process and on four",
        deploy.measure,
    ),
    Benchmark(
        "thousand",
        "start and deployment with 1,000 packages in the ledger (minutes)",
        thousand.measure,
    ),
    Benchmark(
        "release",
        "50 switches of releases under load, crashes, start and stop (minutes)",
        release.measure,
    ),
    Benchmark("idle", "what a host takes that nobody asks", idle.measure),
    Benchmark(
        "soak",
        "2,000 deployments under load, or -n: losses, what piles up (minutes)",
        soak.measure,
        counts=True,
    ),
)


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print; 2 when the command line names what there is not."""
    parser = _parser()
    wanted = parser.parse_args(argv)
    known = {one.name: one for one in BENCHMARKS}
    for name in wanted.what:
        if name not in known:
            near = did_you_mean(name, known)
            parser.error(f"there is nothing called {name!r} to measure{near}")
    chosen = [known[name] for name in wanted.what or known]
    if wanted.json:
        _print_json(chosen, wanted)
    else:
        _print_tables(chosen, wanted)
    return 0


def _print_tables(chosen: Sequence[Benchmark], wanted: argparse.Namespace) -> None:
    found = machine()
    print(
        f"{found['processor']}, {found['cores']} cores, {found['system']}, "
        f"{found['python']}; load average before the run {found['load']}\n"
    )
    for benchmark in chosen:
        for table in benchmark.tables(wanted):
            print(table.text(), flush=True)


def _print_json(chosen: Sequence[Benchmark], wanted: argparse.Namespace) -> None:
    found = machine()
    tables = [
        table.document() for benchmark in chosen for table in benchmark.tables(wanted)
    ]
    json.dump({"machine": found, "tables": tables}, sys.stdout, indent=1)
    print()


def _parser() -> argparse.ArgumentParser:
    lines = [f"  {one.name:<9} {one.line}" for one in BENCHMARKS]
    parser = argparse.ArgumentParser(
        prog="bench",
        description="Figures of this program, measured side by side in one run.",
        epilog="\n".join(["what can be measured:", *lines]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "what", nargs="*", metavar="WHAT", help="see below; all of it by default"
    )
    parser.add_argument("--json", action="store_true", help="print JSON, not tables")
    parser.add_argument(
        "--quick", action="store_true", help="fewer repetitions: a look, no figure"
    )
    parser.add_argument(
        "-n",
        "--number",
        type=int,
        default=0,
        metavar="N",
        help="how many deployments soak makes",
    )
    return parser
