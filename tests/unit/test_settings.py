"""Each key of the ini: what is accepted, and what is said of what is not."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pointsman.errors import ConfigError
from pointsman.settings import KEYS, Settings, Trigger, parse

if TYPE_CHECKING:
    from collections.abc import Mapping

HOME = Path.home()
SQLITE = "sqlite:////srv/site/ledger.sqlite"
POSTGRESQL = "postgresql://site@db.example/site"

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
    ("headers", "no", "headers", False),
    ("ledger.url", "", "ledger_url", ""),
    ("ledger.url", SQLITE, "ledger_url", SQLITE),
    ("ledger.url", POSTGRESQL, "ledger_url", POSTGRESQL),
    ("deploy.timeout", "2.5", "deploy_timeout", 2.5),
    ("cluster.lease", "5", "cluster_lease", 5.0),
    ("cluster.absent_after", "300", "cluster_absent_after", 300.0),
    ("hot_deploy.pickup_dir", "", "pickup_dirs", ()),
    ("hot_deploy.pickup_dir", "drop", "pickup_dirs", (Path("/site/drop"),)),
    ("hot_deploy.pickup_dir", "/a\n~/b", "pickup_dirs", (Path("/a"), HOME / "b")),
    ("hot_deploy.delete_after_pick_up", "no", "pickup_delete", False),
    ("hot_deploy.update_trigger", "polled", "pickup_trigger", Trigger.POLLED),
    ("hot_deploy.update_trigger", "On-Demand", "pickup_trigger", Trigger.ON_DEMAND),
    ("hot_deploy.polling_rate", "5000", "pickup_rate", 5.0),
    ("hot_deploy.polling_rate", "500ms", "pickup_rate", 0.5),
    ("hot_deploy.polling_rate", "10", "pickup_rate", 0.01),
    ("hot_deploy.polling_rate", "5s", "pickup_rate", 5.0),
    ("hot_deploy.polling_rate", "1m30s", "pickup_rate", 90.0),
    ("hot_deploy.polling_rate", "2M", "pickup_rate", 120.0),
    ("hot_deploy.polling_rate", "1h1m1s1ms", "pickup_rate", 3661.001),
    ("hot_deploy.backup_history", "2", "backup_history", 2),
    ("archives.location", "a:/b", "archive_dirs", (Path("/site/a"), Path("/b"))),
    ("archives.id", "", "archive_ids", ()),
    ("archives.update_trigger", "notified", "archives_trigger", Trigger.NOTIFIED),
    ("archives.update_trigger", "disabled", "archives_trigger", Trigger.DISABLED),
    ("archives.polling_rate", "1h", "archives_rate", 3600.0),
    ("control.max_upload_mb", "10", "upload_limit", 10 * 1024 * 1024),
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
    ("headers", "maybe", "accepted are yes and no"),
    ("ledger.url", "ledger.sqlite", "a URL is needed like sqlite:////srv/site/var/"),
    ("ledger.url", "mysql://db/x", "or postgresql://user@host/database"),
    ("deploy.timeout", "0", "a number of seconds above 0 is needed"),
    ("cluster.lease", "15s", "a number of seconds is needed, 0 or more"),
    ("cluster.absent_after", "-1", "a number of seconds is needed, 0 or more"),
    ("hot_deploy.delete_after_pick_up", "", "accepted are yes and no"),
    ("hot_deploy.update_trigger", "on_demand", "polled, on-demand, disabled"),
    ("hot_deploy.polling_rate", "", "a period is needed, like 500ms, 5s or 1m30s"),
    ("hot_deploy.polling_rate", "5 s", "a period is needed, like 500ms, 5s or 1m30s"),
    ("hot_deploy.polling_rate", "1.5s", "a period is needed, like 500ms, 5s or 1m30s"),
    ("hot_deploy.polling_rate", "5s1m", "a period is needed, like 500ms, 5s or 1m30s"),
    ("hot_deploy.polling_rate", "٣s", "a period is needed, like 500ms, 5s or 1m30s"),
    ("hot_deploy.polling_rate", "²", "a period is needed, like 500ms, 5s or 1m30s"),
    ("hot_deploy.polling_rate", "9", "a period of at least 10ms is needed"),
    ("hot_deploy.backup_history", "1", "a whole number is needed, 2 or more"),
    ("hot_deploy.backup_history", "many", "a whole number is needed, 2 or more"),
    ("archives.id", "a a", "different names are needed"),
    ("archives.id", "a/b", "different names are needed, of letters, digits"),
    ("archives.update_trigger", "", "accepted are notified, polled, on-demand"),
    ("archives.polling_rate", "often", "a period is needed, like 500ms, 5s or 1m30s"),
    ("archives.polling_rate", "0s", "a period of at least 10ms is needed"),
    ("control.max_upload_mb", "1.5", "a whole number of MiB is needed"),
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
    """No key of the ini is left out above; those with paths accept any text."""
    good, bad = {case[0] for case in GOOD}, {case[0] for case in BAD}
    any_text = {
        "service_sources",
        "extra_paths",
        "control.token_file",
        "hot_deploy.pickup_dir",
        "archives.location",
    }

    assert (set(KEYS), set(KEYS) - any_text) == (good, bad)


def test_each_archive_directory_can_have_a_name() -> None:
    """Names stand in the order of the directories."""
    found = parse({"archives.location": "/a\n/b", "archives.id": "one two"})

    assert ((Path("/a"), Path("/b")), ("one", "two")) == (
        found.archive_dirs,
        found.archive_ids,
    )


@pytest.mark.parametrize(
    ("locations", "names", "counted"),
    [
        ("/a:/b", "one", "1 names for 2 directories"),
        ("/a", "one two", "2 names for 1 directories"),
        ("", "one", "1 names for 0 directories"),
    ],
)
def test_names_and_archive_directories_differ(
    locations: str, names: str, counted: str
) -> None:
    """Names that do not go with the directories one by one are refused, and counted."""
    told = refused({"archives.location": locations, "archives.id": names})

    assert f"/site/deploy.ini [app:main] archives.id: {counted}" in told


@pytest.mark.parametrize(
    ("strings", "twice"),
    [
        (
            {"hot_deploy.pickup_dir": "in", "archives.location": "/a:./in"},
            "archives.location: /site/in is in hot_deploy.pickup_dir already",
        ),
        ({"archives.location": "/a:/b:/a"}, "/a is in archives.location already"),
    ],
)
def test_a_directory_is_watched_once(strings: dict[str, str], twice: str) -> None:
    """One that is named twice would be taken for two: it is refused."""
    assert twice in refused(strings)


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
        ("ledger_url", "ledger.url"),
        ("pickup_dir", "hot_deploy.pickup_dir"),
        ("hot_deploy.pick_up_dir", "hot_deploy.pickup_dir"),
        ("archive.location", "archives.location"),
        ("max_upload_mb", "control.max_upload_mb"),
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

    named = [f"f.ini [app:main] {key}{sign} " for key in KEYS for sign in (" =", ":")]
    named += [f"f.ini [app:main] {key} = " for key in strings]
    assert not said or any(said.startswith(start) for start in named)


@given(st.text(min_size=1), st.text())
def test_any_key(key: str, text: str) -> None:
    """Whatever the key, an error names file and section."""
    said = told({key: text})

    assert not said or said.startswith("f.ini [app:main]")
