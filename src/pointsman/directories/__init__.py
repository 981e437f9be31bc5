"""Directories that are watched: what is put into them is deployed.  Engine.

From above: `engine` has the thread, `taking` and `mirrored` the kinds of directories
(`standing` and `place` are what they share), `desk` proposes, `failures` tells who has
to stay out when a generation fails.
"""

from pointsman.directories.engine import Directories
from pointsman.directories.reports import DirectoryReport

__all__ = ["Directories", "DirectoryReport"]
