"""What ``bootstrap.py test`` does once bin/ is there: every check, on every Python.

It runs on the Python that builds, which may have nothing but the standard library.
"""

import contextlib
import os
import re
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree as ET

from bootstrap import (
    BIN,
    ROOT,
    STATE,
    VENV,
    Failure,
    clean_environment,
    locked,
    make_environment,
    read_pins,
    step,
)

EXAMPLES = ROOT / "examples"
WORKERS = 3  # tests at the same time: half of the time they wait for something
PYTHONS = (11, 12, 13)  # the minor versions of Python 3 that the tests run on
ON_EACH = ("unit", "contract", "functional/namespace")  # of the tests
# A Debian package that some test needs -> a file that shows that it is there.
SYSTEM_PACKAGES = {
    "apache2-bin": "/usr/sbin/apache2",
    "curl": "/usr/bin/curl",
    "git": "/usr/bin/git",
    "haproxy": "/usr/sbin/haproxy",
    "libapache2-mod-wsgi-py3": "/usr/lib/apache2/modules/mod_wsgi.so",
    "logrotate": "/usr/sbin/logrotate",
    "iproute2": "/usr/sbin/ip",
    "postgresql": "/usr/share/doc/postgresql",
    "nginx-light": "/usr/sbin/nginx",
    "python3-venv": "/usr/share/doc/python3-venv",
    "systemd": "/usr/bin/systemd-analyze",
    "uwsgi-core": "/usr/bin/uwsgi-core",
    "uwsgi-plugin-python3": "/usr/lib/uwsgi/plugins/python3_plugin.so",
}


class Result(NamedTuple):
    """How a check went; ``tests`` counts those that passed, failed, were skipped."""

    title: str
    seconds: float
    ok: bool
    tests: Counter[str]


def test(arguments: Sequence[str]) -> int:
    """Run every check, whatever the one before it said; 0 when all are well."""
    install_system_packages()
    if arguments:
        return run([BIN / "test", *arguments])
    this = f"Python 3.{sys.version_info[1]}"
    # Few at a time: the functional tests wait for servers, clients and reloads, under
    # deadlines; the other Pythons are a tenth of the time beside them.
    few = ["-n", str(WORKERS), "--dist=loadfile"]
    # The long ones come first by name, and the many small ones fill the gap at the end.
    few.append("--no-loadscope-reorder")
    return summarise(
        [
            check("ruff check", [BIN / "ruff", "check"]),
            check("ruff format", [BIN / "ruff", "format", "--check"]),
            check("mypy", [BIN / "mypy"]),
            check("mypy examples", [BIN / "mypy", EXAMPLES], MYPYPATH=example_path()),
            check("lint-imports", [BIN / "lint-imports", "--no-logo"]),
            check(this, [BIN / "test", *few], VENV / "report.xml"),
            *(check_on(minor, python) for minor, python in other_pythons().items()),
        ]
    )


def example_path() -> str:
    """Return the folders of the examples, as a path to import their modules from.

    The examples are flat modules, which import each other by their bare names.
    """
    return os.pathsep.join(sorted(map(str, EXAMPLES.glob("*/"))))


def run(command: Sequence[object], **extra: str) -> int:
    """Run a command for the person at the terminal; return its exit code."""
    words = [str(word) for word in command]
    environment = clean_environment(**extra)
    return subprocess.run(words, cwd=ROOT, env=environment, check=False).returncode


def check(
    title: str, command: Sequence[object], report: Path | None = None, **extra: str
) -> Result:
    """Run one check; with ``report``, it is pytest and writes its results there."""
    print(f"\n== {title}", flush=True)
    start = time.monotonic()
    if report is None:
        code, tests = run(command, **extra), Counter[str]()
    else:
        report.unlink(missing_ok=True)
        code = run([*command, f"--junitxml={report}"], **extra)
        tests = read_report(report)
    return Result(title, time.monotonic() - start, code == 0, tests)


def read_report(report: Path) -> Counter[str]:
    """Count the tests in a JUnit report.

    Without a report pytest did not live to write one, which is a failure.
    """
    try:
        suites = list(ET.parse(report).iter("testsuite"))
    except (OSError, ET.ParseError):
        return Counter(failed=1)
    tests, failures, errors, skipped = (
        sum(int(suite.get(key, "0")) for suite in suites)
        for key in ("tests", "failures", "errors", "skipped")
    )
    failed = failures + errors
    return Counter(passed=tests - failed - skipped, failed=failed, skipped=skipped)


def summarise(results: Sequence[Result]) -> int:
    """Print how each check went and, last, the tests of all Pythons together."""
    print("\n== summary")
    for title, seconds, ok, tests in results:
        said = "ok" if ok else "FAILED"
        print(f"  {title:<14}{seconds:7.1f} s  {said:<8}{counted(tests) * bool(tests)}")
    print(counted(sum((result.tests for result in results), Counter())))
    return 0 if all(result.ok for result in results) else 1


def counted(tests: Counter[str]) -> str:
    """Return the counts as those who read the last line of a run expect them."""
    skipped = f", {tests['skipped']} skipped" if tests["skipped"] else ""
    return f"{tests['passed']} passed, {tests['failed']} failed{skipped}"


def check_on(minor: int, python: str) -> Result:
    """Run what may differ on another Python, in an environment of its own.

    That is what is near the interpreter: the unit and contract tests, and namespaces.

    The source is used in place; what makes it a distribution, for entry points, is
    the egg-info that the build has put there.
    """
    title = f"Python 3.{minor}"
    print(f"\n== environment of {python}", flush=True)
    folder = STATE / f"python-3.{minor}"
    pins = read_pins((ROOT / "versions.cfg").read_text("utf-8"))
    try:
        with locked():
            make_environment(python, folder, pins, pins)
    except Failure as failure:
        print(failure)
        return Result(title, 0.0, ok=False, tests=Counter(failed=1))
    suites = filter(Path.exists, (ROOT / "tests" / name for name in ON_EACH))
    command = [folder / "bin" / "python", "-m", "pytest", *suites]
    return check(title, command, folder / "report.xml", PYTHONPATH=str(ROOT / "src"))


def other_pythons() -> dict[int, str]:
    """Return the supported Pythons that are here beside this one, by minor version."""
    found = {}
    for minor in sorted(set(PYTHONS) - {sys.version_info[1]}):
        for path in candidates(minor, os.environ.get("PATH", ""), Path.home()):
            with contextlib.suppress(OSError, subprocess.CalledProcessError):
                probe = [path, "-c", "import ensurepip, sys; print(sys.executable)"]
                said = subprocess.check_output(probe, stderr=subprocess.DEVNULL)
                found[minor] = os.path.realpath(said.decode().strip())
                break
    return found


def candidates(minor: int, search_path: str, home: Path) -> list[str]:
    """Return where a Python 3.``minor`` may be, the best first; not all need work."""
    folders = [*search_path.split(os.pathsep), "/usr/local/bin", "/usr/bin"]
    pyenv = map(str, home.glob(f".pyenv/versions/3.{minor}.*/bin"))
    folders += sorted(pyenv, key=version_in, reverse=True)
    found = [shutil.which(f"python3.{minor}", path=folder) for folder in folders]
    return list(dict.fromkeys(filter(None, found)))


def version_in(path: str) -> list[int]:
    """Return the numbers in ``path``, so that 3.12.10 comes after 3.12.9."""
    return [int(number) for number in re.findall(r"\d+", path)]


def install_system_packages() -> None:
    """Install what tests need from Debian or Ubuntu, or say what is missing."""
    missing = [p for p, proof in SYSTEM_PACKAGES.items() if not Path(proof).exists()]
    if not missing:
        return
    if os.geteuid() or not shutil.which("apt-get"):
        print(
            f"Missing, so that tests are skipped: {' '.join(missing)} (apt-get install)"
        )
        return
    apt = ["apt-get", "-q", "-y", "-o", "DPkg::Lock::Timeout=300"]
    install = [*apt, "install", "--no-install-recommends", *missing]
    try:
        with locked(), services_off():
            step("apt-get update", [*apt, "update"], DEBIAN_FRONTEND="noninteractive")
            step("apt-get install", install, DEBIAN_FRONTEND="noninteractive")
    except Failure as failure:
        print(failure)


@contextlib.contextmanager
def services_off() -> Iterator[None]:
    """Keep packages from starting their services: invoke-rc.d(8) takes 101 for no."""
    policy = Path("/usr/sbin/policy-rc.d")
    if policy.exists():
        yield
        return
    policy.write_text("#!/bin/sh\nexit 101\n", "ascii")
    try:
        policy.chmod(0o755)
        yield
    finally:
        policy.unlink()
