"""Per-request statistics: store calls, memos made, key id, error code.

Code anywhere adds to them, as `request_stats.current().asked_store(ms)`; the middleware logs them once, when the
response ends. The context carries them, so tasks that a request starts add to the request's own.
Outside a request they are discarded.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field


@dataclass(kw_only=True)
class RequestStats:
    """Times are milliseconds, one for each request to the store, to Stripe, and one for each speech."""

    store_ms: list[float] = field(default_factory=list)
    speech_ms: list[float] = field(default_factory=list)
    """Milliseconds of speech for live keys' memos: test keys and demos are simulated."""

    stripe_ms: list[float] = field(default_factory=list)
    memos: int = 0
    plans_changed: int = 0
    mails_failed: int = 0
    key_id: str | None = None
    """Which API key called; never the key itself."""

    user_id: str | None = None
    """Whose key or session called, or who signed up or in."""

    error: str | None = None
    """The code of the error that was answered."""

    error_status: int | None = None
    """The status of that error, if the answer's own is another: a tool that failed is answered 200."""

    def asked_store(self, took_ms: float) -> None:
        self.store_ms.append(took_ms)

    def asked_stripe(self, took_ms: float) -> None:
        self.stripe_ms.append(took_ms)

    def spoke(self, took_ms: float) -> None:
        self.speech_ms.append(took_ms)


_current: ContextVar[RequestStats | None] = ContextVar("request_stats", default=None)


def current() -> RequestStats:
    """Return the statistics of the request being served; outside a request, ones that are discarded."""
    return _current.get() or RequestStats()


@contextmanager
def collected() -> Iterator[RequestStats]:
    """Collect the statistics of what runs within."""
    stats = RequestStats()
    token = _current.set(stats)
    try:
        yield stats
    finally:
        _current.reset(token)
