"""A request's log line and its metrics, in CloudWatch's embedded metric format, written when the response ends.

| metric | unit | |
|---|---|---|
| `Memos` | count | memos made |
| `LimitRefusals` · `ClientErrors` | count | answers 429 · other 4xx |
| `SpeechErrors` · `StoreErrors` · `InternalErrors` | count | answers 502 · 503 · other 5xx |
| `AudioNotReady` | count | answers 503 while a memo's audio is being made: no failure |
| `MailErrors` | count | mails that were not sent |
| `PlanChanges` | count | users whose tier was changed to the one they have at Stripe |
| `StripeLatency` | ms | each request to Stripe, with its repeats |
| `Duration` | ms | from the request to the end of its answer |
| `StoreRequests` | count | requests to the store |
| `StoreLatency` | ms | each of them |
| `SpeechLatency` | ms | each speech that was made for a live key |
| `ColdStarts` | count | first requests of a container |

A run of housekeeping has `Duration`, `StoreRequests`, `StoreLatency`, and of its own:

| metric | unit | |
|---|---|---|
| `WorkDone` | count | pieces of work that were finished |
| `WorkFailed` | count | pieces, or whole jobs, that failed; the next run repeats them |
| `OldestWork` | s | how long the oldest unfinished piece has been due; missing if a job failed |

The function is the only dimension, so each has at most these fifteen series. The route, the error's code and the
request's id are metadata: searchable, and no further series.
"""

import json
from dataclasses import dataclass
from typing import Final

from shared.core.errors import AudioNotReady
from shared.observability import trace
from shared.observability.request_stats import RequestStats

NAMESPACE: Final = "AgentTalk"

VALUES: Final = 99
"""Values of one metric in a line: the format allows 100. Further store requests are counted and not timed."""

KINDS: Final = {429: "LimitRefusals", 502: "SpeechErrors", 503: "StoreErrors"}
"""The metric of each status that only one kind of error has."""


@dataclass(frozen=True, kw_only=True)
class Served:
    """A finished request. `route` is the template of its path: the path itself may contain anything."""

    request_id: str | None
    client: str | None
    """The pseudonym of the client's address; None before the container has a secret."""

    method: str
    route: str | None
    status: int | None
    duration_ms: float
    cold_start: bool
    spent: RequestStats

    def line(self) -> dict[str, object]:
        """Return the log line's fields. The formatter adds the ids of the request and its trace."""
        return {
            "method": self.method,
            "route": self.route,
            "status": self.status,
            "duration_ms": self.duration_ms,
            "cold_start": self.cold_start,
            "store_requests": len(self.spent.store_ms),
            "store_ms": round(sum(self.spent.store_ms), 1),
            "client": self.client,
            "user_id": self.spent.user_id,
            "key_id": self.spent.key_id,
            "error": self.spent.error,
        }


def kind_of_error(status: int | None, code: str | None = None) -> str | None:
    """Return the metric that counts answers of this status and code. None: it is no error."""
    if status is None or status < 400:
        return None
    if code == AudioNotReady.code:
        return "AudioNotReady"  # no failure: the alarm of failures subtracts these answers
    return KINDS.get(status, "ClientErrors" if status < 500 else "InternalErrors")


def emit(served: Served, *, function: str) -> None:
    """Write a request's metrics to standard output, in one line."""
    from aws_lambda_powertools.metrics import EphemeralMetrics  # noqa: PLC0415 needed only if metrics are on

    spent = served.spent
    metrics = EphemeralMetrics(namespace=NAMESPACE)
    metrics.add_dimension("function", function)
    metrics.add_metric("Duration", "Milliseconds", served.duration_ms)
    metrics.add_metric("StoreRequests", "Count", len(spent.store_ms))
    for name, times in (
        ("StoreLatency", spent.store_ms),
        ("SpeechLatency", spent.speech_ms),
        ("StripeLatency", spent.stripe_ms),
    ):
        for took_ms in times[:VALUES]:
            metrics.add_metric(name, "Milliseconds", round(took_ms, 3))
    counts = (
        ("Memos", spent.memos),
        ("MailErrors", spent.mails_failed),
        ("PlanChanges", spent.plans_changed),
        ("ColdStarts", int(served.cold_start)),
        (kind_of_error(spent.error_status or served.status, spent.error), 1),
    )
    for counted, count in counts:
        if counted is not None and count:
            metrics.add_metric(counted, "Count", count)
    continued = trace.current()
    beside = {
        "request_id": served.request_id,
        "trace_id": None if continued is None else continued.trace_id,
        "method": served.method,
        "route": served.route,
        "status": served.status,
        "error": spent.error,
    }
    for name, value in beside.items():
        if value is not None:
            metrics.add_metadata(name, value)
    print(json.dumps(metrics.serialize_metric_set(), separators=(",", ":")), flush=True)  # noqa: T201 the log is standard output


def emit_run(
    *, function: str, done: int, failed: int, oldest_s: float | None, spent: RequestStats, duration_ms: float
) -> None:
    """Write the metrics of a run of housekeeping to standard output, in one line."""
    from aws_lambda_powertools.metrics import EphemeralMetrics  # noqa: PLC0415 needed only if metrics are on

    metrics = EphemeralMetrics(namespace=NAMESPACE)
    metrics.add_dimension("function", function)
    metrics.add_metric("Duration", "Milliseconds", duration_ms)
    metrics.add_metric("StoreRequests", "Count", len(spent.store_ms))
    metrics.add_metric("WorkDone", "Count", done)
    metrics.add_metric("WorkFailed", "Count", failed)
    if oldest_s is not None:
        metrics.add_metric("OldestWork", "Seconds", oldest_s)
    for took_ms in spent.store_ms[:VALUES]:
        metrics.add_metric("StoreLatency", "Milliseconds", round(took_ms, 3))
    print(json.dumps(metrics.serialize_metric_set(), separators=(",", ":")), flush=True)  # noqa: T201 the log is standard output
