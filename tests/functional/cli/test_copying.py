"""A site moves to PostgreSQL, and back from a backup: by commands alone."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

from click.testing import CliRunner

from cluster_site import ClusterSite, digest, shop, stock
from contract.ledger.scene import PostgresqlPlace
from pointsman.cli import main

if TYPE_CHECKING:
    from pathlib import Path

NEW = {"shop": shop(2), "stock": stock(2)}


def typed(*words: str) -> str:
    """Type a command that must succeed; return what it says."""
    done = CliRunner().invoke(main, list(words))
    assert 0 == done.exit_code, done.output
    return done.output


def test_a_site_moves(tmp_path: Path) -> None:
    """Copied, started on the copy: it serves the same, and deploys on; backed up, too.

    The password of a URL is never told.
    """
    (tmp_path / "old").mkdir()
    (tmp_path / "new").mkdir()
    with ClusterSite(tmp_path / "old") as old, closing(PostgresqlPlace()) as place:
        server = old.server().start()
        server.deploy(shop=shop(1), stock=stock(1))
        secret = place.url.replace("postgres@", "postgres:secret@")
        told = typed("ledger", "copy", old.ledger_url, secret)
        assert "generation 1 is active" in told
        assert "secret" not in told
        server.stop()

        with ClusterSite(tmp_path / "new", place.url) as new:
            moved = new.server().start()
            assert "1 1" == moved.text()
            moved.deploy(**NEW)
            ini, file = str(moved.ini), str(tmp_path / "site.ledger")
            told = typed("ledger", "backup", file, "--ini", ini, "--json")
            assert '"active": 2' in told

        again = CliRunner().invoke(main, ["ledger", "restore", file, "--ini", ini])
        assert 1 == again.exit_code
        assert "name one that is new" in again.output

    (tmp_path / "third").mkdir()
    with ClusterSite(tmp_path / "third") as third:
        restored = third.server()
        typed("ledger", "restore", file, "--ini", str(restored.ini))
        assert {name: digest(text) for name, text in NEW.items()} == third.active()
        assert "2 2" == restored.start().text()
