"""Tracebacks as the author of a service reads them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pointsman
from pointsman import tracebacks

OURS = str(Path(pointsman.__file__).with_name("made_up.py"))
ORIGINS = {"/var/run/1-2/app@abc": "/srv/services/app.py", "/var/run/1-2/crm@d": "/srv"}


def raised(source: str, *files: str) -> BaseException:
    """Return what ``source`` raises, called through one frame of each file."""
    scope: dict[str, Any] = {}
    exec(compile(f"def call():\n    {source}\n", files[-1], "exec"), scope)
    for file in reversed(files[:-1]):
        scope = {"inner": scope["call"]}
        exec(compile("def call():\n    inner()\n", file, "exec"), scope)
    try:
        scope["call"]()
    except BaseException as error:  # noqa: BLE001 - it may be any
        return error
    raise AssertionError(source)


def test_files_as_their_authors_know_them() -> None:
    """Files are those that were read, of modules and of packages."""
    error = raised(
        "raise ValueError(3)",
        "/var/run/1-2/app@abc/app.py",
        "/var/run/1-2/crm@d/crm/models.py",
    )
    told = tracebacks.text(error, ORIGINS)

    assert 'File "/srv/services/app.py", line 2, in call' in told
    assert 'File "/srv/crm/models.py", line 2, in call' in told
    assert "/var/run" not in told


def test_files_that_were_uploaded() -> None:
    """What was uploaded is known by the name of its file."""
    error = raised("raise ValueError(3)", "/run/app@abc/app.py", "/run/crm@d/crm/m.py")
    origins = {"/run/app@abc": "app.py (upload)", "/run/crm@d": "crm-1.sar (upload)"}
    told = tracebacks.text(error, origins)

    assert 'File "app.py (upload)", line 2, in call' in told
    assert 'File "crm-1.sar (upload)/crm/m.py", line 2, in call' in told


def test_frames_of_ours_are_left_out() -> None:
    """Frames of this program and of importlib are not shown, others are."""
    importlib = "<frozen importlib._bootstrap>"
    files = OURS, importlib, "/var/run/1-2/app@abc/app.py", "/lib/x.py"
    error = raised("raise ValueError(3)", *files)
    told = tracebacks.text(error, ORIGINS)

    assert "made_up" not in told
    assert "importlib" not in told
    assert 'File "/lib/x.py", line 2' in told


def test_an_error_of_ours_keeps_its_frames() -> None:
    """Where no frame would be left, all are: it is a fault of this program."""
    error = raised("raise ValueError(3)", OURS)
    assert error.__traceback__ is not None
    error.__traceback__ = error.__traceback__.tb_next  # without the test's own

    assert "made_up" in tracebacks.text(error, ORIGINS)


def test_causes_are_cleaned_too() -> None:
    """Causes and contexts are shown, as clean as the error itself."""
    error = raised("raise ValueError(3)", OURS, "/var/run/1-2/app@abc/app.py")
    error.__cause__ = raised("raise KeyError(4)", OURS, "/var/run/1-2/crm@d/crm/a.py")
    told = tracebacks.text(error, ORIGINS)

    assert "KeyError: 4" in told
    assert 'File "/srv/crm/a.py"' in told
    assert "made_up" not in told


def test_reason() -> None:
    """A reason is the kind of error and what it says."""
    assert "ValueError: 3" == tracebacks.reason(ValueError(3), ORIGINS)
    assert "KeyboardInterrupt" == tracebacks.reason(KeyboardInterrupt(), ORIGINS)
    gone = FileNotFoundError(2, "No such file", "/var/run/1-2/crm@d/crm/a.txt")
    told = "FileNotFoundError: [Errno 2] No such file: '/srv/crm/a.txt'"
    assert told == tracebacks.reason(gone, ORIGINS)


def test_a_syntax_error() -> None:
    """A syntax error shows the line, and none of our frames."""
    try:
        compile("x = (\n", "/var/run/1-2/app@abc/app.py", "exec")
    except SyntaxError as error:
        told = tracebacks.text(error, ORIGINS)

    assert 'File "/srv/services/app.py", line 1\n    x = (\n' in told


def test_a_crash() -> None:
    """What ``faulthandler`` has printed is cleaned like a traceback."""
    output = (
        "printed\nFatal Python error: Segmentation fault\n\n"
        f'  File "{OURS}", line 1 in load\n'
        '  File "/var/run/1-2/app@abc/app.py", line 2 in <module>\n'
    )

    assert (
        "printed\nFatal Python error: Segmentation fault\n\n"
        '  File "/srv/services/app.py", line 2 in <module>\n'
    ) == tracebacks.crash(output, ORIGINS)
