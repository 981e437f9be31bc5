"""What the words of paster serve mean."""

from __future__ import annotations

from pathlib import Path

import pytest

from pointsman.serving.arguments import Order, UsageError, parse


def test_the_plain_call_writes_no_files() -> None:
    """In the foreground there is neither pid file nor log file by default."""
    assert Order(ini="deploy.ini", variables={}) == parse(["deploy.ini"])


def test_a_daemon_has_files_by_default() -> None:
    """paster.pid and paster.log in the current folder, as ever."""
    order = parse(["--daemon", "deploy.ini"])

    assert (Path.cwd() / "paster.pid", Path.cwd() / "paster.log") == (
        order.pid_file,
        order.log_file,
    )


def test_options_and_words_may_be_mixed() -> None:
    """Variables are found before, between and behind options."""
    order = parse(["deploy.ini", "a=1", "--pid-file", "/x", "-n", "second", "b=c=d"])

    assert ({"a": "1", "b": "c=d"}, Path("/x"), "second") == (
        order.variables,
        order.pid_file,
        order.app_name,
    )


@pytest.mark.parametrize("verb", ["start", "restart"])
def test_starting_verbs_mean_a_daemon(verb: str) -> None:
    """As PasteScript says: start and restart imply --daemon."""
    order = parse(["deploy.ini", verb, "a=1"])

    assert (verb, True, {"a": "1"}) == (order.verb, order.daemon, order.variables)


@pytest.mark.parametrize(
    ("words", "verb"), [(["--status"], "status"), (["--stop-daemon"], "stop")]
)
def test_status_and_stop_need_no_ini(words: list[str], verb: str) -> None:
    """They look at paster.pid in the current folder."""
    order = parse(words)

    assert (verb, None, "paster.pid") == (
        order.verb,
        order.ini,
        order.pid_file and order.pid_file.name,
    )


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([], "which ini? for example: paster serve deploy.ini"),
        (["a.ini", "begin"], "'begin' is neither start|stop|restart|status nor var="),
        (["a.ini", "=x"], "'=x' is neither"),
        (
            ["--status", "--stop-daemon"],
            "--status and --stop-daemon do not go together",
        ),
        (["--reload", "--daemon", "a.ini"], "--reload and --daemon do not go together"),
        (["--reload", "a.ini", "start"], "--reload and --daemon do not go together"),
        (["-s", "x", "--server-name", "y", "a.ini"], "--server and --server-name"),
        (["--start-timeout", "0", "a.ini"], "must be more than 0"),
        (["--stat", "a.ini"], "unrecognized arguments: --stat"),
    ],
)
def test_nonsense_is_refused(words: list[str], sentence: str) -> None:
    """The error says what does not fit, and where help is."""
    with pytest.raises(UsageError) as refused:
        parse(words)

    assert sentence in str(refused.value)


def test_an_egg_is_taken_as_it_is() -> None:
    """egg:NAME is a URI; anything else is a path."""
    egg, ini = parse(["egg:Some#app"]), parse(["some.ini"])

    assert ("egg:Some#app", None) == (egg.uri, egg.ini_path)
    assert f"config:{Path.cwd()}/some.ini" == ini.uri
