"""Which site a ``release`` command means, and the names of its releases.  Edge."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pointsman.errors import Error

if TYPE_CHECKING:
    from collections.abc import Callable

    from pointsman.releases.store import Store

VARIABLE = "POINTSMAN_ROOT"


def rooted(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--root``; hand it over as ``store``."""

    @functools.wraps(command)
    def with_store(*, root: Path | None, **given: Any) -> Any:
        return command(store=opened(root), **given)

    return option(with_store)


def there(command: Callable[..., Any]) -> Callable[..., Any]:
    """Do what `rooted` does, for a site that must be there."""

    @functools.wraps(command)
    def with_site(*, store: Store, **given: Any) -> Any:
        if not store.root.releases.is_dir():
            raise click.BadParameter(
                f"{store.root.path} is no site: it has no folder releases",
                param_hint="--root",
            )
        return command(store=store, **given)

    return rooted(with_site)


option = click.option(
    "--root",
    type=click.Path(file_okay=False, path_type=Path),
    envvar=VARIABLE,
    metavar="DIR",
    help=f"The root of the site.  [${VARIABLE}, or that of this folder or program]",
)


def opened(root: Path | None) -> Store:
    """Return the store of the site that is meant; nothing is made.

    Raises:
        click.UsageError: nothing says which one.

    """
    # They are needed by few commands, and imported by those.
    from pointsman.releases.store import Store  # noqa: PLC0415

    return Store(root or _around() or _of_this_program())


def names(
    context: click.Context, _parameter: click.Parameter, incomplete: str
) -> list[str]:
    """Return the releases that begin so, by their whole name or their version."""
    from pointsman.releases import listing  # noqa: PLC0415 - see `opened`

    try:
        there = listing.present(opened(context.params.get("root")).root)
    except (Error, OSError, click.UsageError):
        return []
    words = [word for one in there for word in (str(one), one.version)]
    return [word for word in words if word.startswith(incomplete)]


def _around() -> Path | None:
    """Return the site that the working folder is, or lies in."""
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / "releases").is_dir() and (folder / ".store").is_dir():
            return folder
    return None


def _of_this_program() -> Path:
    """Return the site of the release that this program runs from."""
    from pointsman.releases.occupancy import own_tree  # noqa: PLC0415 - see `opened`

    tree = own_tree()
    if tree is None:
        raise click.UsageError(
            "which site? this folder is in none; name its root with --root"
        )
    return tree.parent.parent
