"""The ``pointsman`` command of operators.  Edge.

Read in this order: ``commands`` (what there is), ``options`` (what they share, and
how they end), ``reached`` (what a command can do with a cluster), ``reaching`` (which
way it gets there): ``over_http`` through ``hosts``, or ``over_ledger`` with its
``ledger_view`` and ``voters``.

One module for each group of commands: ``deploying`` (with ``watching`` and
``units``), ``looking``, ``history``, ``people``, ``users``, ``reloading``, ``packing``,
``checking`` (with ``rehearsing``), ``damage``.  What people see: ``tables``,
``verdicts``, ``differences``, ``records``, ``overview``, ``progress``.

Exit codes: 0 done, 1 refused, 2 usage, 3 not reachable.
"""

from pointsman.cli.commands import main

__all__ = ["main"]
