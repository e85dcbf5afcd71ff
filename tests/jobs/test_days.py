"""Days are processed from their lists of owners: figures are exact, and no memo is counted twice or lost."""

from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from functools import partial
from typing import Final

import pytest

from shared.accounts.accounts import SignedUp
from shared.activity import log_of_memo
from shared.core.ids import Ids
from shared.jobs.days import ActiveDays
from shared.jobs.worked import Worked, always, silent
from shared.limits.quotas import Quotas
from shared.memos.requests import Draft
from shared.services import Services
from shared.speech.voices import VOICES
from shared.stores.memory.store import MemoryStore
from shared.stores.port import Store, StoreError
from shared.tables import Window
from shared.tables.housekeeping import DayFigures, DayPass
from shared.tables.memos import Ended, Memo
from shared.usage.history import History
from shared.usage.rollups import Rollups
from tests.limits.gateways import ALL_STORES, stores
from tests.support import CountingStore, FailingStore, FakeClock, outcomes, racing_store, services_on, signed_up

pytestmark = pytest.mark.anyio

SAY: Final = Draft(text="Hello there", voice=VOICES["sam"])
MONDAY: Final = date(2026, 11, 23)
TUESDAY: Final = date(2026, 11, 24)


def at(day: date, hour: int, minute: int = 0) -> datetime:
    return datetime(day.year, day.month, day.day, hour, minute, tzinfo=UTC)


def days_of(store: Store, services: Services, clock: FakeClock) -> ActiveDays:
    return ActiveDays(store, services.tables, quotas=Quotas(store), clock=clock)


async def work(store: Store, services: Services, clock: FakeClock) -> Worked:
    """Process the days that are due, completely."""
    known = (await services.tables.housekeeping.unfinished()).days
    return await days_of(store, services, clock).work(known, always, silent)


async def figures(services: Services, *days: date) -> list[int | None]:
    there = dict(await services.tables.housekeeping.days(days[0], days[-1]))
    return [there[day].calls if day in there and there[day].as_of else None for day in days]


async def listed(services: Services, day: date) -> list[str]:
    return [owner async for owner in services.tables.active_owners.of(day)]


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(at(MONDAY, 12))


@pytest.fixture
def store() -> Store:
    return racing_store(7)


@pytest.fixture
def services(store: Store, clock: FakeClock) -> Services:
    return services_on(store, clock)


@pytest.fixture
async def people(services: Services) -> list[SignedUp]:
    return [await signed_up(services, f"person{number}@example.org") for number in range(9)]


async def lost_log(services: Services, person: SignedUp, when: datetime) -> Memo:
    """Return a memo whose container stopped before its log was stored."""
    memo, _ = await services.memos.make(person.api_key.key, SAY)
    await services.tables.usage_logs.delete_memo(person.user.id, memo.id)
    assert memo.created_at == when
    return memo


@pytest.mark.parametrize("kind", ALL_STORES)
@pytest.mark.thorough
async def test_figures_of_two_days_with_late_logs_on(kind: str, clock: FakeClock) -> None:
    """Today's calls are an hour old at most; a day that ended is exact once its grace has passed, with a log that was
    never stored; a log that comes later is counted a day after, and then the list is erased."""
    async with stores(kind, 1, seed=3) as (store,):
        services = services_on(store, clock)
        ada, bob = await signed_up(services), await signed_up(services, "bob@example.org")
        for person, calls in ((ada, 3), (bob, 2)):
            for _ in range(calls):
                await services.memos.make(person.api_key.key, SAY)
        assert (await work(store, services, clock)).done == 1, "today alone: no day before has a list"
        assert await figures(services, MONDAY) == [5]
        await lost_log(services, ada, clock.at)
        assert await work(store, services, clock) == Worked(), "within the hour nothing is due"
        clock.advance(timedelta(hours=1))
        await work(store, services, clock)
        assert await figures(services, MONDAY) == [6]

        clock.at = at(TUESDAY, 0, 9)
        await services.memos.make(bob.api_key.key, SAY)
        await work(store, services, clock)
        assert await figures(services, MONDAY, TUESDAY) == [6, None]
        clock.at = at(TUESDAY, 0, 10)
        await work(store, services, clock)
        assert await figures(services, MONDAY, TUESDAY) == [6, 1]
        assert (await services.tables.housekeeping.days(MONDAY, MONDAY))[0][1] == DayFigures(
            as_of=clock.at, calls=6, owners=2
        )
        assert await listed(services, MONDAY) == sorted([ada.user.id, bob.user.id])
        assert len(await listed(services, TUESDAY)) == 1

        await log_alone(services, ada, at(MONDAY, 23, 59))
        clock.at = at(TUESDAY, 23)
        await work(store, services, clock)
        assert await figures(services, MONDAY, TUESDAY) == [6, 1]
        clock.at = at(date(2026, 11, 25), 0, 10)
        await work(store, services, clock)
        assert await figures(services, MONDAY, TUESDAY) == [7, 1]
        assert await listed(services, MONDAY) == []
        assert await work(store, services, clock) == Worked()


@pytest.mark.parametrize("day", [MONDAY, date(2026, 11, 30)], ids=["in a month", "the last of a month"])
async def test_answer_sums_nothing_after_housekeeping(day: date) -> None:
    """Ten minutes after a day housekeeping has summed it, and its month: the first answer writes no document."""
    clock = FakeClock(at(day, 12))
    counting = CountingStore(MemoryStore(clock=clock))
    services = services_on(counting, clock)
    ada = await signed_up(services)
    await services.memos.make(ada.api_key.key, SAY)
    clock.at = at(day + timedelta(days=1), 0, 10)
    await work(counting, services, clock)
    before, today = dict(counting.calls), clock.at.date()
    history = History(logs=services.tables.usage_logs, rollups=Rollups(counting), clock=clock)
    counts = await history.days(ada.user.id, day, today)
    assert (await history.all_time(ada.user.id)).total.total.calls == 1
    assert {found: figures.total.calls for found, figures in counts.items()} == {day: 1}
    assert {
        verb: count - before.get(verb, 0) for verb, count in counting.calls.items() if verb != "page"
    } == dict.fromkeys(before.keys() - {"page"}, 0)


async def log_alone(services: Services, person: SignedUp, when: datetime) -> Memo:
    """Write a memo and its log long after their time, as by a container that was frozen meanwhile."""
    memo = (await services.tables.memos.page(person.user.id, Window())).rows[0]
    late = memo.model_copy(update={"id": Ids().mint(when), "created_at": when})
    await services.tables.memos.add(late)
    await services.tables.usage_logs.add(log_of_memo(late, person.api_key.key))
    return late


async def test_day_of_many_owners_goes_on_where_a_run_stopped(
    store: Store, services: Services, clock: FakeClock, people: list[SignedUp]
) -> None:
    """Runs that stop after a few owners count every owner once, and only the last run makes figures."""
    await work(store, services, clock)
    for person in people:
        await services.memos.make(person.api_key.key, SAY)
    clock.at = at(TUESDAY, 1)
    for expected in ([0], [0], [9]):
        known = (await services.tables.housekeeping.unfinished()).days
        looks = [True] * 2 + [False] * 9
        worked = await days_of(store, services, clock).work(known, partial(looks.pop, 0), silent)
        assert not worked.is_done
        assert await figures(services, MONDAY) == expected


async def test_pass_of_a_day_that_ended_meanwhile_begins_again(
    store: Store, services: Services, clock: FakeClock, people: list[SignedUp]
) -> None:
    """The counts of a pass during the day are not the figures of the ended day."""
    await services.memos.make(people[0].api_key.key, SAY)
    running = DayPass(began_at=clock.at, after="f" * 32, calls=70)
    await services.tables.housekeeping.change_day(MONDAY, lambda row: row.model_copy(update={"running": running}))
    clock.at = at(TUESDAY, 0, 10)
    await work(store, services, clock)
    assert await figures(services, MONDAY) == [1]


@pytest.mark.parametrize("kind", ["memory", "micro"])
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.thorough
async def test_two_runs_at_once_count_each_call_once_on(kind: str, seed: int) -> None:
    """In any order the figures are exact, and the list is erased."""
    clock = FakeClock(at(MONDAY, 12))
    async with stores(kind, 2, seed=seed) as made:
        services = [services_on(store, clock) for store in made]
        people = [await signed_up(services[0], f"p{number}@example.org") for number in range(6)]
        for person in people:
            await services[0].memos.make(person.api_key.key, SAY)
        for clock.at in (at(MONDAY, 13), at(TUESDAY, 0, 10), at(TUESDAY, 1) + timedelta(days=1)):
            _, raised = await outcomes(work(*pair, clock) for pair in zip(made, services, strict=True))
            assert raised == []
            assert await figures(services[0], MONDAY) == [6]
        assert await listed(services[0], MONDAY) == []
        assert not any(row.running for _, row in await services[0].tables.housekeeping.days(MONDAY, TUESDAY))


@pytest.mark.parametrize("lost", [False, True])
@pytest.mark.thorough
async def test_run_killed_at_any_call_is_finished_by_the_next(clock: FakeClock, *, lost: bool) -> None:
    """After a kill at any call the next run makes the same figures."""
    number, failed = 0, True
    while failed:
        clock.at = at(MONDAY, 12)
        store = racing_store(number)
        services = services_on(store, clock)
        people = [await signed_up(services, f"p{each}@example.org") for each in range(3)]
        for person in people:
            await services.memos.make(person.api_key.key, SAY)
        await lost_log(services, people[0], clock.at)
        clock.at = at(date(2026, 11, 26), 12)
        await services.tables.housekeeping.change_day(MONDAY - timedelta(days=1), lambda row: row)
        killed = FailingStore(store, at=number, lost=lost, for_good=True)
        with suppress(StoreError):
            await work(killed, services_on(killed, clock), clock)
        failed = killed.failed
        await work(store, services, clock)
        assert await figures(services, MONDAY) == [4], number
        assert await listed(services, MONDAY) == []
        number += 1
    assert number > 30


async def test_owner_who_fails_is_not_skipped(
    store: Store, services: Services, clock: FakeClock, people: list[SignedUp], caplog: pytest.LogCaptureFixture
) -> None:
    """The run is not done, the day stays due since its grace ended, and the next run counts every owner."""
    for person in people:
        await services.memos.make(person.api_key.key, SAY)
    await work(store, services, clock)
    clock.at = at(TUESDAY, 3)
    failing = FailingStore(store, at=8)
    known = (await services.tables.housekeeping.unfinished()).days
    worked = await days_of(failing, services_on(failing, clock), clock).work(known, always, silent)
    assert (worked.is_done, worked.due_since) == (False, at(TUESDAY, 0, 10))
    assert "it is tried again" in caplog.text
    await work(store, services, clock)
    assert await figures(services, MONDAY) == [9]


async def test_long_memo_that_failed_a_day_later_is_no_call(
    store: Store, services: Services, clock: FakeClock, people: list[SignedUp]
) -> None:
    """The last pass reads the logs again: a memo that has failed since no longer counts."""
    memo, _ = await services.memos.make(people[0].api_key.key, SAY)
    clock.at = at(TUESDAY, 1)
    await work(store, services, clock)
    assert await figures(services, MONDAY) == [1]
    await services.tables.usage_logs.end_memo(memo.user_id, memo.id, Ended(seconds=None))
    clock.at = at(TUESDAY, 1) + timedelta(days=1)
    await work(store, services, clock)
    assert await figures(services, MONDAY) == [0]


async def test_calls_of_today_are_read_once_an_hour(
    store: Store, services: Services, clock: FakeClock, people: list[SignedUp]
) -> None:
    """They are read again exactly an hour after the last pass."""
    for minutes, expected in ((0, 1), (59, 1), (1, 3)):
        clock.advance(timedelta(minutes=minutes))
        await services.memos.make(people[0].api_key.key, SAY)
        await work(store, services, clock)
        assert await figures(services, MONDAY) == [expected]


async def test_lost_log_is_counted_in_a_day_summed_before(
    store: Store, services: Services, clock: FakeClock, people: list[SignedUp]
) -> None:
    """If an answer has summed the day already, its sums are corrected with its logs."""
    await lost_log(services, people[0], clock.at)
    clock.at = at(TUESDAY, 0, 10)
    history = History(logs=services.tables.usage_logs, rollups=Rollups(store), clock=clock)
    assert await history.days(people[0].user.id, MONDAY, MONDAY) == {}
    await work(store, services, clock)
    assert await figures(services, MONDAY) == [1]
    assert list(await history.days(people[0].user.id, MONDAY, MONDAY)) == [MONDAY]


async def test_days_missed_in_a_month_are_made_up_for(
    store: Store, services: Services, clock: FakeClock, people: list[SignedUp]
) -> None:
    """After a standstill housekeeping finishes each missed day, oldest first."""
    await work(store, services, clock)
    for number in range(10):
        await services.memos.make(people[number % 3].api_key.key, SAY)
        clock.advance(timedelta(days=1))
    await work(store, services, clock)
    days = [MONDAY + timedelta(days=number) for number in range(11)]
    assert await figures(services, *days) == [1] * 10 + [0]
    assert [day for day in days if await listed(services, day)] == [days[9]]
