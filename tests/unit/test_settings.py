"""Each key of the ini: what is accepted, and what is said of what is not."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pointsman.errors import ConfigError
from pointsman.settings import KEYS, Settings, parse

if TYPE_CHECKING:
    from collections.abc import Mapping

HOME = Path.home()

GOOD = [
    ("service_sources", "list.txt", "service_sources", Path("/site/list.txt")),
    ("service_sources", "/etc/list.txt", "service_sources", Path("/etc/list.txt")),
    ("service_sources", "~/list.txt", "service_sources", HOME / "list.txt"),
    ("service_sources", "", "service_sources", None),
    ("extra_paths", "a:/b", "extra_paths", (Path("/site/a"), Path("/b"))),
    (
        "extra_paths",
        "\n a \n\n b:c",
        "extra_paths",
        tuple(map(Path, ("/site/a", "/site/b", "/site/c"))),
    ),
    ("extra_paths", "", "extra_paths", ()),
    ("work_dir", "run", "work_dir", Path("/site/run")),
    ("control.path", "/admin/", "control_path", "/admin"),
    ("control.token_file", "/t", "control_token_file", Path("/t")),
    ("control.token_file", "", "control_token_file", None),
    ("rehearse", "No", "rehearse", False),
    ("rehearse", " true ", "rehearse", True),
    ("rehearse", "0", "rehearse", False),
    ("rehearse_memory_mb", "0", "rehearse_memory", 0),
    ("rehearse_memory_mb", "512", "rehearse_memory", 512 * 1024 * 1024),
    ("staging_timeout", "0.5", "staging_timeout", 0.5),
    ("keep_warm", "0", "keep_warm", 0.0),
    ("keep_warm", "600", "keep_warm", 600.0),
    ("retire_timeout", "1e2", "retire_timeout", 100.0),
    ("metrics", "off", "metrics", False),
]

BAD = [
    ("work_dir", "", "a path is needed"),
    ("work_dir", "~no-such-user/x", "no such home directory"),
    ("control.path", "/", "a path of its own, like /_pointsman"),
    ("control.path", "", "a path of its own, like /_pointsman"),
    ("control.path", "admin", "does not begin with '/'"),
    ("control.path", "/a//b", "has an empty"),
    ("rehearse", "perhaps", "accepted are yes and no"),
    ("rehearse", "", "accepted are yes and no"),
    ("metrics", "2", "accepted are yes and no"),
    ("rehearse_memory_mb", "-1", "a whole number of MiB is needed"),
    ("rehearse_memory_mb", "1.5", "a whole number of MiB is needed"),
    ("rehearse_memory_mb", "٣", "a whole number of MiB is needed"),
    ("staging_timeout", "0", "a number of seconds above 0 is needed"),
    ("staging_timeout", "soon", "a number of seconds is needed, 0 or more"),
    ("keep_warm", "-1", "a number of seconds is needed, 0 or more"),
    ("keep_warm", "nan", "a number of seconds is needed, 0 or more"),
    ("keep_warm", "inf", "a number of seconds is needed, 0 or more"),
    ("retire_timeout", "0", "a number of seconds above 0 is needed"),
]


def refused(strings: Mapping[str, str]) -> str:
    """Return what is said of strings that cannot be settings."""
    with pytest.raises(ConfigError) as raised:
        parse(strings, file="/site/deploy.ini", section="app:main", here="/site")
    return str(raised.value)


@pytest.mark.parametrize(("key", "text", "field", "expected"), GOOD)
def test_good(key: str, text: str, field: str, expected: object) -> None:
    """Each key takes what it says, relative to the ini."""
    assert expected == getattr(parse({key: text}, here="/site"), field)


@pytest.mark.parametrize(("key", "text", "accepted"), BAD)
def test_bad(key: str, text: str, accepted: str) -> None:
    """A bad value names file, section, key and value, and what is accepted."""
    told = refused({key: text})

    assert told.startswith(f"/site/deploy.ini [app:main] {key} = {text}: ")
    assert accepted in told


def test_every_key_is_tried() -> None:
    """No key of the ini is left out above; two accept any text."""
    good, bad = {case[0] for case in GOOD}, {case[0] for case in BAD}
    any_text = {"service_sources", "extra_paths", "control.token_file"}

    assert (set(KEYS), set(KEYS) - any_text) == (good, bad)


@pytest.mark.parametrize(
    ("key", "meant"),
    [
        ("service_source", "service_sources"),
        ("extra_path", "extra_paths"),
        ("workdir", "work_dir"),
        ("control_path", "control.path"),
        ("token_file", "control.token_file"),
        ("rehearsal", "rehearse"),
        ("stage_timeout", "staging_timeout"),
        ("keepwarm", "keep_warm"),
        ("metric", "metrics"),
        ("resources.db", "resource.<name>"),
    ],
)
def test_unknown_key(key: str, meant: str) -> None:
    """An unknown key is an error that names the one that was meant."""
    assert (
        f"/site/deploy.ini [app:main]: there is no setting {key!r}; "
        f"did you mean {meant!r}?"
    ) == refused({key: "1"})


def test_unknown_key_like_none() -> None:
    """A key that is like no other is an error without a guess."""
    told = "/site/deploy.ini [app:main]: there is no setting 'zzzzzz'"

    assert told == refused({"zzzzzz": "1"})


def test_settings_of_services() -> None:
    """The last part is the setting; all before it is the service's name."""
    found = parse({"service.crm.get-customer.page_size": "5", "service.shop.x": " y "})

    assert {"crm.get-customer": {"page_size": "5"}, "shop": {"x": " y "}} == {
        name: dict(settings) for name, settings in found.services.items()
    }


@pytest.mark.parametrize("key", ["service.x", "service.", "service.x.", "service..x"])
def test_setting_of_no_service(key: str) -> None:
    """A key without a service or a setting says how it is written."""
    assert "write service.<name of the service>.<setting>" in refused({key: "1"})


def test_resources() -> None:
    """Resources are kept by name; a URI has no spaces around it."""
    assert {"db": "memory://"} == dict(parse({"resource.db": " memory:// "}).resources)


@pytest.mark.parametrize("strings", [{"resource.": "memory://"}, {"resource.x": " "}])
def test_bad_resource(strings: dict[str, str]) -> None:
    """A resource without a name or a URI says how it is written."""
    assert "write resource.<name> = URI" in refused(strings)


def test_defaults() -> None:
    """What an empty section means; files of ours lie below the ini's var."""
    assert (
        Settings(
            work_dir=Path("/site/var"),
            control_token_file=Path("/site/var/control.token"),
        )
    ) == parse({}, here="/site")


def test_token_file_follows_the_work_dir() -> None:
    """The token lies in the work directory unless it has a place of its own."""
    assert Path("/x/control.token") == parse({"work_dir": "/x"}).control_token_file


def test_settings_cannot_be_changed() -> None:
    """Settings are frozen, with all that is in them."""
    found = parse({"service.a.b": "c", "resource.d": "e://"})
    with pytest.raises(AttributeError):
        found.metrics = False  # type: ignore[misc]
    with pytest.raises(TypeError):
        found.services["a"] = {}  # type: ignore[index]
    with pytest.raises(TypeError):
        found.services["a"]["b"] = "x"  # type: ignore[index]
    with pytest.raises(TypeError):
        found.resources["d"] = "x"  # type: ignore[index]


def told(strings: Mapping[str, str]) -> str:
    """Return what is said of strings; nothing if they are settings."""
    try:
        parse(strings, file="f.ini", here="/site")
    except ConfigError as error:
        return str(error)
    return ""


@given(
    st.dictionaries(st.sampled_from([*KEYS, "service.a.b", "resource.a"]), st.text())
)
def test_any_text(strings: dict[str, str]) -> None:
    """Whatever is written, there are settings or an error that names the key."""
    said = told(strings)

    assert not said or any(f"f.ini [app:main] {key} = " in said for key in strings)


@given(st.text(min_size=1), st.text())
def test_any_key(key: str, text: str) -> None:
    """Whatever the key, an error names file and section."""
    said = told({key: text})

    assert not said or said.startswith("f.ini [app:main]")
