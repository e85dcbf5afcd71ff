"""What one request has cost so far, and what came of it: told by whoever knows, read once by the edge at its end.

A store adds each of its requests, `current().asked_store(ms)`, and needs to know of nothing else. The context carries
the tally, so tasks that a request starts add to its own; outside of a request, what is told is nobody's.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field


@dataclass(kw_only=True)
class Tally:
    """Times are milliseconds, one for each request to the store, and one for each speech."""

    store_ms: list[float] = field(default_factory=list)
    speech_ms: list[float] = field(default_factory=list)
    """Of live keys' memos: test keys and demos are simulated."""

    memos: int = 0
    key_id: str | None = None
    """Which API key called; never the key itself."""

    error: str | None = None
    """The code of the error that was answered."""

    def asked_store(self, took_ms: float) -> None:
        self.store_ms.append(took_ms)

    def spoke(self, took_ms: float) -> None:
        self.speech_ms.append(took_ms)


_current: ContextVar[Tally | None] = ContextVar("tally", default=None)


def current() -> Tally:
    """The tally of the request being served."""
    return _current.get() or Tally()


@contextmanager
def tallied() -> Iterator[Tally]:
    """A new tally, for what runs within."""
    tally = Tally()
    token = _current.set(tally)
    try:
        yield tally
    finally:
        _current.reset(token)
