#!/usr/bin/env python3
"""Build pointsman in this folder, then serve its examples or run its tests.

    python3 bootstrap.py [build]           build, and say which commands bin/ has
    python3 bootstrap.py serve [ARG ...]   build, bin/paster serve deploy.ini ARG ...
    python3 bootstrap.py test              build, then every check on every Python here
    python3 bootstrap.py test ARG ...      build, bin/test ARG ... and nothing else
    python3 bootstrap.py buildout ARG ...  build, then what bin/buildout ARG ... does
    python3 bootstrap.py wheels            build, and put all that it took into wheels/

Assignments for buildout (SECTION:OPTION=VALUE) go before the command.  With
POINTSMAN_BUILD_CACHE=FOLDER, wheels and eggs go there, for other folders to share.

Needs Python 3.11 or newer with venv, and, at the first call, the network; with wheels/
beside it, none.  What is there and still right is kept; what an interruption left
behind is made again.
"""

import sys

if sys.version_info < (3, 11):
    sys.exit(
        "bootstrap.py needs Python 3.11 or newer, and %s is %d.%d.  Call it with a "
        "newer one, for example: python3.11 bootstrap.py"
        % (sys.executable or "this", sys.version_info[0], sys.version_info[1])
    )

import configparser
import contextlib
import fcntl
import hashlib
import http.client
import importlib.util
import os
import re
import shlex
import shutil
import signal
import subprocess
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent
BIN = ROOT / "bin"
VENV = ROOT / ".venv"
STATE = ROOT / ".bootstrap"  # the log, the lock, the other Pythons of `test`
LOG = STATE / "bootstrap.log"
# Wheels and eggs that several folders share: then the second one builds in seconds.
CACHE = os.environ.get("POINTSMAN_BUILD_CACHE", "")
CARRIED = ROOT / "wheels"  # what an archive carries that is to build without network
# In a virtual environment this is the Python that the environment was made from.
PYTHON = os.path.realpath(sys.executable)
# What .venv itself holds.  The other distributions become eggs.
TOOLS = ("pip", "setuptools", "wheel", "packaging", "zc.buildout", "ruff")
SCRIPTS = {
    "paster": "serves an ini file: bin/paster serve deploy.ini",
    "pointsman": "the command of operators: bin/pointsman --help",
    "buildout": "builds a release: bin/buildout -c deploy.cfg",
    "test": "runs the tests: bin/test -k routing",
    "bench": "measures the host beside other servers",
    "py": "a Python that sees everything",
    "ruff": "finds faults of style, and formats",
    "mypy": "checks types",
    "lint-imports": "checks that imports keep to the layers",
    "coverage": "shows what no test reaches: bin/coverage run -m pytest",
    "zeo": "keeps the objects that several processes share: bin/zeo start",
    "gunicorn": "another server: bin/gunicorn --paste deploy.ini",
    "waitress-serve": "another server: bin/waitress-serve --call",
}
# With one of these words, paster starts no server.
ASKING = {"-h", "--help", "--status", "--stop-daemon", "status", "stop"}
UNREACHABLE = re.compile(
    "NewConnectionError|NameResolutionError|ConnectTimeout|ReadTimeout|ProxyError"
    "|SSLError|ConnectionResetError|name resolution|Network is unreachable"
)


class Failure(Exception):
    """What could not be done, why, and what to do: for the person at the terminal."""


def clean_environment(**extra: str) -> dict[str, str]:
    """Return this process's environment without what would change a build."""
    unwanted = {"PYTHONWARNINGS", "PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP"}
    unwanted |= {"VIRTUAL_ENV", "PIP_USER", "PIP_TARGET", "PIP_PREFIX"}
    unwanted |= {"PIP_REQUIRE_VIRTUALENV", "PIP_REQUIREMENT", "PIP_CONSTRAINT"}
    kept = {k: v for k, v in os.environ.items() if k not in unwanted}
    return kept | {"PIP_DISABLE_PIP_VERSION_CHECK": "1"} | extra


# The build: .venv, the wheels, then buildout.


def read_pins(text: str) -> dict[str, str]:
    """Return the pins of a versions.cfg: distribution -> version."""
    parser = configparser.ConfigParser(interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(text)
    return dict(parser["versions"])


def requirements(pins: Mapping[str, str], names: Iterable[str]) -> list[str]:
    """Return the lines that tell pip to take exactly these."""
    return [f"{name}=={pins[name]}" for name in names]


def digest(*parts: str) -> str:
    """Return what a stamp holds: it differs as soon as one part does."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def build_digest(root: Path, python: str, assignments: Sequence[str]) -> str:
    """Return the digest of everything that the build of ``root`` is made from."""
    source = (root / "src" / "pointsman" / "__init__.py").read_text("utf-8")
    version = re.findall(r"^__version__ = .*$", source, re.MULTILINE)
    files = [root / "setup.py", root / "buildout.cfg", root / "versions.cfg"]
    texts = [path.read_text("utf-8") for path in files]
    given = (str(root), python, sys.version, CACHE, *assignments)
    return digest(*given, *version, *texts)


def is_stamped(stamp: Path, expected: str) -> bool:
    """Say whether the work that writes ``stamp`` last was finished on this input."""
    with contextlib.suppress(OSError):
        return stamp.read_text("utf-8") == expected
    return False


def build(assignments: Sequence[str]) -> None:
    """Bring bin/ up to date; one build at a time in this folder."""
    stamp = VENV / "build.stamp"
    expected = build_digest(ROOT, PYTHON, assignments)
    if is_built(stamp, expected):
        return
    if importlib.util.find_spec("ensurepip") is None:
        raise Failure(
            f"{PYTHON} cannot make virtual environments: it has no ensurepip.  On "
            "Debian and Ubuntu: apt-get install python3-venv"
        )
    if re.search(r"\s", str(ROOT)):
        raise Failure(f"Scripts cannot start from a path with a space: move {ROOT}")
    with locked():
        if is_built(stamp, expected):  # by the one that held the lock
            return
        if not stamp.exists():  # interrupted: buildout's notes may be cut short
            (ROOT / ".installed.cfg").unlink(missing_ok=True)
            shutil.rmtree(ROOT / "develop-eggs", ignore_errors=True)
        stamp.unlink(missing_ok=True)
        LOG.write_text("", "utf-8")
        pins = read_pins((ROOT / "versions.cfg").read_text("utf-8"))
        make_environment(PYTHON, VENV, pins, TOOLS)
        run_buildout(assignments)
        write_buildout(BIN / "buildout", assignments)
        stamp.write_text(expected, "utf-8")


def is_built(stamp: Path, expected: str) -> bool:
    """Say whether bin/ is there and its Python too, made from this very input."""
    needed = [VENV / "bin" / "python", *(BIN / name for name in SCRIPTS)]
    return is_stamped(stamp, expected) and all(path.exists() for path in needed)


@contextlib.contextmanager
def locked() -> Iterator[None]:
    """Hold the lock of this folder.

    The commands of the build inherit it: one that outlives a killed bootstrap.py
    still keeps the next one out.
    """
    try:
        STATE.mkdir(exist_ok=True)
        lock = (STATE / "lock").open("a")
    except OSError as error:
        raise Failure(
            f"The build goes into {ROOT}, and nothing can be written there ({error})."
            "  Make it yours, or clone into a folder of your own."
        ) from None
    with lock:
        os.set_inheritable(lock.fileno(), True)  # noqa: FBT003
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("waiting for another build in this folder", flush=True)
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def make_environment(
    python: str, folder: Path, pins: Mapping[str, str], names: Iterable[str]
) -> None:
    """Make ``folder`` a virtual environment with ``names``, and wheels of all pins."""
    wanted = requirements(pins, names)
    stamp = folder / "environment.stamp"
    expected = digest(str(folder), python, *wanted)
    pip = [str(folder / "bin" / "python"), "-m", "pip"]
    fresh = not is_stamped(stamp, expected) or not Path(pip[0]).exists()
    if fresh:
        stamp.unlink(missing_ok=True)
        step("environment", [python, "-m", "venv", "--clear", folder])
    wheels = fetch_wheels(pip, folder, pins)
    if fresh:
        offline = ["--no-deps", "--no-index", "--find-links", wheels.as_uri()]
        step("packages", [*pip, "install", *offline, *wanted])
        stamp.write_text(expected, "utf-8")


def fetch_wheels(pip: Sequence[str], folder: Path, pins: Mapping[str, str]) -> Path:
    """Return the folder with a wheel for each pin, filled whole or not at all.

    pip chooses, because it prefers the wheel with the compiled parts: between a pure
    and a compiled wheel of one version buildout takes either.
    """
    text = "\n".join(requirements(pins, pins))
    wheels = shared_wheels(folder / "wheels", text)
    part = wheels.with_name(f"{wheels.name}.part")
    if not is_stamped(wheels / "pins.txt", text):
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        (part / "pins.txt").write_text(text, "utf-8")
        command = [*pip, "download", "--no-deps", "-r", part / "pins.txt"]
        command += ["-d", part / "dist"]
        if not take_carried(command):
            step("wheels", command)
        shutil.rmtree(wheels, ignore_errors=True)
        part.rename(wheels)
    return folder / "wheels" / "dist"


def shared_wheels(own: Path, text: str) -> Path:
    """Return where the wheels go, and let ``own`` lead there when that is elsewhere."""
    if not CACHE:
        return own
    shared = Path(CACHE).absolute() / "wheels" / digest(text, sys.version)[:16]
    if own.is_dir() and not own.is_symlink():
        shutil.rmtree(own)
    own.unlink(missing_ok=True)
    own.symlink_to(shared)
    return shared


def take_carried(command: Sequence[object]) -> bool:
    """Take the wheels from wheels/, without network; say whether all were there."""
    if not CARRIED.is_dir():
        return False
    try:
        step("wheels, carried", [*command, "--no-index", "--find-links", CARRIED])
    except Failure:
        print(f"  {CARRIED} has not all for this Python; asking the package index")
        return False
    return True


def run_buildout(assignments: Sequence[str]) -> None:
    """Let buildout make eggs/ and bin/ from the wheels and from nothing else."""
    step("eggs and bin/", buildout_command(assignments), **from_wheels())


def buildout_command(assignments: Sequence[str]) -> list[str]:
    """Return the call of buildout that takes distributions from our wheels only."""
    cache = f"buildout:download-cache={VENV}/wheels"
    program = str(VENV / "bin" / "buildout")
    eggs = [f"buildout:eggs-directory={Path(CACHE).absolute()}/eggs"] if CACHE else []
    return [program, cache, "buildout:install-from-cache=true", *eggs, *assignments]


def from_wheels() -> dict[str, str]:
    """Return the variables for buildout and for the pip that it calls.

    Without them the build of our own egg fetches whatever setuptools is the newest.
    The warning that is hushed is one about buildout's own package, in each run.
    """
    wheels = (VENV / "wheels" / "dist").as_uri()
    return {
        "PYTHONWARNINGS": "ignore:Module zc was already imported:UserWarning",
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_FIND_LINKS": wheels,
        "PIP_NO_INDEX": "1",
    }


def write_buildout(path: Path, assignments: Sequence[str]) -> None:
    """Write bin/buildout: it goes through this file, with the same assignments."""
    words = [PYTHON, str(ROOT / "bootstrap.py"), *assignments, "buildout"]
    if CACHE:
        words[:0] = ["env", f"POINTSMAN_BUILD_CACHE={Path(CACHE).absolute()}"]
    path.write_text(f'#!/bin/sh\nexec {shlex.join(words)} "$@"\n', "utf-8")
    path.chmod(0o755)


def step(title: str, command: Sequence[object], **extra: str) -> None:
    """Run one command of the build: a line on the terminal, everything in the log."""
    print(f"  {title:<16}", end="", flush=True)
    words = [str(word) for word in command]
    start = time.monotonic()
    with LOG.open("a+", encoding="utf-8") as log:
        print(f"\n== {title}: {' '.join(words)}", file=log, flush=True)
        begin = log.tell()
        done = subprocess.run(
            words,
            cwd=ROOT,
            env=clean_environment(**extra),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            close_fds=False,  # for the lock
            check=False,
        )
        log.seek(begin)
        said = log.read()
    if done.returncode:
        print("failed", flush=True)
        raise Failure(advice(title, said))
    print(f"{time.monotonic() - start:6.1f} s", flush=True)


def advice(title: str, said: str) -> str:
    """Return what to tell about a step that failed after it ``said`` this."""
    if UNREACHABLE.search(said):
        reason = (
            "The package index could not be reached.  Check the network, or name "
            "another index in PIP_INDEX_URL; then call bootstrap.py again."
        )
    elif "No space left on device" in said:
        reason = "The disk is full: a build takes 400 MB.  Then call it again."
    else:
        reason = "Its last lines:\n" + "\n".join(said.strip().splitlines()[-15:])
    return f"The step “{title}” failed.  {reason}\nThe whole log: {LOG}"


def say_commands() -> int:
    """List what a build has put into bin/."""
    lines = (f"  {name:<16}{purpose}" for name, purpose in SCRIPTS.items())
    print("bin/ has", *lines, sep="\n")
    return 0


# buildout, wheels


def buildout(assignments: Sequence[str], arguments: Sequence[str]) -> int:
    """Become buildout, with the lock of this folder."""
    command = [*buildout_command(assignments), *arguments]
    with locked():
        os.execve(command[0], command, clean_environment(**from_wheels()))


def keep_wheels() -> int:
    """Put what this build took into wheels/, for an archive that builds by itself.

    Called with several Pythons, wheels/ serves all of them.
    """
    CARRIED.mkdir(exist_ok=True)
    for wheel in sorted((VENV / "wheels" / "dist").iterdir()):
        shutil.copy2(wheel, CARRIED)
    size = sum(wheel.stat().st_size for wheel in CARRIED.iterdir()) / 1e6
    print(f"{CARRIED} has {size:.0f} MB; an archive with it builds without network")
    return 0


# serve


def serve(arguments: Sequence[str]) -> int:
    """Become ``paster serve deploy.ini``; a second process tells when it answers."""
    command = [str(BIN / "paster"), "serve", "deploy.ini", *arguments]
    if not ASKING.intersection(arguments):
        variables = dict(a.split("=", 1) for a in arguments if re.match(r"\w+=", a))
        host, port = server_address(ROOT / "deploy.ini", variables)
        if answers(host, port):
            raise Failure(
                f"Something answers on {host}:{port} already.  Stop it, or change the "
                "port in deploy.ini."
            )
        announce_when_up(host, port)
    os.chdir(ROOT)
    os.execve(command[0], command, clean_environment())


def server_address(ini: Path, variables: Mapping[str, str]) -> tuple[str, int]:
    """Return host and port of ``[server:main]``, as a client here reaches them."""
    parser = configparser.ConfigParser({"here": str(ini.parent), **variables})
    try:
        parser.read_string(ini.read_text("utf-8"))
        section = parser["server:main"]
        host, port = section.get("host", "127.0.0.1"), section.get("port", "8080")
        if "listen" in section:
            host, _, port = section["listen"].split()[0].rpartition(":")
        number = int(port)
    except (OSError, ValueError, LookupError, configparser.Error) as error:
        raise Failure(
            f"{ini} does not say in [server:main] where to listen: {error}"
        ) from None
    everywhere = {"": "127.0.0.1", "*": "127.0.0.1", "0.0.0.0": "127.0.0.1"}
    return {**everywhere, "[::]": "[::1]"}.get(host, host), number


def answers(host: str, port: int) -> bool:
    """Say whether an HTTP server answers there, with whatever status."""
    connection = http.client.HTTPConnection(host.strip("[]"), port, timeout=5)
    silence = contextlib.suppress(OSError, http.client.HTTPException)
    with contextlib.closing(connection), silence:
        connection.request("GET", "/")
        connection.getresponse().read()
        return True
    return False


def announce_when_up(host: str, port: int) -> None:
    """Leave a process behind that prints the addresses once the server answers.

    The server will be this process.  It forks twice, so that the server has no child
    that it does not know.
    """
    server = os.getpid()
    child = os.fork()
    if child:
        os.waitpid(child, 0)
        return
    if os.fork() == 0:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        while Path(f"/proc/{server}").exists():
            if answers(host, port):
                print(announcement(f"http://{host}:{port}"), flush=True)
                break
            time.sleep(0.05)
    os._exit(0)


def announcement(base: str) -> str:
    """Return what to show to somebody who has just started the server."""
    lines = "".join(f"    {line}\n" for line in curl_lines(ROOT / "examples", base))
    return f"\npointsman answers on {base}/ (Ctrl-C stops it).  Try:\n\n{lines}"


def curl_lines(folder: Path, base: str) -> list[str]:
    """Return the curl lines of the docstrings below ``folder``, for ``base``."""
    files = sorted(folder.rglob("*.py"))
    text = "\n".join(path.read_text("utf-8", "replace") for path in files)
    lines = re.findall("^ *(curl .+)", text, re.MULTILINE)
    return [line.replace("http://127.0.0.1:8080", base) for line in lines]


# test


def test(arguments: Sequence[str]) -> int:
    """Run every check and test, or with ``arguments`` bin/test and nothing else."""
    sys.modules["bootstrap"] = sys.modules[__name__]  # the suite imports this very one
    sys.path.insert(0, str(ROOT / "tests"))
    import suite  # noqa: PLC0415 - a build and a server do without

    return suite.test(arguments)


# The command line


def run_command(command: str, assignments: Sequence[str], rest: Sequence[str]) -> int:
    """Do what comes after the build; return the exit code."""
    if command == "build":
        return say_commands()
    if command == "wheels":
        return keep_wheels()
    if command == "buildout":
        return buildout(assignments, rest)
    return serve(rest) if command == "serve" else test(rest)


def main(arguments: Sequence[str]) -> int:
    """Do what the command line says; return the exit code."""
    words = list(arguments)
    assignments = []
    while words and re.match(r"[\w.-]+:[\w.-]+[+-]?=", words[0]):
        assignments.append(words.pop(0))
    command, *rest = words or ["build"]
    if command in {"-h", "--help", "help"}:
        print(__doc__)
        return 0
    alone = command in {"build", "wheels"}
    if (alone and rest) or not (alone or command in {"serve", "test", "buildout"}):
        print(f"What is “{' '.join(words)}”?\n\n{__doc__}", file=sys.stderr)
        return 2
    try:
        build(assignments)
        return run_command(command, assignments, rest)
    except Failure as failure:
        print(failure, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nInterrupted; the next call goes on from here.", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
