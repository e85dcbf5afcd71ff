"""The request being served: its id and its deadline."""

import time
from contextvars import ContextVar
from typing import Final

request_id: ContextVar[str | None] = ContextVar("request_id", default=None)
"""The id of the request being served, for log lines."""

REQUEST_S: Final = 12.0
"""Seconds that a request has. Below the functions' 15 s, so that an outage is answered 503 before Lambda stops it."""

ends_at: ContextVar[float | None] = ContextVar("ends_at", default=None)
"""The deadline of the request being served, in seconds of the monotonic clock; None outside a request."""


def time_left_s() -> float:
    """Return the seconds until the request being served must be answered; outside a request, a whole request's."""
    ends = ends_at.get()
    return REQUEST_S if ends is None else ends - time.monotonic()
