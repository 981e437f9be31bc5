"""What a server must check of a response, for servers that do not.  Decisions.

PEP 3333 lets ``start_response`` refuse a status or a header that would end the
headers early or confuse the client.  waitress, gunicorn and mod_wsgi do; uWSGI
sends whatever it is given.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from wsgiref.types import StartResponse

_STATUS = re.compile(r"[1-9][0-9]{2} [\x20-\x7e\x80-\xff]*\Z")
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z")  # a token, RFC 9110, 5.6.2
_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*\Z")  # RFC 9110, 5.5


def checked(
    start_response: StartResponse, status: Any, headers: Any, exc_info: Any = None
) -> Any:
    """Call the server's ``start_response``, if what it is given can be sent.

    Raises:
        TypeError: status, headers or one of them are of the wrong type.
        ValueError: one of them has characters that cannot be sent.

    """
    if type(status) is not str:
        raise TypeError(f"the status {status!r} is no str, like '200 OK'")
    if not _STATUS.match(status):
        raise ValueError(f"the status {status!r} is not like '200 OK'")
    if type(headers) is not list:
        raise TypeError(f"the headers are {type(headers).__name__}, not a list")
    for header in headers:
        _check(header)
    if not exc_info:
        return start_response(status, headers)
    try:
        # uWSGI takes exc_info for an error that it must print, and sends no body.
        return start_response(status, headers)
    except OSError:  # it has sent the first headers already
        raise exc_info[1] from None


def _check(header: Any) -> None:
    if type(header) is not tuple or [type(part) for part in header] != [str, str]:
        raise TypeError(f"the header {header!r} is no tuple of two str")
    name, value = header
    if not _NAME.match(name):
        raise ValueError(f"the header {name!r} has a name that cannot be sent")
    if not _VALUE.match(value):
        raise ValueError(
            f"the header {name} has a value that cannot be sent: {value!r}"
        )
