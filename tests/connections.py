"""One client for all requests of tests that are each on a connection of their own."""

from __future__ import annotations

import httpx

#: Any thread.  `httpx.request` reads all certificates each time: 20 ms of processor.
ONE_SHOT = httpx.Client(
    headers={"Connection": "close"},
    limits=httpx.Limits(max_keepalive_connections=0),
    timeout=60,
    trust_env=False,
)
