"""The request being served: its id, and the time that is left for it."""

import time
from contextvars import ContextVar
from typing import Final

request_id: ContextVar[str | None] = ContextVar("request_id", default=None)
"""The id of the request being served, for log lines."""

REQUEST_S: Final = 12.0
"""A request's time: below the functions' 15 s, so that an outage is answered and not cut off."""

ends_at: ContextVar[float | None] = ContextVar("ends_at", default=None)
"""When the time of the request being served is up, on the monotonic clock."""


def time_left_s() -> float:
    """Seconds until the request being served must be answered."""
    ends = ends_at.get()
    return REQUEST_S if ends is None else ends - time.monotonic()
