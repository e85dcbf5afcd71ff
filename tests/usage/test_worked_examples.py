"""A handful of logs, their documents, and the answers, all with numbers computed by hand.

Ada has two keys. Every number below can be checked against this list, without a line of the product's code:

    | UTC              | log                          | key | voice  | characters | audio  |
    |------------------|------------------------------|-----|--------|------------|--------|
    | 2026-02-27 09:15 | memo_created                 | K1  | sam    | 10         | 1.5 s  |
    | 2026-02-28 23:59 | memo_created                 | K2  | rachel | 20         | 2.25 s |
    | 2026-03-01 00:00 | memo_created                 | K1  | sam    | 5          | 0.5 s  |
    | 2026-03-01 00:30 | error_tts                    | K1  | sam    |            |        |
    | 2026-03-01 00:31 | memo_created, by a test key  | KT  | sam    | 99         | 9 s    |
    | 2026-03-02 08:00 | memo_created                 | K1  | sam    | 7          | 0.4 s  |
    | 2026-03-02 08:05 | user_login                   |     |        |            |        |
    | 2026-03-04 10:00 | memo_created                 | K2  | sam    | 1          | 0.1 s  |

Her requests are on Wednesday, 2026-03-04, at 12:00.
"""

from datetime import UTC, date, datetime
from typing import Final

import pytest

from shared.core.clock import DAY
from shared.core.ids import Ids
from shared.stores.memory.store import MemoryStore
from shared.tables import USAGE_DAYS, USAGE_MONTHS, UsageLogs
from shared.tables.usage_logs import Action, UsageLog
from shared.usage.counts import Counts, GroupBy
from shared.usage.history import History
from shared.usage.reports import Bucket, Errors, Period, Share, UsageReports
from shared.usage.rollups import Rollups
from tests.support import FakeClock

pytestmark = pytest.mark.anyio

IDS: Final = Ids()
K1, K2, KT = "1" * 32, "2" * 32, "7" * 32
ADA: Final = IDS.mint(datetime(2026, 2, 26, 12, tzinfo=UTC))
NOW: Final = datetime(2026, 3, 4, 12, tzinfo=UTC)


def memo(at: datetime, key: str, voice: str, characters: int, seconds: float) -> UsageLog:
    return UsageLog(
        id=IDS.mint(at),
        user_id=ADA,
        api_key_id=key,
        action=Action.MEMO_CREATED,
        metadata={"voice": voice, "characters": characters, "audioSeconds": seconds, "test": key == KT},
        created_at=at,
    )


def event(at: datetime, action: Action, key: str | None = None, voice: str | None = None) -> UsageLog:
    metadata = {} if voice is None else {"voice": voice}
    return UsageLog(id=IDS.mint(at), user_id=ADA, api_key_id=key, action=action, metadata=metadata, created_at=at)


LOGS: Final = (
    memo(datetime(2026, 2, 27, 9, 15, tzinfo=UTC), K1, "sam", 10, 1.5),
    memo(datetime(2026, 2, 28, 23, 59, tzinfo=UTC), K2, "rachel", 20, 2.25),
    memo(datetime(2026, 3, 1, 0, 0, tzinfo=UTC), K1, "sam", 5, 0.5),
    event(datetime(2026, 3, 1, 0, 30, tzinfo=UTC), Action.ERROR_TTS, K1, "sam"),
    memo(datetime(2026, 3, 1, 0, 31, tzinfo=UTC), KT, "sam", 99, 9.0),
    memo(datetime(2026, 3, 2, 8, 0, tzinfo=UTC), K1, "sam", 7, 0.4),
    event(datetime(2026, 3, 2, 8, 5, tzinfo=UTC), Action.USER_LOGIN),
    memo(datetime(2026, 3, 4, 10, 0, tzinfo=UTC), K2, "sam", 1, 0.1),
)


@pytest.fixture
async def store() -> MemoryStore:
    store = MemoryStore()
    for log in LOGS:
        await UsageLogs(store).add(log)
    return store


@pytest.fixture
def reports(store: MemoryStore) -> UsageReports:
    clock = FakeClock(NOW)
    return UsageReports(History(logs=UsageLogs(store), rollups=Rollups(store), clock=clock), clock)


async def documents(store: MemoryStore, table: str) -> dict[str, object]:
    tables = {"days": USAGE_DAYS, "months": USAGE_MONTHS}
    return {row.key.sort: row.document for row in (await store.scan(tables[table])).rows}


async def test_worked_example_of_day_documents(store: MemoryStore, reports: UsageReports) -> None:
    """Each finished day of March with activity has a document, and March 3, the last finished day, a marked one.

    The error of March 1 is in the document of its day. The memo of the test key and the login are in none, nor is
    anything of March 4, which has not ended.
    """
    await reports.summary(ADA)
    days = await documents(store, "days")
    assert sorted(days) == ["2026-03-01", "2026-03-02", "2026-03-03"]
    groups = [["action", "error_tts"], ["action", "memo_created"], ["key", K1], ["voice", "sam"]]
    assert days["2026-03-01"] == {
        "sums": {
            "whole": {
                "groups": groups,
                "parts": [[0, [0, 0, 0, 0, 1], [1, 1, 5, 500], [2, 1, 5, 500, 1], [3, 1, 5, 500, 1]]],
            },
            "hours": {
                "groups": groups,
                "parts": [[0, [0, 0, 0, 0, 1], [1, 1, 5, 500], [2, 1, 5, 500, 1], [3, 1, 5, 500, 1]]],
            },
        },
        "mark": False,
    }
    assert days["2026-03-02"] == {
        "sums": {
            "whole": {
                "groups": [["action", "memo_created"], ["key", K1], ["voice", "sam"]],
                "parts": [[0, [0, 1, 7, 400], [1, 1, 7, 400], [2, 1, 7, 400]]],
            },
            "hours": {
                "groups": [["action", "memo_created"], ["key", K1], ["voice", "sam"]],
                "parts": [[8, [0, 1, 7, 400], [1, 1, 7, 400], [2, 1, 7, 400]]],
            },
        },
        "mark": False,
    }
    empty: dict[str, list[object]] = {"groups": [], "parts": []}
    assert days["2026-03-03"] == {"sums": {"whole": empty, "hours": empty}, "mark": True}


async def test_worked_example_of_days_that_are_asked_for(store: MemoryStore, reports: UsageReports) -> None:
    """A day of a finished month gets its document when its hours are requested: February 28, and not the 27th."""
    start = datetime(2026, 2, 28, 12, tzinfo=UTC)
    slots = await reports.series(ADA, start, start + DAY, bucket=Bucket.HOUR, group_by=None)
    assert {slot.start.hour: slot.groups[""].calls for slot in slots if slot.groups[""].calls} == {23: 1, 0: 1}
    days = await documents(store, "days")
    assert sorted(days) == ["2026-02-28", "2026-03-01", "2026-03-02", "2026-03-03"]
    counts: dict[str, object] = {
        "groups": [["action", "memo_created"], ["key", K2], ["voice", "rachel"]],
        "parts": [[23, [0, 1, 20, 2250], [1, 1, 20, 2250], [2, 1, 20, 2250]]],
    }
    assert days["2026-02-28"] == {
        "sums": {
            "whole": counts | {"parts": [[0, [0, 1, 20, 2250], [1, 1, 20, 2250], [2, 1, 20, 2250]]]},
            "hours": counts,
        },
        "mark": False,
    }


async def test_worked_example_of_a_month_document(store: MemoryStore, reports: UsageReports) -> None:
    """February is the one finished month: two days with a memo each, and nothing before it."""
    await reports.summary(ADA)
    assert await documents(store, "months") == {
        "2026-02": {
            "sums": {
                "days": {
                    "groups": [
                        ["action", "memo_created"],
                        ["key", K1],
                        ["key", K2],
                        ["voice", "rachel"],
                        ["voice", "sam"],
                    ],
                    "parts": [
                        [27, [0, 1, 10, 1500], [1, 1, 10, 1500], [4, 1, 10, 1500]],
                        [28, [0, 1, 20, 2250], [2, 1, 20, 2250], [3, 1, 20, 2250]],
                    ],
                },
                "before": {"groups": [], "parts": []},
            }
        }
    }


async def test_worked_example_of_a_summary(reports: UsageReports) -> None:
    """5 memos: 10 + 20 + 5 + 7 + 1 = 43 characters, 4.75 s; today 1, since Monday 2, in March 3."""
    summary = await reports.summary(ADA)
    assert (summary.total.calls, summary.total.characters, summary.total.audio_ms) == (5, 43, 4750)
    assert (summary.today, summary.this_week, summary.this_month) == (1, 2, 3)
    assert (summary.voice, summary.characters_per_call) == ("sam", 9)


async def test_worked_example_of_voices(reports: UsageReports) -> None:
    """4 of 5 memos are in the voice sam."""
    assert await reports.voices(ADA) == [
        Share(name="sam", count=4, percentage=80.0),
        Share(name="rachel", count=1, percentage=20.0),
    ]


async def test_worked_example_of_errors(reports: UsageReports) -> None:
    """One error and 5 memos: one of 6 requests, 16.7 %."""
    assert await reports.errors(ADA, date(2026, 2, 1), date(2026, 3, 4)) == Errors(
        requests=6, errors=1, rate=16.7, by_type=[Share(name="error_tts", count=1, percentage=100.0)]
    )


async def test_worked_example_of_usage(reports: UsageReports) -> None:
    """February 27 to March 1 is one ISO week, the ninth, with three memos; the tenth has two."""
    usage = await reports.usage(ADA, date(2026, 2, 1), date(2026, 3, 4))
    assert usage.total == 5
    assert usage.daily == [
        Period(name="2026-03-04", calls=1, characters=1),
        Period(name="2026-03-02", calls=1, characters=7),
        Period(name="2026-03-01", calls=1, characters=5),
        Period(name="2026-02-28", calls=1, characters=20),
        Period(name="2026-02-27", calls=1, characters=10),
    ]
    assert usage.weekly == [
        Period(name="2026-W10", calls=2, characters=8),
        Period(name="2026-W09", calls=3, characters=35),
    ]
    assert usage.monthly == [
        Period(name="2026-03", calls=3, characters=13),
        Period(name="2026-02", calls=2, characters=30),
    ]


async def test_worked_example_of_an_hourly_series(reports: UsageReports) -> None:
    """Midnight belongs to the day that begins. By key, the hour from 00:00 on March 1 has a memo and an error of K1."""
    start, end = datetime(2026, 2, 28, 23, tzinfo=UTC), datetime(2026, 3, 1, 2, tzinfo=UTC)
    slots = await reports.series(ADA, start, end, bucket=Bucket.HOUR, group_by=GroupBy.KEY)
    assert [(slot.start.hour, slot.groups) for slot in slots] == [
        (23, {K2: Counts(1, 20, 2250, 0)}),
        (0, {K1: Counts(1, 5, 500, 1)}),
        (1, {}),
    ]
