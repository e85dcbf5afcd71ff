"""Writing what no request may fail for."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from shared.stores.port import StoreError

_log = logging.getLogger("agent_talk.best_effort")


@contextmanager
def best_effort(failed: str, **ids: object) -> Iterator[None]:
    """What the store refuses is logged, as `failed` and with these ids, and goes no further."""
    try:
        yield
    except StoreError:
        _log.exception(failed, extra=ids)
