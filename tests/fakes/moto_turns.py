"""One call of moto at a time: its rows are plain dictionaries, which one thread must not read while another writes."""

import threading
from typing import Any, Final

_TURN: Final = threading.RLock()
"""Held during a call, by all clients. A call may make another one, so it is reentrant."""


def in_turns(client: Any) -> Any:
    """Return the client of boto3, changed so that its calls to moto take turns, whichever thread makes them."""
    events = client.meta.events
    events.register_first("before-call", _begin)
    events.register_last("after-call", _end)
    events.register_last("after-call-error", _end)
    return client


def _begin(**_: Any) -> None:
    _TURN.acquire()


def _end(**_: Any) -> None:
    _TURN.release()
