"""Write what a request must not fail for, and what one failed sending must not lose."""

import logging
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Final

from shared.stores.port import StoreError, StoreUnavailable

SENT_MOST: Final = 3
"""How often `repeated` sends. Of writes that fail once in twenty, one in 8,000 is lost; more would use up the time."""

_log = logging.getLogger("agent_talk.best_effort")


@contextmanager
def best_effort(failed: str, **ids: object) -> Iterator[None]:
    """Log a store's error as the message `failed` with these ids, and go on."""
    try:
        yield
    except StoreError:
        _log.exception(failed, extra=ids)


async def repeated(send: Callable[[], Awaitable[object]], failed: str, **ids: object) -> None:
    """Send what may be carried out twice, until it is acknowledged. Raises the last StoreUnavailable.

    An earlier failure is logged as the message `failed` with these ids.
    """
    for _ in range(SENT_MOST - 1):
        try:
            await send()
        except StoreUnavailable as exc:
            _log.warning("%s: it is sent again", failed, extra={**ids, "error": str(exc)})
        else:
            return
    await send()
