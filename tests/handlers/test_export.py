"""The export: complete, for spreadsheets and for programs, and within Lambda's limit of an answer."""

import csv
import io
import json
import re
from datetime import datetime, timedelta
from typing import Any

import openpyxl
import pytest

from handlers.usage_statistics import statistics
from shared.core.errors import PayloadTooLarge
from shared.core.ids import Ids
from shared.core.text import characters
from shared.stores.memory.store import MemoryStore
from shared.tables import Memos
from shared.tables.memos import Memo
from shared.usage.export import ANSWER_BYTES, FIRST_PAGE, Exports
from tests.events import LambdaContext, http_event
from tests.handlers.world import NOON, PUBLIC_URL, Account, Answer, World
from tests.support import FakeClock, services_on

IDS = Ids()
LAMBDA_BYTES = 6 * 1024 * 1024
EXPORT = "/api/v1/analytics/export"
HEADER = ["ID", "Date", "Voice", "Character Count", "Duration (seconds)", "Audio URL"]


def export(world: World, account: Account, **query: Any) -> Answer:
    answer = world.get(EXPORT, token=account.key, query={name: str(value) for name, value in query.items()})
    assert answer.status == 200, answer
    return answer


def sections(answer: Answer) -> tuple[list[list[str]], list[list[str]]]:
    """Return the rows of the memos and of the days, without their headers."""
    rows = list(csv.reader(io.StringIO(answer.body.decode())))
    assert rows[:2] == [["# Memo History"], HEADER]
    between = rows.index([])
    assert rows[between + 2] == ["Date", "Calls", "Characters"]
    return rows[2:between], rows[between + 3 :]


def a_memo(user_id: str, at: datetime, *, voice: str = "sam", text: str = "Hi") -> Memo:
    return Memo(
        id=IDS.mint(at),
        user_id=user_id,
        text=text,
        audio_url="/audio/simulated-5.mp3",
        duration_seconds=0.5,
        voice=voice,
        character_count=characters(text),
        title=None,
        created_at=at,
    )


def kept(world: World, account: Account, count: int, *, days: int, **fields: str) -> None:
    """Write `count` past memos, evenly over this many days."""

    async def keep() -> None:
        for number in range(count):
            at = NOON - timedelta(days=days) * (number / count)
            await Memos(world.store).add(a_memo(account.id, at, **fields))

    world.run(keep())


def test_a_file_has_every_memo_and_every_day(world: World, ada: Account) -> None:
    gone = world.memo(ada.key, "Gone")
    world.delete(f"/api/v1/memo/{gone['id']}", token=ada.key)
    world.later(days=1)
    first = world.memo(ada.key, "Hello", "rachel")
    second = world.memo(ada.key, 'Commas, "quotes"\nand lines')
    answer = export(world, ada, days=3)
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.headers["content-disposition"] == 'attachment; filename="agent-talk-usage-2026-03-03.csv"'
    memos, days = sections(answer)
    assert memos == [
        [
            memo["id"],
            memo["createdAt"],
            memo["voice"]["id"],
            str(memo["characterCount"]),
            duration,
            memo["audio"]["url"],
        ]
        for memo, duration in ((second, "2.1"), (first, "0.4"))
    ]
    assert days == [["2026-03-03", "2", "31"], ["2026-03-02", "1", "4"], ["2026-03-01", "0", "0"]]


def test_the_default_is_30_days(world: World, ada: Account) -> None:
    world.memo(ada.key)
    world.later(days=29)
    assert len(sections(export(world, ada))[0]) == 1
    world.later(days=1)
    memos, days = sections(export(world, ada))
    assert (memos, len(days)) == ([], 30)


def test_programs_get_every_memo_whole(world: World, ada: Account) -> None:
    text = 'Lines\nand "quotes", and \N{SPEAKING HEAD IN SILHOUETTE}, \x85 \u2028 \u2029'
    memos = [world.memo(ada.key, text, title="=1+1"), world.memo(ada.key, "Bye")]
    answer = export(world, ada, format="ndjson")
    assert answer.headers["content-type"] == "application/x-ndjson"
    assert answer.headers["content-disposition"] == 'attachment; filename="agent-talk-usage-2026-03-02.ndjson"'
    assert [json.loads(line) for line in answer.body.decode().splitlines()] == memos[::-1]


def test_export_as_csv_has_a_row_for_each_memo(world: World, ada: Account) -> None:
    """A spreadsheet reads as many rows as there are memos, and runs none of their cells as a formula."""
    for begins in ("=", "+", "-", "@", "\t=", "\r="):
        kept(world, ada, 40, days=1, voice=f'{begins}HYPERLINK("x")')
    sheet = openpyxl.Workbook().active
    assert sheet is not None
    for row in csv.reader(io.StringIO(export(world, ada, days=2).body.decode())):
        sheet.append(row)
    voices = [cell for cell in sheet["C"] if "HYPERLINK" in str(cell.value)]
    assert len(voices) == 240
    assert {cell.data_type for cell in voices} == {"s"}


@pytest.mark.parametrize("text", ["x" * 100_000, '"' * 100_000, "\N{SPEAKING HEAD IN SILHOUETTE}" * 50_000])
def test_export_names_a_range_that_fits_when_too_large(world: World, ada: Account, text: str) -> None:
    """An export that Lambda could not answer is 413, with a number of days that it could."""
    kept(world, ada, 80, text=text, days=20)
    query = {"format": "ndjson", "days": "30"}
    refused = world.get(EXPORT, token=ada.key, query=query)
    assert refused.refusal[:2] == (413, "PAYLOAD_TOO_LARGE")
    fits = re.fullmatch(r"The export of 30 days exceeds 6 MB\. Ask for days=(\d+) instead\.", refused.error["message"])
    assert fits is not None
    event = http_event("GET", EXPORT, query=query | {"days": fits[1]}, headers={"authorization": f"Bearer {ada.key}"})
    answer = world.functions["usage"](event, LambdaContext())
    assert answer["statusCode"] == 200
    assert 3_000_000 < len(json.dumps(answer)) < LAMBDA_BYTES
    one_more = world.get(EXPORT, token=ada.key, query=query | {"days": str(int(fits[1]) + 1)})
    assert one_more.status == 413


def test_export_pages_on_after_memos_with_absurd_counts(world: World, ada: Account) -> None:
    """Memos that moved in keep the predecessor's counts of characters, which need not be their texts' lengths."""

    async def keep() -> None:
        for number in range(FIRST_PAGE + 2):
            memo = a_memo(ada.id, NOON - timedelta(minutes=number))
            await Memos(world.store).add(memo.model_copy(update={"character_count": 2**50}))

    world.run(keep())
    assert len(sections(export(world, ada))[0]) == FIRST_PAGE + 2


def test_a_single_day_that_is_too_large_is_to_be_paged(world: World, ada: Account) -> None:
    kept(world, ada, 70, text="x" * 100_000, days=0)
    refused = world.get(EXPORT, token=ada.key, query={"format": "ndjson", "days": "1"})
    assert refused.error["message"] == "The export of 1 days exceeds 6 MB. Page through GET /api/v1/memos instead."


@pytest.mark.anyio
async def test_export_counts_daily_usage_towards_the_limit() -> None:
    """The daily part of a CSV file counts towards its largest size."""
    clock = FakeClock(NOON)
    services, user_id = services_on(MemoryStore(), clock), IDS.mint(NOON)
    analytics = await statistics(services)

    def exports(answer_bytes: int) -> Exports:
        return Exports(
            memos=services.tables.memos,
            reports=analytics,
            public_url=PUBLIC_URL,
            clock=clock,
            answer_bytes=answer_bytes,
        )

    for at in (NOON, NOON - timedelta(days=3)):
        await services.tables.memos.add(a_memo(user_id, at))
    text = await exports(ANSWER_BYTES).csv(user_id, 366)
    size = len(json.dumps(text)) - 2
    assert await exports(size).csv(user_id, 366) == text
    with pytest.raises(PayloadTooLarge, match="days=3 instead"):
        await exports(size - 1).csv(user_id, 366)
