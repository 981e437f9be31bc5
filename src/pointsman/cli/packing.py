"""``pack``: a folder becomes an archive.  Edge."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import click

from pointsman import pack as packer
from pointsman.cli import tables
from pointsman.cli.options import FILE, ending, examples
from pointsman.cli.progress import Progress


@click.command(
    epilog=examples(
        "pointsman pack crm/ -o crm-1.2.0.sar",
        "pointsman pack crm/ -r crm/requirements.txt -o crm-1.2.0.sar",
        "pointsman pack crm/ -o crm.sar && pointsman deploy crm.sar",
    )
)
@click.argument("folder", metavar="DIR", type=click.Path(exists=True, path_type=Path))
@click.option(
    "-r",
    "--requirements",
    type=FILE,
    help="What pip shall put into lib/, for this package alone.",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    required=True,
    help="The archive, like crm-1.2.0.sar.",
)
@ending
def pack(
    *, folder: Path, requirements: Path | None, output: Path, as_json: bool
) -> int:
    """Pack a folder that has a service.ini into an archive.

    The same files make the same archive, byte for byte, wherever it is packed.
    """
    with Progress() as progress:
        progress.say(f"packing {folder}")
        packed = packer.pack(folder, output, requirements=requirements)
    if as_json:
        tables.print_json({"file": str(output), **dataclasses.asdict(packed)})
    else:
        tables.say(f"{output}: {packed.files} files, {packed.size} bytes")
        tables.say(f"sha256 {packed.digest}")
    return 0
