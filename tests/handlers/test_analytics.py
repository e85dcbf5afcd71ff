"""Analytics through whole events: totals, shares, charts, series and the dashboard's first figures."""

from datetime import UTC, datetime
from typing import Any

import pytest

from shared.core.ids import Ids
from shared.tables import UsageLogs
from shared.tables.usage_logs import Action, UsageLog
from tests.handlers.world import NOON, Account, Answer, World

SERIES = "/api/v1/usage/series"
USAGE = "/api/v1/analytics/usage"
VOICES = "/api/v1/analytics/voices"
ERRORS = "/api/v1/analytics/errors"
SUMMARY = "/api/v1/analytics/summary"
CHARTS = "/api/v1/analytics/charts"
EXPORT = "/api/v1/analytics/export"
STATS = "/api/v1/dashboard/stats"
EVERY = (SERIES, USAGE, VOICES, ERRORS, SUMMARY, CHARTS, EXPORT, STATS)
YEAR = datetime(2026, 12, 31, 12, tzinfo=UTC)

every = pytest.mark.parametrize("path", EVERY)


def asked(world: World, account: Account, path: str, **query: Any) -> Any:
    answer = world.get(path, token=account.key, query={name: str(value) for name, value in query.items()})
    assert answer.status == 200, answer
    return answer.json


def data(world: World, account: Account, path: str, **query: Any) -> Any:
    answer = asked(world, account, path, **query)
    assert answer.keys() == {"success", "data"}
    assert answer["success"] is True
    return answer["data"]


def fail(world: World, account: Account, action: Action = Action.ERROR_TTS, voice: str = "sam") -> None:
    """Write the log of an error."""
    at = world.clock()
    log = UsageLog(
        id=Ids().mint(at),
        user_id=account.id,
        api_key_id=account.key_id,
        action=action,
        metadata={"voice": voice},
        created_at=at,
    )
    world.run(UsageLogs(world.store).add(log))


@pytest.fixture
def busy(world: World, ada: Account) -> Account:
    """Return an owner with four memos and an error.

    The memos: 5, 5 and 11 characters on Monday the 2nd, 3 on the 3rd, deleted. The error: on the 4th at noon.
    """
    world.memo(ada.key, "Hello", "sam")
    world.memo(ada.key, "Hello", "rachel")
    world.memo(ada.key, "Hello there", "sam")
    _, test_key = world.new_key(ada, test=True)
    world.memo(test_key, "A test is no call", "bella")
    world.later(days=1)
    deleted = world.memo(ada.key, "Bye", "bella")
    world.delete(f"/api/v1/memo/{deleted['id']}", token=ada.key)
    world.later(days=1)
    fail(world, ada)
    return ada


@every
def test_a_key_or_a_session_may_ask_and_nobody_else(world: World, ada: Account, path: str) -> None:
    assert [world.get(path, token=token).status for token in (ada.key, ada.session)] == [200, 200]
    assert world.get(path).refusal[:2] == (401, "MISSING_API_KEY")
    assert world.get(path, token="at_live_" + "a" * 43).refusal[:2] == (401, "INVALID_API_KEY")
    world.delete(f"/api/keys/{ada.key_id}", token=ada.session)
    assert world.get(path, token=ada.key).refusal[:2] == (403, "REVOKED_KEY")


@every
def test_an_outage_is_503_and_no_zero(world: World, busy: Account, path: str) -> None:
    asked_before = world.get(path, token=busy.key).status
    world.is_down = True
    assert (asked_before, world.get(path, token=busy.key).status) == (200, 503)


@every
def test_another_owners_figures_are_not_among_ones_own(world: World, busy: Account, bob: Account, path: str) -> None:
    before = world.get(path, token=bob.key).body
    world.memo(busy.key)
    assert world.get(path, token=bob.key).body == before
    assert b"sam" not in before


def test_usage_lists_days_weeks_and_months_newest_first(world: World, busy: Account) -> None:
    """Days, weeks and months with calls are listed, newest first; those without are not."""
    assert data(world, busy, USAGE) == {
        "total": 4,
        "daily": [
            {"date": "2026-03-03", "calls": 1, "characters": 3},
            {"date": "2026-03-02", "calls": 3, "characters": 21},
        ],
        "weekly": [{"week": "2026-W10", "calls": 4, "characters": 24}],
        "monthly": [{"month": "2026-03", "calls": 4, "characters": 24}],
    }


@pytest.mark.parametrize(
    ("range_", "total"),
    [
        ({"startDate": "2026-03-02", "endDate": "2026-03-02"}, 3),
        ({"startDate": "2026-03-03"}, 1),
        ({"endDate": "2026-03-02"}, 3),
        ({"startDate": "2026-03-02T23:00:00Z", "endDate": "2026-03-03T01:00:00Z"}, 4),
        ({"startDate": "2025-01-01", "endDate": "2026-03-01"}, 0),
        ({"startDate": "2026-03-05", "endDate": "2030-01-01"}, 0),
        ({"startDate": "2018-01-01", "endDate": "2028-01-01"}, 4),
    ],
)
def test_a_range_counts_its_days_whole(world: World, busy: Account, range_: dict[str, str], total: int) -> None:
    assert data(world, busy, USAGE, **range_)["total"] == total


def test_the_default_range_is_30_days_the_last_of_them_today(world: World, busy: Account) -> None:
    world.later(days=27)
    assert data(world, busy, USAGE)["total"] == 4
    world.later(days=1)
    assert data(world, busy, USAGE)["total"] == 1


def test_weeks_belong_to_their_iso_year(new_world: Any) -> None:
    world = new_world()
    world.clock.at = YEAR
    ada = world.sign_up()
    world.memo(ada.key)
    world.later(days=3)
    world.memo(ada.key)
    world.later(days=1)
    world.memo(ada.key)
    found = data(world, ada, USAGE)
    assert [(week["week"], week["calls"]) for week in found["weekly"]] == [("2027-W01", 1), ("2026-W53", 2)]
    assert [(month["month"], month["calls"]) for month in found["monthly"]] == [("2027-01", 2), ("2026-12", 1)]


def test_voices_are_told_by_their_share(world: World, busy: Account) -> None:
    assert data(world, busy, VOICES) == [
        {"voiceId": "sam", "voiceName": "Sam", "callCount": 2, "percentage": 50.0},
        {"voiceId": "rachel", "voiceName": "Rachel", "callCount": 1, "percentage": 25.0},
        {"voiceId": "bella", "voiceName": "Bella", "callCount": 1, "percentage": 25.0},
    ]


@pytest.mark.parametrize(
    ("range_", "voices"),
    [
        ({}, {"sam": 2, "rachel": 1, "bella": 1}),
        ({"startDate": "2026-03-03"}, {"bella": 1}),
        ({"endDate": "2026-03-02"}, {"sam": 2, "rachel": 1}),
        ({"startDate": "2026-03-02", "endDate": "2026-03-02"}, {"sam": 2, "rachel": 1}),
        ({"startDate": "2026-03-02T23:00:00Z", "endDate": "2026-03-03T01:00:00Z"}, {"sam": 2, "rachel": 1, "bella": 1}),
        ({"startDate": "2026-03-04"}, {}),
        ({"startDate": "0001-01-01", "endDate": "9999-12-31"}, {"sam": 2, "rachel": 1, "bella": 1}),
    ],
)
@pytest.mark.parametrize("months_later", [0, 2])
def test_voices_are_those_of_the_range(
    world: World, busy: Account, range_: dict[str, str], voices: dict[str, int], months_later: int
) -> None:
    """A range counts complete days; without one it is all time, also if the days' months have ended."""
    world.later(days=31 * months_later)
    answered = data(world, busy, VOICES, **range_)
    assert {voice["voiceId"]: voice["callCount"] for voice in answered} == voices


def test_voices_refuse_a_range_that_ends_before_it_begins(world: World, ada: Account) -> None:
    """The days of a range are in order, as in every other report."""
    answer = world.get(VOICES, token=ada.key, query={"startDate": "2026-03-03", "endDate": "2026-03-02"})
    assert (answer.status, answer.error["details"]) == (400, {"field": "startDate"})


def test_errors_are_told_by_kind_and_as_a_share_of_all_requests(world: World, busy: Account) -> None:
    fail(world, busy, Action.ERROR_RATE_LIMIT)
    fail(world, busy)
    assert data(world, busy, ERRORS) == {
        "totalRequests": 7,
        "totalErrors": 3,
        "errorRate": 42.9,
        "errorsByType": [
            {"errorType": "tts", "count": 2, "percentage": 66.7},
            {"errorType": "rate limit", "count": 1, "percentage": 33.3},
        ],
    }
    assert data(world, busy, ERRORS, endDate="2026-03-03")["totalErrors"] == 0


def test_a_summary_counts_today_this_iso_week_and_this_month(world: World, busy: Account) -> None:
    world.memo(busy.key, "Hey", "sam")
    assert data(world, busy, SUMMARY) == {
        "totalCalls": 5,
        "totalCharacters": 27,
        "avgCharactersPerCall": 5,
        "mostUsedVoice": "sam",
        "callsToday": 1,
        "callsThisWeek": 5,
        "callsThisMonth": 5,
    }
    world.clock.at = datetime(2026, 4, 1, 12, tzinfo=UTC)  # Wednesday; the week began in March
    world.memo(busy.key, "Hey")
    world.clock.at = datetime(2026, 4, 2, 12, tzinfo=UTC)
    summary = data(world, busy, SUMMARY)
    assert [summary[name] for name in ("totalCalls", "callsToday", "callsThisWeek", "callsThisMonth")] == [6, 0, 1, 1]


def test_a_new_account_has_zeros(world: World, ada: Account) -> None:
    assert data(world, ada, SUMMARY)["mostUsedVoice"] is None
    assert data(world, ada, VOICES) == []
    assert data(world, ada, ERRORS)["errorRate"] == 0
    assert data(world, ada, USAGE) == {"total": 0, "daily": [], "weekly": [], "monthly": []}


def test_charts_have_every_day_oldest_first_and_end_today(world: World, busy: Account) -> None:
    assert data(world, busy, CHARTS, days=3) == {
        "daily": [
            {"date": "2026-03-02", "calls": 3, "characters": 21},
            {"date": "2026-03-03", "calls": 1, "characters": 3},
            {"date": "2026-03-04", "calls": 0, "characters": 0},
        ],
        "days": 3,
    }
    assert [len(data(world, busy, CHARTS)["daily"]), len(data(world, busy, CHARTS, days=366)["daily"])] == [7, 366]


def test_a_series_has_every_bucket_with_one_result(world: World, busy: Account) -> None:
    found = asked(world, busy, SERIES, startTime="2026-03-03T00:00:00Z", endTime="2026-03-05T00:00:00Z")
    assert found == {
        "buckets": [
            {
                "startTime": "2026-03-03T00:00:00.000Z",
                "endTime": "2026-03-04T00:00:00.000Z",
                "results": [{"calls": 1, "characters": 3, "audioSeconds": 0.2, "errors": 0}],
            },
            {
                "startTime": "2026-03-04T00:00:00.000Z",
                "endTime": "2026-03-05T00:00:00.000Z",
                "results": [{"calls": 0, "characters": 0, "audioSeconds": 0, "errors": 1}],
            },
        ]
    }


@pytest.mark.parametrize(
    ("group", "results"),
    [
        ("voice", [("rachel", 1, 5, 0.4, 0), ("sam", 2, 16, 1.3, 0)]),
        ("action", [("memo_created", 3, 21, 1.7, 0)]),
        ("key", [("", 3, 21, 1.7, 0)]),
    ],
)
def test_a_series_can_be_grouped(world: World, busy: Account, group: str, results: list[tuple[Any, ...]]) -> None:
    name = "apiKeyId" if group == "key" else group
    found = asked(world, busy, SERIES, startTime="2026-03-02", endTime="2026-03-02", groupBy=group)["buckets"]
    told = [
        (each[name].replace(busy.key_id, ""), each["calls"], each["characters"], each["audioSeconds"], each["errors"])
        for each in found[0]["results"]
    ]
    assert (len(found), told) == (1, results)
    errors = asked(world, busy, SERIES, startTime="2026-03-04", endTime="2026-03-04", groupBy=group)["buckets"]
    assert [each["errors"] for each in errors[0]["results"]] == [1]


@pytest.mark.parametrize("days_later", [0, 1, 40])
def test_a_series_by_the_hour_is_the_same_later(world: World, busy: Account, days_later: int) -> None:
    world.later(days=days_later)
    found = asked(
        world, busy, SERIES, bucket="1h", startTime="2026-03-02T11:30:00Z", endTime="2026-03-04T12:00:00.001Z"
    )["buckets"]
    assert (found[0]["startTime"], found[-1]["endTime"]) == ("2026-03-02T11:00:00.000Z", "2026-03-04T13:00:00.000Z")
    active = {each["startTime"][5:13]: each["results"][0] for each in found if any(each["results"][0].values())}
    assert {hour: (each["calls"], each["errors"]) for hour, each in active.items()} == {
        "03-02T12": (3, 0),
        "03-03T12": (1, 0),
        "03-04T12": (0, 1),
    }
    assert len(found) == 50


@pytest.mark.parametrize(("bucket", "count"), [("1d", 30), ("1h", 168)])
def test_a_series_ends_now_unless_told_otherwise(world: World, ada: Account, bucket: str, count: int) -> None:
    found = asked(world, ada, SERIES, bucket=bucket)["buckets"]
    assert len(found) == count
    assert found[-1]["startTime"] <= NOON.isoformat().replace("+00:00", "Z") <= found[-1]["endTime"]


@pytest.mark.parametrize(
    ("path", "query", "field"),
    [
        (USAGE, {"startDate": "yesterday"}, "startDate"),
        (USAGE, {"startDate": "2026-02-30"}, "startDate"),
        (USAGE, {"endDate": ""}, None),
        (SERIES, {"bucket": "", "groupBy": "", "startTime": "", "endTime": ""}, None),
        (EXPORT, {"format": ""}, None),
        (USAGE, {"startDate": "2026-03-03", "endDate": "2026-03-02"}, "startDate"),
        (USAGE, {"startDate": "2010-01-01"}, "startDate"),
        (USAGE, {"startDate": "9999-12-31", "endDate": "9999-12-31"}, None),
        (ERRORS, {"endDate": "2026-13-01"}, "endDate"),
        (ERRORS, {"startDate": "2026-03-03", "endDate": "2026-03-02"}, "startDate"),
        (CHARTS, {"days": "0"}, "days"),
        (CHARTS, {"days": "367"}, "days"),
        (CHARTS, {"days": "-1"}, "days"),
        (EXPORT, {"days": "0"}, "days"),
        (EXPORT, {"format": "xlsx"}, "format"),
        (SERIES, {"bucket": "1w"}, "bucket"),
        (SERIES, {"groupBy": "colour"}, "groupBy"),
        (SERIES, {"startTime": "2026-03-03", "endTime": "2026-03-02"}, "startTime"),
        (SERIES, {"startTime": "2026-03-02T00:00:00Z", "endTime": "2026-03-02T00:00:00Z"}, "startTime"),
        (SERIES, {"startTime": "2025-01-01"}, "endTime"),
        (SERIES, {"bucket": "1h", "startTime": "2026-02-01", "endTime": "2026-03-01"}, "endTime"),
        (SERIES, {"endTime": "9999-12-31"}, "endTime"),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(
    world: World, ada: Account, path: str, query: dict[str, str], field: str | None
) -> None:
    answer: Answer = world.get(path, token=ada.key, query=query)
    if field is None:
        assert answer.status == 200
    else:
        assert (answer.status, answer.error["code"], answer.error["details"]["field"]) == (
            400,
            "VALIDATION_ERROR",
            field,
        )


def test_a_number_of_days_that_is_none_is_a_wrong_type(world: World, ada: Account) -> None:
    answer = world.get(CHARTS, token=ada.key, query={"days": "seven"})
    assert answer.refusal == (400, "INVALID_INPUT", "Invalid days: expected integer")


def test_dashboard_shows_usage_keys_memos_limits_and_plan(world: World, busy: Account) -> None:
    """The dashboard answers usage, keys, memos, the rest of the day's limit, and the plan."""
    world.memo(busy.key)
    assert asked(world, busy, STATS) == {
        "success": True,
        "stats": {
            "usage": {"today": 1, "thisMonth": 5, "total": 5},
            "apiKeys": {"total": 2, "active": 2, "maxAllowed": 2},
            "memos": {"total": 5, "totalCharacters": 35},
            "rateLimit": {"limit": 100, "used": 1, "remaining": 99, "resetAt": "2026-03-05T00:00:00.000Z"},
        },
        "tier": {"name": "hobby", "displayName": "Hobby", "price": 0, "tts": "edge", "priority": False},
    }


def test_history_stays_what_it_was(world: World, busy: Account) -> None:
    before = [data(world, busy, path) for path in (USAGE, VOICES, SUMMARY, CHARTS)]
    for memo in world.get("/api/v1/memos", token=busy.key).json["memos"]:
        world.delete(f"/api/v1/memo/{memo['id']}", token=busy.key)
    assert [data(world, busy, path) for path in (USAGE, VOICES, SUMMARY, CHARTS)] == before


@pytest.mark.parametrize("rest", [False, True])
def test_days_are_those_of_utc_at_midnight(new_world: Any, *, rest: bool) -> None:
    world = new_world()
    world.clock.at = datetime(2026, 3, 2, 23, 59, 59, tzinfo=UTC)
    ada = world.sign_up()
    world.memo(ada.key)
    world.later(minutes=5)
    world.memo(ada.key)
    for _ in range(3):
        answer = world.get(CHARTS, token=ada.key, query={"days": "2"}, rest=rest)
        assert [day["calls"] for day in answer.json["data"]["daily"]] == [1, 1]
        world.later(minutes=5)


def test_failed_memos_are_figures(new_world: Any) -> None:
    world = new_world()
    ada = world.sign_up()
    calls = 0

    async def fail_once() -> None:
        nonlocal calls
        calls += 1
        if calls == 6:
            raise RuntimeError("a defect")

    world.disturb(fail_once)
    statuses = [world.post("/api/v1/memo", token=ada.key, json={"text": "Hi", "voice": "sam"}).status for _ in range(2)]
    assert statuses == [500, 201]
    assert data(world, ada, ERRORS)["errorsByType"] == [{"errorType": "api", "count": 1, "percentage": 100.0}]
    failed = world.get("/api/v1/usage", token=ada.key, query={"action": "memo_failed"}).json["logs"]
    assert [log["metadata"] for log in failed] == [
        {"code": "INTERNAL_ERROR", "voice": "sam", "characters": 2, "test": False}
    ]
