"""Opening what somebody else has packed, safely.

The pieces, from below: `directory` reads and checks the list of files of a zip,
`members` its bytes, `names` what files may be called; `manifest` reads a
``service.ini``, `wheel` what a wheel says of itself, `record` its digests; `opening`
makes a package of it.

Nothing of a package is run here, nothing is written, and no more is read or kept in
memory than the limits allow, whatever the file says of itself.
"""

from pointsman.archive.opening import (
    Identity,
    identify,
    open_package,
    open_stream,
)

__all__ = ["Identity", "identify", "open_package", "open_stream"]
