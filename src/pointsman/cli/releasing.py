"""``release build`` and ``release publish``: where releases come from.  Edge."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from pointsman.cli import root, tables
from pointsman.cli.options import FILE, ending, examples
from pointsman.cli.progress import Progress
from pointsman.errors import ReleaseError

if TYPE_CHECKING:
    from pointsman.releases.publish import Published
    from pointsman.releases.source import Built
    from pointsman.releases.store import Store


@click.command(
    epilog=examples(
        "pointsman release build --root /srv/mysite",
        "pointsman release build /net/share/mysite-1.5.0.tar.gz --root /srv/mysite",
        "pointsman release build . --root /srv/mysite --version 1.5.0rc1 --test",
    )
)
@click.argument(
    "source",
    metavar="[SOURCE]",
    type=click.Path(exists=True, path_type=Path),
    default=".",
)
@click.option("--version", default="", help="Call it so, and not as the project does.")
@click.option("--test", is_flag=True, help="Only when all of its tests pass here.")
@click.option(
    "--python",
    default="",
    metavar="COMMAND",
    help="Who starts its bootstrap.py.  [the Python that runs this]",
)
@ending
@root.rooted
def build(
    *,
    source: Path,
    version: str,
    test: bool,
    python: str,
    store: Store,
    as_json: bool,
) -> int:
    """Build a release: a folder with a deploy.cfg, or an sdist of one.

    Nothing that serves is touched; activate it when you like.  The same content again
    changes nothing, other content for the same version is refused.
    """
    from pointsman.releases import source as sources  # noqa: PLC0415 - see `root`

    site = store.root  # which may begin with this release
    try:
        with Progress() as progress:
            built = sources.build(
                source,
                site,
                version=version,
                test=test,
                python=python,
                on_line=lambda what, line: progress.say(f"{what}: {line}"),
            )
    except sources.BuildError as error:
        if as_json:
            raise ReleaseError(f"{error}\n{error.output.rstrip()}") from error
        tables.say(error.output.rstrip())
        raise
    _tell_built(built, site.tree(built.release), as_json=as_json)
    return 0


def _tell_built(built: Built, tree: Path, *, as_json: bool) -> None:
    if as_json:
        tables.print_json(
            {"release": str(built.release), "tree": str(tree), "fresh": built.fresh}
        )
    elif built.fresh:
        tables.say(f"{tree} is built; serve it: pointsman release activate", "green")
    else:
        tables.say(f"{tree} is there already, with the same content")


@click.command(
    epilog=examples(
        "pointsman release publish dist/mysite-1.5.0.tar.gz --to /net/share",
        'pointsman release publish dist/* --to /net/share --force "incident 42"',
    )
)
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=FILE)
@click.option(
    "--to",
    metavar="DIR",
    required=True,
    type=click.Path(path_type=Path),
    help="The directory that all servers see.",
)
@click.option(
    "--force",
    default="",
    metavar="REASON",
    help="Whatever speaks against it; the reason is logged.",
)
@ending
def publish(*, files: tuple[Path, ...], to: Path, force: str, as_json: bool) -> int:
    """Put sdists, with their checksums, where all servers see them.

    Only what was tested, committed and tagged in this folder, and never over a version
    that has other content.
    """
    from pointsman.releases import publish as publishing  # noqa: PLC0415 - see `root`

    found = publishing.publish(files, to, force=force)
    if as_json:
        tables.print_json(_document(found))
        return 0
    for reason in found.overruled:
        tables.note(f"overruled: {reason}")
    for file in found.files:
        word = "published" if file.fresh else "there already, with the same content"
        tables.say(f"{file.path}: {word}")
        tables.say(f"sha256 {file.sha256}")
    return 0


def _document(found: Published) -> dict[str, object]:
    files = [
        {
            "file": str(one.path),
            "sha256": one.sha256,
            "size": one.size,
            "fresh": one.fresh,
        }
        for one in found.files
    ]
    return {"files": files, "overruled": list(found.overruled)}
