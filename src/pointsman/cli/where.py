"""What the command line says about which host is meant.  Values."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Where:
    """The options of one call; ``timeout`` is how long an answer may take, in seconds.

    With ``ledger`` no server is asked.  With ``user``, whose password is asked for, no
    token is sent.
    """

    ini: Path | None = None
    url: str | None = None
    token_file: Path | None = None
    user: str = ""
    ledger: bool = False
    server_name: str = "main"
    variables: Mapping[str, str] = field(default_factory=dict)
    timeout: float = 300.0
