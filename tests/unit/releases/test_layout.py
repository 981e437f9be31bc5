"""What releases are called, and where they lie."""

from __future__ import annotations

from pathlib import Path

import pytest

from pointsman.errors import ReleaseError
from pointsman.releases.layout import Release, Root


@pytest.mark.parametrize(
    ("folder", "name", "version"),
    [
        ("mysite-1.4.0", "mysite", "1.4.0"),
        ("my-old.site_2-1.5.0rc1", "my-old.site_2", "1.5.0rc1"),
        ("mysite-1!2.0+local.7", "mysite", "1!2.0+local.7"),
    ],
)
def test_a_folder_names_a_release(folder: str, name: str, version: str) -> None:
    """What is before the last dash is the name; and back again."""
    found = Release.parse(folder)

    assert (name, version, folder) == (found.name, found.version, str(found))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("mysite", "names no release; write NAME-VERSION"),
        ("", "names no release"),
        ("-1.0", "cannot be the name of a site"),
        ("../x-1.0", "cannot be the name of a site"),
        (".hidden-1.0", "cannot be the name of a site"),
        ("x" * 101 + "-1.0", "at most 100"),
        ("mysite-", "is no version"),
        ("mysite-new", "is no version"),
        ("mysite-1.0/..", "is no version"),
        ("mysite-01.0", "write the version '01.0' as '1.0'"),
        ("mysite-1.0.RC1", "write the version '1.0.RC1' as '1.0rc1'"),
        ("mysite-v1.0", "write the version 'v1.0' as '1.0'"),
    ],
)
def test_what_is_no_release(text: str, told: str) -> None:
    """A name that could leave its place, or a second spelling, is refused."""
    with pytest.raises(ReleaseError) as refused:
        Release.parse(text)

    assert told in str(refused.value)


def test_order_is_that_of_versions() -> None:
    """1.10 is newer than 1.9, a release newer than its candidates."""
    versions = ["1.10.0", "1.9.0", "1.10.0rc1", "1.10.0.post1", "1!0.1", "1.10"]
    found = sorted(Release("a", version) for version in versions)
    other = Release("b", "0.1")

    assert ["1.9.0", "1.10.0rc1", "1.10", "1.10.0", "1.10.0.post1", "1!0.1"] == [
        release.version for release in found
    ]
    assert other > found[-1]


def test_everything_lies_below_the_root() -> None:
    """No folder of a site is outside of it; outer ones are made first."""
    root = Root(Path("/srv/mysite"))
    folders = root.folders()
    made = {Path("/srv")}
    for folder in folders:
        assert folder.parent in made
        made.add(folder)

    assert Path("/srv/mysite/releases/a-1.0") == root.tree(Release("a", "1.0"))
    assert {root.local_settings.parent, root.var, root.logs, root.trash} < made
    assert {root.lock.parent, root.journal.parent, root.line.parent} == {root.store}
