"""The pure parts of bootstrap.py; what it builds is seen by building."""

import ast
import configparser
import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(name="bootstrap", scope="module")
def _bootstrap() -> ModuleType:
    spec = importlib.util.spec_from_file_location("bootstrap", ROOT / "bootstrap.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(name="source")
def _source(tmp_path: Path) -> Path:
    """Give a folder with the files that a build is made from."""
    (tmp_path / "src" / "pointsman").mkdir(parents=True)
    for name in ("setup.py", "buildout.cfg", "versions.cfg"):
        (tmp_path / name).write_text(name)
    (tmp_path / "src" / "pointsman" / "__init__.py").write_text('__version__ = "1"\n')
    return tmp_path


def test_pins_keep_their_spelling(bootstrap: ModuleType) -> None:
    """The pins are read with the case and the dots of the distributions' names."""
    text = "# why\n[versions]\nzc.recipe.egg = 6.0.0\nWebOb = 1.8.11\n"

    assert {"zc.recipe.egg": "6.0.0", "WebOb": "1.8.11"} == bootstrap.read_pins(text)


def test_requirements_are_exact(bootstrap: ModuleType) -> None:
    """Pip is told to take the pinned version and no other."""
    pins = {"pip": "26.3", "wheel": "0.48.0"}

    assert ["wheel==0.48.0"] == bootstrap.requirements(pins, ["wheel"])


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("setup.py", "other"),
        ("buildout.cfg", "other"),
        ("versions.cfg", "other"),
        ("src/pointsman/__init__.py", '__version__ = "2"\n'),
    ],
)
def test_build_is_stale_after_a_change(
    bootstrap: ModuleType, source: Path, name: str, text: str
) -> None:
    """A change of what the build reads makes a build necessary."""
    before = bootstrap.build_digest(source, "/usr/bin/python3", [])
    (source / name).write_text(text)

    assert before != bootstrap.build_digest(source, "/usr/bin/python3", [])


def test_build_is_stale_with_another_python(
    bootstrap: ModuleType, source: Path
) -> None:
    """Another Python, or another assignment, makes a build necessary."""
    builds = [
        ("/usr/bin/python3", []),
        ("/opt/python3", []),
        ("/opt/python3", ["a:b=c"]),
    ]
    digests = {bootstrap.build_digest(source, *build) for build in builds}

    assert len(builds) == len(digests)


def test_build_stays_fresh_while_code_changes(
    bootstrap: ModuleType, source: Path
) -> None:
    """Code is used in place: editing it needs no build."""
    before = bootstrap.build_digest(source, "/usr/bin/python3", [])
    init = source / "src" / "pointsman" / "__init__.py"
    init.write_text(init.read_text() + "\nNEW = 1\n")

    assert before == bootstrap.build_digest(source, "/usr/bin/python3", [])


def test_stamp_is_right_only_when_finished(
    bootstrap: ModuleType, tmp_path: Path
) -> None:
    """A stamp that is missing or says something else means that work is left."""
    (tmp_path / "stamp").write_text("now")

    assert (True, False, False) == (
        bootstrap.is_stamped(tmp_path / "stamp", "now"),
        bootstrap.is_stamped(tmp_path / "stamp", "then"),
        bootstrap.is_stamped(tmp_path / "missing", "now"),
    )


def test_curl_lines_come_from_docstrings(bootstrap: ModuleType, tmp_path: Path) -> None:
    """The curl lines of the examples are told for the address that really serves."""
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "two.py").write_text(
        '"""Two.\n\n    curl -sN http://127.0.0.1:8080/b\n"""\n# curl no\n'
    )
    (tmp_path / "a.py").write_text(
        '"""One: curl no.\n\ncurl http://127.0.0.1:8080/a\n"""'
    )
    (tmp_path / "broken.py").write_text("def")
    (tmp_path / "bare.py").write_text("")

    assert [
        "curl http://[::1]:81/a",
        "curl -sN http://[::1]:81/b",
    ] == bootstrap.curl_lines(tmp_path, "http://[::1]:81")


@pytest.mark.parametrize(
    ("server", "expected"),
    [
        ("host = 10.0.0.1\nport = 81", ("10.0.0.1", 81)),
        ("host = 0.0.0.0\nport = %(http_port)s", ("127.0.0.1", 9000)),
        ("listen = [::]:82 127.0.0.1:83", ("[::1]", 82)),
        ("listen = *:82", ("127.0.0.1", 82)),
    ],
)
def test_server_address_is_one_to_connect_to(
    bootstrap: ModuleType, tmp_path: Path, server: str, expected: tuple[str, int]
) -> None:
    """The address is read as the server reads it, for a client on this machine."""
    ini = tmp_path / "deploy.ini"
    ini.write_text(f"[server:main]\n{server}\n")

    assert expected == bootstrap.server_address(ini, {"http_port": "9000"})


def test_server_address_missing(bootstrap: ModuleType, tmp_path: Path) -> None:
    """An ini without an address is named."""
    ini = tmp_path / "deploy.ini"

    with pytest.raises(bootstrap.Failure, match=r"deploy\.ini does not say"):
        bootstrap.server_address(ini, {})


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("NewConnectionError('...')", "PIP_INDEX_URL"),
        ("OSError: [Errno 28] No space left on device", "disk is full"),
        ("one\ntwo", "one\ntwo"),
    ],
)
def test_advice_tells_what_to_do(
    bootstrap: ModuleType, said: str, expected: str
) -> None:
    """A failed step says what to do, or shows its last lines, and names the log."""
    text = bootstrap.advice("wheels", said)

    assert (True, True) == (expected in text, str(bootstrap.LOG) in text)


def test_carried_wheels_are_taken_without_network(
    bootstrap: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where wheels/ is, pip asks no index; where it has not all, the caller goes on."""
    steps: list[object] = []

    def step(_title: str, command: list[object]) -> None:
        steps.append(command)
        if "incomplete" in command:
            raise bootstrap.Failure

    monkeypatch.setattr(bootstrap, "step", step)
    monkeypatch.setattr(bootstrap, "CARRIED", tmp_path / "wheels")
    before = bootstrap.take_carried(["pip"])
    (tmp_path / "wheels").mkdir()
    after = bootstrap.take_carried(["pip"]), bootstrap.take_carried(["incomplete"])

    assert (False, (True, False)) == (before, after)
    assert ["pip", "--no-index", "--find-links", tmp_path / "wheels"] == steps[0]


def test_buildout_comes_back_to_this_file(
    bootstrap: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """bin/buildout has the assignments and the cache of the build that made it."""
    monkeypatch.setattr(bootstrap, "CACHE", "/var/my cache")
    bootstrap.write_buildout(tmp_path / "buildout", ["a:b=c d"])
    text = (tmp_path / "buildout").read_text()

    assert (
        f"#!/bin/sh\nexec env 'POINTSMAN_BUILD_CACHE=/var/my cache' {bootstrap.PYTHON} "
        f"{bootstrap.ROOT}/bootstrap.py 'a:b=c d' buildout \"$@\"\n"
    ) == text
    assert "buildout:eggs-directory=/var/my cache/eggs" in bootstrap.buildout_command(
        []
    )


def test_shared_wheels_are_kept_by_what_they_are(
    bootstrap: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Folders with the same pins share their wheels; others have their own."""
    own = tmp_path / "wheels"
    own.mkdir()
    assert own == bootstrap.shared_wheels(own, "a==1")

    monkeypatch.setattr(bootstrap, "CACHE", str(tmp_path / "cache"))
    first, second, other = (
        bootstrap.shared_wheels(own, text) for text in ("a==1", "a==1", "a==2")
    )
    assert (True, True) == (first == second, first != other)
    assert other == own.readlink()


def test_unknown_command_shows_the_usage(
    bootstrap: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    """A word that is no command is an error of usage, before anything is built."""
    code = bootstrap.main(["biuld"])

    assert (2, True) == (code, "bootstrap.py serve" in capsys.readouterr().err)


def test_old_python_can_compile_it() -> None:
    """Python 3.6 compiles the file, and so reaches the sentence about its age."""
    source = (ROOT / "bootstrap.py").read_text("utf-8")

    assert isinstance(ast.parse(source, feature_version=(3, 6)), ast.Module)


def test_listed_scripts_are_those_of_buildout(bootstrap: ModuleType) -> None:
    """What bootstrap.py says bin/ has is what buildout.cfg puts there."""
    parser = configparser.ConfigParser(interpolation=None)
    parser.read(ROOT / "buildout.cfg", "utf-8")
    parts = [parser[name] for name in parser["buildout"]["parts"].split()]
    # That of a ZEO server is called like its part.
    words = " ".join(part.get("scripts", part.name) for part in parts).split()
    scripts = {word.rpartition("=")[2] for word in words}
    interpreters = {part["interpreter"] for part in parts if "interpreter" in part}

    assert scripts | interpreters | {"buildout"} == set(bootstrap.SCRIPTS)
