"""How the next release is started: with the words of the running one."""

from __future__ import annotations

from pathlib import Path

from pointsman.cli.served import same_words

OLD, NEW = Path("/srv/site/releases/site-1.0"), Path("/srv/site/releases/site-1.0.1")


def test_the_script_names_its_own_interpreter() -> None:
    """What stands before the script belongs to the old tree."""
    argv = ["/usr/bin/python3.11", "-BIS", f"{OLD}/bin/paster", "serve", "x=1"]

    assert [f"{NEW}/bin/paster", "serve", "x=1"] == same_words(argv, OLD, NEW)


def test_paths_into_the_tree_move() -> None:
    """Paths move with the release, also behind an option; all other words stay."""
    argv = [
        f"{OLD}/bin/paster",
        "serve",
        "--pid-file=/srv/site/shared/var/paster.pid",
        f"--log-file={OLD}/log",
        "--daemon",
        f"{OLD}/etc/deploy.ini",
        f"ini={OLD}/etc/deploy.ini",
        f"{NEW}/etc/other.ini",
    ]

    assert [
        f"{NEW}/bin/paster",
        "serve",
        "--pid-file=/srv/site/shared/var/paster.pid",
        f"--log-file={NEW}/log",
        "--daemon",
        f"{NEW}/etc/deploy.ini",
        f"ini={NEW}/etc/deploy.ini",
        f"{NEW}/etc/other.ini",
    ] == same_words(argv, OLD, NEW)
