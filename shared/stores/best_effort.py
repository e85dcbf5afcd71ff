"""Write what a request must not fail for."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from shared.stores.port import StoreError

_log = logging.getLogger("agent_talk.best_effort")


@contextmanager
def best_effort(failed: str, **ids: object) -> Iterator[None]:
    """Log a store's error as the message `failed` with these ids, and go on."""
    try:
        yield
    except StoreError:
        _log.exception(failed, extra=ids)
