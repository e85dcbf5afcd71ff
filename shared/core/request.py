"""The request being served: its id and its deadline."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
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


UNDO_S: Final = 1.2
"""Seconds that undoing has at least, when the request's time is up. Twice of it still ends before the functions'
15 s: places are given back first, then rows are removed."""


@contextmanager
def time_to_undo() -> Iterator[None]:
    """Leave what runs within at least UNDO_S, whatever the request has left."""
    ends = ends_at.get()
    if ends is None:
        yield
        return
    token = ends_at.set(max(ends, time.monotonic() + UNDO_S))
    try:
        yield
    finally:
        ends_at.reset(token)
