"""deploy/resources/alarms.yml monitors every function, by the names of the metrics that it writes."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.permissions import MAILERS
from shared.observability.metrics import NAMESPACE, Served, emit, emit_run
from shared.observability.request_stats import RequestStats
from tools.local import FUNCTIONS

FOLDER = Path(__file__).parents[2] / "deploy" / "resources"
TEXT = (FOLDER / "alarms.yml").read_text()
NAMES = {f"${{self:service}}-${{sls:stage}}-{name}" for name in FUNCTIONS}
SPEAKER = "${self:service}-${sls:stage}-speaker"
"""A queue invokes it: it answers no requests, which the functions' metrics count, and its throttles are harmless."""

HOUSEKEEPING = "${self:service}-${sls:stage}-housekeeping"
"""A schedule invokes it: the same holds."""


class Template(yaml.SafeLoader):
    """Reads CloudFormation's own tags as their values."""


Template.add_multi_constructor("!", lambda loader, _, node: _untagged(loader, node))


def _untagged(loader: yaml.SafeLoader, node: Any) -> Any:
    if isinstance(node, yaml.ScalarNode):
        return node.value
    assert isinstance(node, yaml.SequenceNode)
    return loader.construct_sequence(node, deep=True)


RESOURCES: dict[str, Any] = yaml.load(TEXT, Loader=Template)["Resources"]  # noqa: S506 a SafeLoader
DASHBOARD: Any = json.loads(RESOURCES["Dashboard"]["Properties"]["DashboardBody"])


def shown() -> list[tuple[str, str, str]]:
    """Return namespace, metric and dimension of each line of the dashboard."""
    found: list[tuple[str, str, str]] = []
    for widget in DASHBOARD["widgets"]:
        for metric in widget["properties"]["metrics"]:
            names = [part for part in metric if isinstance(part, str)]
            if names[0] == "...":
                found.append((*found[-1][:2], names[1]))
            else:
                found.append((names[0], names[1], names[3]))
    return found


def written(capsys: pytest.CaptureFixture[str]) -> set[str]:
    """Return the names of all metrics."""
    spent = RequestStats(store_ms=[1.0], speech_ms=[1.0], memos=1, mails_failed=1)
    for status, error in (
        (201, None),
        (400, None),
        (429, None),
        (500, None),
        (502, None),
        (503, None),
        (503, "AUDIO_NOT_READY"),
    ):
        spent.error = error
        emit(
            Served(
                client=None,
                request_id="r",
                method="POST",
                route="/",
                status=status,
                duration_ms=1.0,
                cold_start=True,
                spent=spent,
            ),
            function="memos",
        )
    emit_run(function="housekeeping", done=1, failed=0, oldest_s=1.0, spent=spent, duration_ms=1.0)
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    return {metric["Name"] for line in lines for metric in line["_aws"]["CloudWatchMetrics"][0]["Metrics"]}


def test_dashboard_shows_exactly_the_functions_metrics(capsys: pytest.CaptureFixture[str]) -> None:
    """The dashboard shows every metric that the functions write, and no other of their namespace."""
    assert {metric for namespace, metric, _ in shown() if namespace == NAMESPACE} == written(capsys)


def test_metrics_are_documented(capsys: pytest.CaptureFixture[str]) -> None:
    """Operators find every metric that a function writes in docs/operations.md."""
    operations = (Path(__file__).parents[2] / "docs" / "operations.md").read_text()
    assert {name for name in written(capsys) if f"`{name}`" not in operations} == set()


@pytest.mark.parametrize("metric", ["Errors", "Throttles", "Duration", "StoreErrors", "InternalErrors"])
def test_the_dashboard_shows_every_function(metric: str) -> None:
    named = {name for _, shown_metric, name in shown() if shown_metric == metric}
    assert named == NAMES | {"Errors": {SPEAKER, HOUSEKEEPING}, "Throttles": {SPEAKER}}.get(metric, set())


@pytest.mark.parametrize("alarm", ["ErrorsAlarm", "ThrottlesAlarm"])
def test_these_alarms_sum_over_every_function(alarm: str) -> None:
    _, *metrics = RESOURCES[alarm]["Properties"]["Metrics"]
    seen = {metric["MetricStat"]["Metric"]["Dimensions"][0]["Value"] for metric in metrics}
    assert seen == NAMES | ({SPEAKER, HOUSEKEEPING} if alarm == "ErrorsAlarm" else set())
    assert {metric["MetricStat"]["Metric"]["MetricName"] for metric in metrics} == {alarm.removesuffix("Alarm")}


def test_what_is_watched_of_awss_own_are_metrics_that_it_has() -> None:
    """An alarm on a misspelt metric would never be raised."""
    own = {(namespace, metric) for namespace, metric, _ in shown() if namespace != NAMESPACE}
    for resource in RESOURCES.values():
        alarm = resource["Properties"]
        stats = [each["MetricStat"]["Metric"] for each in alarm.get("Metrics", ()) if "MetricStat" in each]
        own |= {
            (each["Namespace"], each["MetricName"]) for each in [*stats, *([alarm] if "MetricName" in alarm else [])]
        }
    assert own == {
        (NAMESPACE, "AudioNotReady"),
        (NAMESPACE, "MailErrors"),
        *(("AWS/Lambda", metric) for metric in ("Errors", "Throttles")),
        *(("AWS/ApiGateway", metric) for metric in ("Count", "Latency", "4xx", "5xx")),
    }


def test_every_alarm_tells_the_topic_if_there_is_one() -> None:
    alarms = [each["Properties"] for each in RESOURCES.values() if each["Type"] == "AWS::CloudWatch::Alarm"]
    assert len(alarms) == 5
    for alarm in alarms:
        assert alarm["AlarmActions"][0] == "TellsOfAlarms"
        assert alarm["TreatMissingData"] == "notBreaching"
    assert re.search(r"env:ALARM_TOPIC", TEXT)


def test_mails_are_watched_and_shown_of_all_that_send_some(capsys: pytest.CaptureFixture[str]) -> None:
    """The alarm is raised by a single mail that was not sent, of any of these functions; the dashboard shows it."""
    alarm = RESOURCES["MailErrorsAlarm"]["Properties"]
    watched = [each["MetricStat"]["Metric"] for each in alarm["Metrics"] if "MetricStat" in each]
    assert {metric["MetricName"] for metric in watched} <= written(capsys)
    mailing = {f"${{self:service}}-${{sls:stage}}-{name}" for name in MAILERS}
    assert {metric["Dimensions"][0]["Value"] for metric in watched} == mailing
    assert {name for _, metric, name in shown() if metric == "MailErrors"} == mailing
    assert alarm["Threshold"] == 0


def test_alarm_of_housekeeping_watches_its_oldest_work(capsys: pytest.CaptureFixture[str]) -> None:
    """The alarm is raised if the oldest work is older than a day, or has no value for an hour."""
    resources = yaml.load((FOLDER / "housekeeping.yml").read_text(), Loader=Template)["Resources"]  # noqa: S506
    oldest = resources["OldestWorkAlarm"]["Properties"]
    assert (oldest["Threshold"], oldest["TreatMissingData"]) == (24 * 3600, "breaching")
    assert oldest["Dimensions"] == [{"Name": "function", "Value": HOUSEKEEPING}]
    assert oldest["MetricName"] in written(capsys)
    assert oldest["AlarmActions"][0] == "TellsOfHousekeeping"
