"""The request being served: its id and its deadline."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

request_id: ContextVar[str | None] = ContextVar("request_id", default=None)
"""The id of the request being served, for log lines."""

REQUEST_S: Final = 12.0
"""Seconds that a request has. Below the functions' 15 s, so that an outage is answered 503 before Lambda's timeout."""

ends_at: ContextVar[float | None] = ContextVar("ends_at", default=None)
"""The deadline of the request being served, in seconds of the monotonic clock; None outside a request."""


def time_left_s() -> float:
    """Return the seconds until the request being served must be answered. Outside a request: REQUEST_S."""
    ends = ends_at.get()
    return REQUEST_S if ends is None else ends - time.monotonic()


UNDO_S: Final = 1.2
"""Least seconds for undoing, even after the request's deadline. A request undoes at most twice (it gives places back,
then removes rows), which still ends before the functions' 15 s."""


@contextmanager
def time_to_undo() -> Iterator[None]:
    """Move the request's deadline, for the code inside, to at least UNDO_S from now."""
    ends = ends_at.get()
    if ends is None:
        yield
        return
    token = ends_at.set(max(ends, time.monotonic() + UNDO_S))
    try:
        yield
    finally:
        ends_at.reset(token)
