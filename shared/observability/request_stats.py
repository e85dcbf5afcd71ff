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
    """The statistics of one request. Times are milliseconds: one for each request to the store or to Stripe."""

    store_ms: list[float] = field(default_factory=list)
    speech_ms: list[float] = field(default_factory=list)
    """One time for each speech of a live key's memo: test keys and demos are simulated."""

    stripe_ms: list[float] = field(default_factory=list)
    memos: int = 0
    plans_changed: int = 0
    mails_failed: int = 0
    key_id: str | None = None
    """The id of the API key that called; never the key itself."""

    user_id: str | None = None
    """The id of the user whose key or session called, or who signed up or logged in."""

    error: str | None = None
    """The code of the error in the answer."""

    error_status: int | None = None
    """The status of that error, if the answer has another: a failed tool call is answered 200."""

    def asked_store(self, took_ms: float) -> None:
        self.store_ms.append(took_ms)

    def asked_stripe(self, took_ms: float) -> None:
        self.stripe_ms.append(took_ms)

    def spoke(self, took_ms: float) -> None:
        self.speech_ms.append(took_ms)


_current: ContextVar[RequestStats | None] = ContextVar("request_stats", default=None)


def current() -> RequestStats:
    """Return the statistics of the request being served. Outside a request: new ones, which are discarded."""
    return _current.get() or RequestStats()


@contextmanager
def collected() -> Iterator[RequestStats]:
    """Collect the statistics of the code inside."""
    stats = RequestStats()
    token = _current.set(stats)
    try:
        yield stats
    finally:
        _current.reset(token)
