"""Deploy, upgrade, stop and roll back services inside running WSGI servers.

This is what the author of a service imports; everything else is the program's own.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pointsman.service import Service

__all__ = ["Service"]

__version__ = "0.1.0"


def __getattr__(name: str) -> object:
    """Import `Service` when it is asked for (PEP 562).

    setup.py imports commands of this package before WebOb is installed.
    """
    if name != "Service":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from pointsman.service import Service  # noqa: PLC0415 - see above

    globals()[name] = Service
    return Service
