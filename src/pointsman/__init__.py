"""Deploy, upgrade, stop and roll back services inside running WSGI servers.

This is what the author of a service imports; everything else is the program's own.
"""

from pointsman.service import Service

__all__ = ["Service"]

__version__ = "0.1.0"
