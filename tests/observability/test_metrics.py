"""A request's metrics, in CloudWatch's embedded metric format."""

import json
from typing import Any

import pytest

from shared.observability import trace
from shared.observability.metrics import VALUES, Served, emit, emit_run
from shared.observability.request_stats import RequestStats

TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"


def served(spent: RequestStats, *, status: int | None = 200, cold_start: bool = False) -> Served:
    return Served(
        request_id="r-1",
        client=None,
        method="GET",
        route="/api/v1/memos",
        status=status,
        duration_ms=12.5,
        cold_start=cold_start,
        spent=spent,
    )


def written(capsys: pytest.CaptureFixture[str]) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the fields of the written line, and the unit of each metric."""
    fields = json.loads(capsys.readouterr().out)
    (group,) = fields.pop("_aws")["CloudWatchMetrics"]
    assert (group["Namespace"], group["Dimensions"]) == ("AgentTalk", [["function"]])
    return fields, {metric["Name"]: metric["Unit"] for metric in group["Metrics"]}


def test_metrics_have_all_that_a_request_has_spent(capsys: pytest.CaptureFixture[str]) -> None:
    """Each time and each count has its own name and unit; the line also has the fields that identify the request."""
    spent = RequestStats(
        store_ms=[1.23456, 2], speech_ms=[3], stripe_ms=[4], memos=2, plans_changed=3, mails_failed=4, error="X"
    )
    with trace.continued([(b"traceparent", f"00-{TRACE_ID}-00f067aa0ba902b7-01".encode())]):
        emit(served(spent, status=500, cold_start=True), function="memos")
    fields, units = written(capsys)
    times = {"Duration": [12.5], "StoreLatency": [1.235, 2], "SpeechLatency": [3], "StripeLatency": [4]}
    counts = {"StoreRequests": 2, "Memos": 2, "PlanChanges": 3, "MailErrors": 4, "ColdStarts": 1, "InternalErrors": 1}
    beside = {
        "function": "memos",
        "request_id": "r-1",
        "trace_id": TRACE_ID,
        "method": "GET",
        "route": "/api/v1/memos",
        "status": 500,
        "error": "X",
    }
    assert fields == times | {name: [count] for name, count in counts.items()} | beside
    assert units == dict.fromkeys(times, "Milliseconds") | dict.fromkeys(counts, "Count")


def test_metrics_leave_out_what_did_not_happen(capsys: pytest.CaptureFixture[str]) -> None:
    """A count of zero is no value of its series, and an absent id no text."""
    emit(served(RequestStats()), function="memos")
    fields, units = written(capsys)
    assert units == {"Duration": "Milliseconds", "StoreRequests": "Count"}
    assert fields.keys() - units.keys() == {"function", "request_id", "method", "route", "status"}


def test_metrics_take_the_error_before_the_answers_status(capsys: pytest.CaptureFixture[str]) -> None:
    """A tool that failed is answered 200: its error is counted by its own status."""
    emit(served(RequestStats(error="X", error_status=429)), function="mcp")
    assert written(capsys)[0]["LimitRefusals"] == [1]


def test_metrics_of_a_run_have_its_work(capsys: pytest.CaptureFixture[str]) -> None:
    """They have its work, and the times of its store requests, as many as the format allows."""
    spent = RequestStats(store_ms=[1.23456] * (VALUES + 1))
    emit_run(function="housekeeping", done=3, failed=1, oldest_s=60.0, spent=spent, duration_ms=12.5)
    fields, units = written(capsys)
    assert fields.pop("StoreLatency") == [1.235] * VALUES
    assert fields == {
        "function": "housekeeping",
        "Duration": [12.5],
        "StoreRequests": [VALUES + 1],
        "WorkDone": [3],
        "WorkFailed": [1],
        "OldestWork": [60.0],
    }
    assert (units["Duration"], units["StoreLatency"], units["OldestWork"]) == (
        "Milliseconds",
        "Milliseconds",
        "Seconds",
    )
