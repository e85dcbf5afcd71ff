"""Housekeeping's function: the log line of a run, its metrics, and the accepted events."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from shared.web.schedule_function import ScheduleFunction
from tests.events import LambdaContext, schedule_event


def stepping() -> Iterator[float]:
    """Yield the times of a clock that advances by a quarter of a second at each read."""
    at_s = 50.0
    while True:
        yield at_s
        at_s += 0.25


@pytest.fixture
def function() -> Iterator[ScheduleFunction]:
    function = ScheduleFunction(environ={}, monotonic=stepping().__next__)
    yield function
    function.close()


def ran(function: ScheduleFunction, environ: Mapping[str, str], capsys: pytest.CaptureFixture[str]) -> Any:
    """Run the function in an environment. Returns its metrics; None: it wrote none."""
    other = function.with_environment(environ)
    capsys.readouterr()
    other(schedule_event(), LambdaContext())
    other.close()
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    return next((line for line in lines if "_aws" in line), None)


def test_schedule_function_answers_with_the_line_of_the_run(function: ScheduleFunction) -> None:
    """The line has jobs, the age of the oldest work, milliseconds and requests. In an empty store nothing waits."""
    line = function(schedule_event(), LambdaContext())
    assert [(job["waiting"], job["failed"], job["is_done"]) for job in line["jobs"].values()] == [(0, 0, True)] * 3
    assert (line["oldest_s"], line["duration_ms"]) == (0, 250.0)
    assert isinstance(line["store_requests"], int)


@pytest.mark.parametrize(
    ("environ", "name"),
    [
        ({"METRICS": "1"}, "housekeeping"),
        ({"METRICS": "1", "AWS_LAMBDA_FUNCTION_NAME": "talk-prod", "IS_LOCAL": "1"}, "talk-prod"),
    ],
)
def test_schedule_function_writes_metrics_under_its_name(
    function: ScheduleFunction, environ: Mapping[str, str], name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The alarms watch the name that Lambda gives the function. Elsewhere the name is `housekeeping`."""
    written = ran(function, environ, capsys)
    assert (written["function"], written["Duration"]) == (name, [250.0])


def test_schedule_function_writes_no_metrics_where_none_are_read(
    function: ScheduleFunction, capsys: pytest.CaptureFixture[str]
) -> None:
    """METRICS=0 is the default on a developer's machine."""
    assert ran(function, {}, capsys) is None


@pytest.mark.parametrize("event", [None, [], {}, {"detail-type": "EC2 Instance State-change"}, {"Records": []}])
def test_schedule_function_takes_events_of_a_schedule_alone(function: ScheduleFunction, event: object) -> None:
    """Another event is a wiring mistake: it is raised, so that Lambda counts it."""
    with pytest.raises(ValueError, match="schedule alone"):
        function(event, LambdaContext())
