"""The ``pointsman`` command of operators.  Edge.

Read in this order: ``commands``, ``options`` (what they share, and how they end),
``sections`` (what an ini says), ``hosts`` (where a running host is reached),
``rehearsing`` (the check), ``tables`` (what people see).

Exit codes: 0 done, 1 refused, 2 usage, 3 not reachable.
"""

from pointsman.cli.commands import main

__all__ = ["main"]
