"""A long past without sums: the cost of its first answer, and the loss if an answer stops in it."""

from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from typing import Final, TypeVar

import pytest

from shared.core.clock import DAY, HOUR, midnight
from shared.stores.memory.store import MemoryStore
from shared.stores.port import Store, StoreUnavailable
from shared.tables import TABLES
from shared.usage.rebuilding import UsageRebuild
from shared.usage.rollups import DayRollup
from tests.fakes.micro_store_world import micro_store_world
from tests.fakes.usage_world import BORN, MEMO, Owner, lived, told
from tests.support import CountingStore, FailingStore, FakeClock, request_that_has
from tests.usage.test_history import ALL, check

pytestmark = pytest.mark.anyio

T = TypeVar("T")

MONTHS: Final = 24
A_PAGE: Final = 100


async def of_two_years(store: Store, *, every: timedelta = timedelta(hours=18)) -> Owner:
    """Return an owner of two years with a memo every 18 hours.

    That is 41 a month, so that a page of 100 has two months, as a page of 8,000 has for 100,000 memos.
    """
    owner = Owner(store, FakeClock(BORN), logs_read=A_PAGE)
    await lived(owner, 730, every=every)
    return owner


async def test_first_figures_of_two_years_write_months_and_no_days() -> None:
    """The first answer writes a document for each month, and for the days of the open month, for any past."""
    async with micro_store_world() as world:
        store = (await world.container()).store
        await store.verify(TABLES)
        owner = await of_two_years(store)
        pages = len(owner.written) // A_PAGE + 1
        active = {log.created_at.date() for log in owner.written}
        today = owner.clock.at.date()
        open_days = sum(today.replace(day=1) <= day < today for day in active)
        with world.recorder.measure() as cost:
            await owner.history.all_time(owner.id, errors=True)
        known = 2 + 2 + 2 + 1
        """Documents and newest logs, the newest month and the days after it, events, and the last day's mark."""
        assert cost.requests <= pages + MONTHS + 1 + open_days + known
        assert len(await owner.rollups.months(owner.id, BORN.date())) == MONTHS
        assert {rollup.day.replace(day=1) for rollup in await owner.rollups.days(owner.id, BORN.date())} == {
            today.replace(day=1)
        }
        await check(owner, ALL)


@pytest.mark.parametrize(
    ("every", "left_s", "are_written"),
    [
        (timedelta(hours=3), 60.0, False),
        (timedelta(hours=3), 1.9, True),
        (timedelta(minutes=70), 60.0, False),
        (timedelta(minutes=45), 60.0, True),
    ],
    ids=["in time", "late", "six pages a month", "nine pages a month"],
)
async def test_days_of_finished_months_are_stored_if_at_risk(
    *, every: timedelta, left_s: float, are_written: bool
) -> None:
    """A finished month has its own document, and days only if the deadline or a crash could lose many pages of it."""
    owner = Owner(MemoryStore(), FakeClock(BORN), logs_read=A_PAGE)
    await lived(owner, 100, every=every)
    with request_that_has(left_s):
        await owner.history.all_time(owner.id, errors=True)
    stored = await owner.rollups.days(owner.id, BORN.date())
    months = {rollup.day.replace(day=1) for rollup in stored}
    finished = {date(2025, 12, 1), date(2026, 1, 1)}
    assert finished & months == (finished if are_written else set())
    await check(owner, ALL)


async def test_first_figures_of_two_years_read_each_log_once() -> None:
    """The logs of a step that ends in the middle of a page are not read again, but for the newest, of today."""
    counting = CountingStore(MemoryStore())
    owner = await of_two_years(counting)
    before = counting.calls["add"]
    await owner.history.all_time(owner.id, errors=True)
    today = sum(log.created_at.date() == owner.clock.at.date() for log in owner.written)
    assert counting.rows == len(owner.written)
    assert counting.calls["add"] - before <= MONTHS + today + 31


@pytest.mark.parametrize(
    ("every", "calls"), [(timedelta(hours=18), 40), (timedelta(hours=3), 40)], ids=["few in a month", "many in a month"]
)
async def test_first_figures_go_on_where_an_answer_stopped(every: timedelta, calls: int) -> None:
    """An answer that stops after some calls has stored all but its last pages: the next one continues, and is right."""
    store = MemoryStore()
    owner = await of_two_years(store, every=every)
    left = [len(owner.written)]
    for _ in range(60):
        failing = FailingStore(store, at=calls, for_good=True)
        asking = Owner(failing, owner.clock, user_id=owner.id, logs_read=A_PAGE)
        with suppress(StoreUnavailable):
            await asking.history.all_time(owner.id, errors=True)
        left.append(await _left(owner))
        if not failing.failed:
            break
    assert len(left) > 2, "nothing was stopped"
    assert sorted(left, reverse=True) == left, left
    assert left[-1] <= 8, left
    assert len(left) < 40, left
    await check(owner, ALL)


async def _left(owner: Owner) -> int:
    """Return the number of logs that the next answer must read."""
    newest = await owner.rollups.newest_month(owner.id)
    since = BORN if newest is None else datetime.combine(newest[0], datetime.min.time(), tzinfo=UTC)
    marked = [rollup.end for rollup in await owner.rollups.days(owner.id, since.date()) if rollup.mark]
    return sum(log.created_at >= max([since, *marked]) for log in owner.written)


async def test_hours_of_a_finished_month_are_those_of_its_logs() -> None:
    """Hours are counted once, at their first request: the second answer reads documents."""
    counting = CountingStore(MemoryStore())
    owner = await of_two_years(counting)
    await owner.history.all_time(owner.id)
    first, end = datetime(2026, 2, 26, tzinfo=UTC), datetime(2026, 3, 5, tzinfo=UTC)
    for pages in (2 + 2, 2):
        before = counting.calls["page"]
        hours = await owner.history.hours(owner.id, first, end, errors=True)
        assert {hour: told(counts) for hour, counts in hours.items()} == owner.recount(first, end)
        assert counting.calls["page"] - before == pages


async def test_hours_counted_before_a_late_log_are_rebuilt() -> None:
    """A container counted the hours of a day, and stores them after a rebuild found the day without a document.

    The rebuild has stored the day's right sums, because the month's were wrong, so the old ones are refused.
    """
    owner = await of_two_years(MemoryStore())
    await owner.history.all_time(owner.id)
    day = owner.written[200].created_at.date()
    stale = DayRollup.of(day, {})
    now, owner.clock.at = owner.clock.at, midnight(day) + 5 * HOUR
    await owner.log(MEMO)
    owner.clock.at = now
    rebuild = UsageRebuild(logs=owner.logs, rollups=owner.rollups, clock=owner.clock, repair=True)
    wrong = [name async for month in rebuild.rebuild(owner.id, day, day) for name in month.wrong]
    assert f"{day}" in wrong
    await owner.rollups.add_day(owner.id, stale)
    hours = await owner.history.hours(owner.id, midnight(day), midnight(day) + DAY, errors=True)
    assert {hour: told(counts) for hour, counts in hours.items()} == owner.recount(midnight(day), midnight(day) + DAY)
