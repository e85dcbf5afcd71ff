"""Writes that must not fail their request, and writes that one failed attempt must not lose."""

import logging
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Final

from shared.stores.port import StoreError, StoreUnavailable

SENT_MOST: Final = 3
"""Attempts of `repeated`. If one in 20 fails, one write in 8,000 is lost; more would exhaust the request's time."""

_log = logging.getLogger("agent_talk.best_effort")


@contextmanager
def best_effort(failed: str, **ids: object) -> Iterator[None]:
    """Suppress a StoreError of the code inside. It is logged as the message `failed`, with these ids."""
    try:
        yield
    except StoreError:
        _log.exception(failed, extra=ids)


async def repeated(send: Callable[[], Awaitable[object]], failed: str, **ids: object) -> None:
    """Send an idempotent write until it is acknowledged, SENT_MOST times at most. Raises the last StoreUnavailable.

    Earlier failures are logged as the message `failed` with these ids.
    """
    for _ in range(SENT_MOST - 1):
        try:
            await send()
        except StoreUnavailable as exc:
            _log.warning("%s: it is sent again", failed, extra={**ids, "error": str(exc)})
        else:
            return
    await send()
