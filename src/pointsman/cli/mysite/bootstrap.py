#!/usr/bin/env python3
"""Build mysite in this folder, run its tests, or build a release of it.

    python3 bootstrap.py                   build, and say which commands bin/ has
    python3 bootstrap.py test [ARG ...]    build, then bin/test ARG ...
    python3 bootstrap.py buildout ARG ...  build, then what bin/buildout ARG ... does
    python3 bootstrap.py wheels            build, and put all that it took into wheels/

Needs Python 3.11 or newer with venv, and, at the first call, a package index; with
wheels/ beside it, none.  Where packages come from is said as for pip: PIP_INDEX_URL,
PIP_FIND_LINKS.  What is there and still right is kept.  With
POINTSMAN_BUILD_CACHE=FOLDER, wheels, eggs and tools go there, for others to share.
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
import importlib.util
import os
import re
import shlex
import shutil
import subprocess
import sysconfig
from pathlib import Path

ROOT = Path(__file__).resolve().parent
BIN = ROOT / "bin"
VENV = ROOT / ".venv"
WHEELS = VENV / "wheels"  # what the build takes
CARRIED = ROOT / "wheels"  # what an archive brings along
STATE = ROOT / ".bootstrap"  # the log, the lock
LOG = STATE / "bootstrap.log"
# Wheels, eggs and tools that several folders share: then the second one builds in seconds.
CACHE = os.environ.get("POINTSMAN_BUILD_CACHE", "")
# In a virtual environment this is the Python that the environment was made from.
PYTHON = os.path.realpath(sys.executable)
# What .venv itself holds.  The other distributions become eggs.
TOOLS = ("pip", "setuptools", "wheel", "packaging", "zc.buildout")
# Its command, where they are not installed into .venv.
BUILDOUT = """\
#!{python}
import sys
from zc.buildout.buildout import main
sys.exit(main())
"""
SCRIPTS = {
    "paster": "serves an ini file: bin/paster serve deploy.ini",
    "pointsman": "the command of operators: bin/pointsman --help",
    "test": "runs the tests: bin/test -k hello",
    "buildout": "builds a release: bin/buildout -c deploy.cfg",
    "py": "a Python that sees everything: bin/py setup.py sdist",
}


class Failure(Exception):
    """What could not be done, why, and what to do."""


def environment(**extra):
    """Return this process's environment without what would change a build."""
    unwanted = {"PYTHONWARNINGS", "PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP"}
    unwanted |= {"VIRTUAL_ENV", "PIP_USER", "PIP_TARGET", "PIP_PREFIX"}
    unwanted |= {"PIP_REQUIRE_VIRTUALENV", "PIP_REQUIREMENT", "PIP_CONSTRAINT"}
    kept = {k: v for k, v in os.environ.items() if k not in unwanted}
    return kept | {"PIP_DISABLE_PIP_VERSION_CHECK": "1"} | extra


def build():
    """Bring bin/ up to date; one build at a time in this folder."""
    if importlib.util.find_spec("ensurepip") is None:
        raise Failure(
            f"{PYTHON} cannot make virtual environments: it has no ensurepip.  On "
            "Debian and Ubuntu: apt-get install python3-venv"
        )
    if re.search(r"\s", str(ROOT)):
        raise Failure(f"Scripts cannot start from a path with a space: move {ROOT}")
    stamp, expected = VENV / "build.stamp", digest()
    with locked():
        scripts = all((BIN / name).exists() for name in SCRIPTS)
        if scripts and is_stamped(stamp, expected):
            return
        if not stamp.exists():  # interrupted: buildout's notes may be cut short
            (ROOT / ".installed.cfg").unlink(missing_ok=True)
            shutil.rmtree(ROOT / "develop-eggs", ignore_errors=True)
        stamp.unlink(missing_ok=True)
        LOG.write_text("", "utf-8")
        make_environment(pins())
        step("eggs and bin/", buildout_command(), **from_wheels())
        write_buildout()
        stamp.write_text(expected, "utf-8")


def digest():
    """Return the digest of everything that the build is made from."""
    names = ("setup.py", "buildout.cfg", "versions.cfg")
    texts = [(ROOT / name).read_text("utf-8") for name in names]
    whole = "\0".join([str(ROOT), PYTHON, sys.version, CACHE, *texts])
    return hashlib.sha256(whole.encode()).hexdigest()


def is_stamped(stamp, expected):
    """Say whether the work that writes ``stamp`` last was finished on this input."""
    with contextlib.suppress(OSError):
        return stamp.read_text("utf-8") == expected
    return False


@contextlib.contextmanager
def locked():
    """Hold the lock of this folder; the commands of the build inherit it."""
    STATE.mkdir(exist_ok=True)
    with (STATE / "lock").open("a") as lock:
        os.set_inheritable(lock.fileno(), True)
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def pins():
    """Return what pip is to take: one exact requirement for each pin."""
    parser = configparser.ConfigParser(interpolation=None)
    parser.optionxform = str
    parser.read_string((ROOT / "versions.cfg").read_text("utf-8"))
    return {name: f"{name}=={pin}" for name, pin in parser["versions"].items()}


def make_environment(wanted):
    """Make .venv with the tools of the build, and a wheel for each pin."""
    stamp, expected = VENV / "environment.stamp", "\n".join([PYTHON, *wanted.values()])
    if is_stamped(stamp, expected):
        return
    step("environment", [PYTHON, "-m", "venv", "--clear", "--without-pip", VENV])
    pip = [VENV / "bin" / "python", brought_pip(), "--disable-pip-version-check"]
    fetch_wheels(pip, "\n".join(wanted.values()))
    install = [*pip, "install", "--no-compile", "--no-deps", "--no-index"]
    install_tools(
        [*install, "--find-links", WHEELS / "dist"], [wanted[name] for name in TOOLS]
    )
    stamp.write_text(expected, "utf-8")


def install_tools(install, tools):
    """Put the tools into .venv; with a cache, into that, and let .venv see them there."""
    if not CACHE:
        step("packages", [*install, *tools])
        return
    folder = shared("tools", "\n".join(tools))
    if not folder.exists():
        part = folder.with_name(f"{folder.name}.part")
        shutil.rmtree(part, ignore_errors=True)
        step("packages", [*install, "--target", part, *tools])
        part.rename(folder)
    packages = sysconfig.get_path("purelib", "venv", {"base": str(VENV)})
    line = f"import site; site.addsitedir({str(folder)!r})\n"
    Path(packages, "tools.pth").write_text(line, "utf-8")
    script = BUILDOUT.format(python=VENV / "bin" / "python")
    write_script(VENV / "bin" / "buildout", script)


def fetch_wheels(pip, text):
    """Fill the folder of wheels, one for each pin, whole or not at all."""
    folder = shared_wheels(text)
    if is_stamped(folder / "pins.txt", text):
        return
    part = folder.with_name(f"{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    (part / "pins.txt").write_text(text, "utf-8")
    command = [*pip, "wheel", "--no-deps", "-r", part / "pins.txt", "-w", part / "dist"]
    if not take_carried(command):
        step("wheels", command)
    shutil.rmtree(folder, ignore_errors=True)
    part.rename(folder)


def shared_wheels(text):
    """Return where the wheels go, and let WHEELS lead there when that is elsewhere."""
    if not CACHE:
        return WHEELS
    WHEELS.symlink_to(shared("wheels", text))
    return WHEELS.readlink()


def shared(kind, text):
    """Return the folder of the cache for what is made of ``text`` for this Python."""
    name = hashlib.sha256(f"{sys.version}\n{text}".encode()).hexdigest()[:16]
    return Path(CACHE).absolute() / kind / name


def brought_pip():
    """Return the pip that Python brings along; it runs from its wheel.

    To install it, only to put the pinned one in its place, takes longer than the rest.
    """
    folders = [Path(importlib.util.find_spec("ensurepip").origin).parent / "_bundled"]
    with contextlib.suppress(TypeError):  # that of a distribution, as Debian's
        folders.append(Path(sysconfig.get_config_var("WHEEL_PKG_DIR")))
    for folder in folders:
        for wheel in folder.glob("pip-*.whl"):
            return wheel / "pip"
    raise Failure(f"{PYTHON} brings no pip along, in none of {folders}")


def take_carried(command):
    """Take the wheels from wheels/, without network; say whether all were there."""
    if not CARRIED.is_dir():
        return False
    try:
        step("wheels, carried", [*command, "--no-index", "--find-links", CARRIED])
    except Failure:
        print(f"  {CARRIED} has not all for this Python; asking the package index")
        return False
    return True


def buildout_command(*arguments):
    """Return the call of buildout that takes distributions from our wheels only."""
    cache = f"buildout:download-cache={WHEELS}"
    program = VENV / "bin" / "buildout"
    eggs = [f"buildout:eggs-directory={Path(CACHE).absolute()}/eggs"] if CACHE else []
    return [program, cache, "buildout:install-from-cache=true", *eggs, *arguments]


def from_wheels():
    """Return the variables for the pip that buildout calls."""
    return {
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_FIND_LINKS": str(WHEELS / "dist"),
        "PIP_NO_INDEX": "1",
    }


def write_buildout():
    """Write bin/buildout: it goes through this file."""
    words = [PYTHON, str(ROOT / "bootstrap.py"), "buildout"]
    if CACHE:
        words[:0] = ["env", f"POINTSMAN_BUILD_CACHE={Path(CACHE).absolute()}"]
    write_script(BIN / "buildout", f'#!/bin/sh\nexec {shlex.join(words)} "$@"\n')


def write_script(path, text):
    """Write a program that can be called."""
    path.write_text(text, "utf-8")
    path.chmod(0o755)


def step(title, command, **extra):
    """Run one command of the build: a line on the terminal, everything in the log."""
    print(f"  {title}", flush=True)
    words = [str(word) for word in command]
    with LOG.open("a+", encoding="utf-8") as log:
        print(f"\n== {title}: {shlex.join(words)}", file=log, flush=True)
        begin = log.tell()
        done = subprocess.run(
            words,
            cwd=ROOT,
            env=environment(**extra),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            close_fds=False,  # for the lock
            check=False,
        )
        log.seek(begin)
        last = "\n".join(log.read().strip().splitlines()[-15:])
    if done.returncode:
        raise Failure(f"The step “{title}” failed; its log is {LOG}.  It ends:\n{last}")


def become(command, **extra):
    """Go on as another program, in this folder."""
    words = [str(word) for word in command]
    os.chdir(ROOT)
    sys.stdout.flush()
    os.execve(words[0], words, environment(**extra))


def keep_wheels():
    """Put what this build took into wheels/, for an archive that builds by itself."""
    CARRIED.mkdir(exist_ok=True)
    for wheel in sorted((WHEELS / "dist").glob("*.whl")):
        shutil.copy2(wheel, CARRIED)
    print(f"{CARRIED} has all that this build took; an sdist takes it along")


def say_commands():
    """List what a build has put into bin/."""
    lines = (f"  {name:<12}{purpose}" for name, purpose in SCRIPTS.items())
    print("bin/ has", *lines, sep="\n")


def main(words):
    """Do what the command line says; return the exit code."""
    command, *rest = words or ["build"]
    if command not in {"build", "test", "buildout", "wheels"}:
        print(__doc__)
        return 0 if command in {"-h", "--help"} else 2
    try:
        build()
        if command == "test":
            become([BIN / "test", *rest])
        elif command == "buildout":
            with locked():
                become(buildout_command(*rest), **from_wheels())
        elif command == "wheels":
            keep_wheels()
        else:
            say_commands()
    except Failure as failure:
        print(failure, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
