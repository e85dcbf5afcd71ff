"""Usage counts equal a recount of the logs, after any events and at any time of reading; and their cost."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import Final

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from shared.core.clock import DAY, HOUR, midnight
from shared.speech.voices import VOICES as EVERY_VOICE
from shared.stores.memory.store import MemoryStore
from shared.stores.port import Store, StoreUnavailable
from shared.tables import TABLES, UsageLogs
from shared.tables.usage_logs import Action
from shared.usage.counts import Counts, Group, GroupBy, GroupedCounts
from shared.usage.history import History
from shared.usage.periods import GRACE
from shared.usage.rollups import DayRollup, MonthRollup, Rollups
from tests.fakes.micro_store_world import micro_store_world
from tests.fakes.usage_world import BORN, ERROR, KEYS, MEMO, VOICES, Happens, Owner, lived, told
from tests.support import CountingStore, FailingStore, FakeClock, racing_store, repeatable


@asynccontextmanager
async def memory_store() -> AsyncIterator[Store]:
    yield MemoryStore()


@asynccontextmanager
async def micro_store() -> AsyncIterator[Store]:
    async with micro_store_world() as world:
        store = (await world.container()).store
        await store.verify(TABLES)
        yield store


STORES: Final[dict[str, Callable[[], AbstractAsyncContextManager[Store]]]] = {
    "memory": memory_store,
    "micro": micro_store,
}


@dataclass(frozen=True, kw_only=True)
class Asks:
    """A request for a range of days, by its length and its end in days ago."""

    ago: int
    days: int
    errors: bool


Step = tuple[timedelta, Happens | Asks]
"""A time to wait, and the event after it."""

PAUSES: Final = st.one_of(
    st.just(timedelta(0)),
    st.timedeltas(min_value=timedelta(milliseconds=1), max_value=timedelta(minutes=20)),
    st.timedeltas(min_value=timedelta(hours=1), max_value=timedelta(days=2)),
    st.timedeltas(min_value=timedelta(days=25), max_value=timedelta(days=65)),
)
HAPPENS: Final = st.builds(
    Happens,
    action=st.sampled_from([Action.MEMO_CREATED] * 4 + [Action.ERROR_TTS, Action.ERROR_API, Action.USER_LOGIN]),
    key=st.sampled_from(KEYS),
    voice=st.sampled_from(VOICES),
    characters=st.integers(1, 100_000),
    tenths=st.integers(1, 80_000),
    test=st.sampled_from([False, False, False, True]),
    late=st.timedeltas(min_value=timedelta(0), max_value=timedelta(minutes=9)),
)
ASKS: Final = st.builds(Asks, ago=st.integers(0, 100), days=st.integers(1, 400), errors=st.booleans())
STEPS: Final = st.lists(st.tuples(PAUSES, st.one_of(HAPPENS, HAPPENS, ASKS)), min_size=1, max_size=40)


def by_day(hours: dict[datetime, dict[tuple[GroupBy, str], Counts]]) -> dict[date, dict[tuple[GroupBy, str], Counts]]:
    days: dict[date, dict[tuple[GroupBy, str], Counts]] = {}
    for hour, groups in hours.items():
        day = days.setdefault(hour.date(), {})
        for group, counts in groups.items():
            day[group] = Counts(*map(sum, zip(day.get(group, Counts()), counts, strict=True)))
    return days


def without_errors(
    parts: dict[date, dict[tuple[GroupBy, str], Counts]] | dict[datetime, dict[tuple[GroupBy, str], Counts]],
) -> dict[date | datetime, dict[tuple[GroupBy, str], Counts]]:
    """Return the part of a recount that an answer without errors must contain."""
    calls = {
        at: {group: counts._replace(errors=0) for group, counts in groups.items() if counts.calls}
        for at, groups in parts.items()
    }
    return {at: groups for at, groups in calls.items() if groups}


async def check(owner: Owner, asks: Asks) -> None:
    last = owner.clock.at.date() - asks.ago * DAY
    first = last - (asks.days - 1) * DAY
    expected = by_day(owner.recount(midnight(first), midnight(last + DAY)))
    found = {
        day: told(figures)
        for day, figures in (await owner.history.days(owner.id, first, last, errors=asks.errors)).items()
    }
    hours_first = owner.clock.at.replace(minute=0, second=0, microsecond=0) - (24 * asks.ago + 100) * HOUR
    hours_end = hours_first + 168 * HOUR
    expected_hours = owner.recount(hours_first, hours_end)
    found_hours = {
        hour: told(figures)
        for hour, figures in (await owner.history.hours(owner.id, hours_first, hours_end, errors=asks.errors)).items()
    }
    all_time = await owner.history.all_time(owner.id, errors=asks.errors)
    whole: GroupedCounts = all_time.total
    recounted = [log for log in owner.written if log.action is Action.MEMO_CREATED and not log.metadata["test"]]
    assert (whole.total.calls, whole.total.characters) == (
        len(recounted),
        sum(log.metadata["characters"] for log in recounted),
    )
    assert {voice: counts.calls for voice, counts in whole.by(GroupBy.VOICE).items() if counts.calls} == {
        voice: count for voice in VOICES if (count := sum(log.metadata["voice"] == voice for log in recounted))
    }
    if asks.errors:
        assert found == expected
        assert found_hours == expected_hours
        assert whole.total.errors == sum(log.action.startswith("error_") for log in owner.written)
    else:
        assert without_errors(found) == without_errors(expected)
        assert without_errors(found_hours) == without_errors(expected_hours)


async def play(open_store: Callable[[], AbstractAsyncContextManager[Store]], steps: Sequence[Step]) -> None:
    async with open_store() as store:
        clock = FakeClock(BORN)
        owner = Owner(store, clock, logs_read=3, hourly_from=4)
        for later, step in steps:
            clock.advance(timedelta(milliseconds=later // timedelta(milliseconds=1)))
            if isinstance(step, Happens):
                await owner.log(step)
            else:
                await check(owner, step)
        await check(owner, Asks(ago=0, days=400, errors=True))
        clock.advance(GRACE + DAY)
        await check(owner, Asks(ago=0, days=400, errors=True))


@pytest.mark.parametrize("name", STORES)
@pytest.mark.thorough
def test_figures_equal_a_recount_of_the_logs(name: str) -> None:
    @settings(repeatable, max_examples=60 if name == "memory" else 15, phases=[Phase.generate])
    @given(steps=STEPS)
    def run(steps: list[Step]) -> None:
        asyncio.run(play(STORES[name], steps))

    run()


ALL: Final = Asks(ago=0, days=400, errors=True)


@pytest.mark.anyio
@pytest.mark.parametrize("lost", [False, True])
@pytest.mark.thorough
async def test_a_crash_at_any_call_leaves_figures_that_are_right(*, lost: bool) -> None:
    """The store fails at every third call, before or after the call has its effect."""
    calls = 0
    while True:
        store, clock = MemoryStore(), FakeClock(BORN)
        owner = Owner(store, clock, logs_read=5, hourly_from=2)
        await lived(owner, 45)
        failing = FailingStore(store, at=calls, lost=lost, for_good=True)
        crashing = Owner(failing, clock, logs_read=5, hourly_from=2)
        crashing.id = owner.id
        with suppress(StoreUnavailable):
            await crashing.history.all_time(owner.id, errors=True)
        await check(owner, ALL)
        first, end = midnight(BORN.date()), midnight(clock.at.date() + DAY)
        hours = await owner.history.hours(owner.id, first, end, errors=True)
        assert {hour: told(figures) for hour, figures in hours.items()} == owner.recount(first, end)
        if not failing.failed:
            break
        calls += 3
    assert calls > 60


@pytest.mark.anyio
@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_containers_that_sum_at_once_write_the_same(seed: int) -> None:
    store, clock = racing_store(seed), FakeClock(BORN)
    owner = Owner(store, clock, logs_read=5, hourly_from=2)
    await lived(owner, 75)
    others = [History(logs=UsageLogs(store), rollups=Rollups(store), clock=clock, hourly_from=2) for _ in range(4)]
    told_at_once = await asyncio.gather(*(each.all_time(owner.id, errors=True) for each in others))
    assert len({repr(sorted(each.total.groups.items())) for each in told_at_once}) == 1
    await check(owner, ALL)


@pytest.mark.anyio
@pytest.mark.parametrize("unsummed", [date(2025, 11, 25), date(2025, 12, 3)])
@pytest.mark.parametrize("busy", [date(2025, 12, 1), date(2025, 12, 10)])
async def test_history_counts_unsummed_days_before_summed_hours(unsummed: date, busy: date) -> None:
    """Sums of today's hours prove nothing about the days before, which are summed when they are requested."""
    clock = FakeClock(BORN)
    owner = Owner(MemoryStore(), clock, hourly_from=3)
    for day in sorted([unsummed, busy]):
        clock.at = midnight(day) + 9 * HOUR
        for _ in range(4):
            await owner.log(MEMO)
    clock.at = midnight(max(unsummed, busy)) + 12 * HOUR
    await owner.history.days(owner.id, clock.at.date(), clock.at.date())
    assert [each.hour for each in await owner.rollups.days(owner.id, clock.at.date())][-1] == 10
    clock.advance(DAY)
    await owner.history.days(owner.id, clock.at.date() - DAY, clock.at.date())
    for later in (0, 1, 40):
        clock.advance(later * DAY)
        await check(owner, ALL)


@pytest.mark.anyio
async def test_history_ignores_hours_that_are_being_deleted() -> None:
    """Hours of a day that has a document may be incomplete: another container deletes them."""
    clock = FakeClock(BORN)
    owner = Owner(MemoryStore(), clock, hourly_from=3)
    clock.at = datetime(2025, 11, 29, 12, tzinfo=UTC)
    await check(owner, ALL)
    clock.at = datetime(2025, 11, 30, 9, tzinfo=UTC)
    for _ in range(5):
        await owner.log(MEMO)
    clock.advance(3 * HOUR)
    await check(owner, ALL)
    before = await owner.rollups.days(owner.id, date(2025, 11, 29))
    assert [each.hour for each in before] == [None, 9, 10]
    clock.advance(DAY)
    await owner.rollups.add_day(owner.id, DayRollup.of(date(2025, 11, 30), before[1].hours))
    await owner.rollups.delete_day(owner.id, before[1])
    await check(owner, ALL)


@pytest.mark.anyio
async def test_history_counts_once_when_a_month_was_summed_early() -> None:
    """A container whose clock is still in the month counts no day twice that another container has closed."""
    clock = FakeClock(BORN)
    owner = Owner(MemoryStore(), clock)
    await lived(owner, 20)
    clock.at = datetime(2026, 1, 1, tzinfo=UTC) + GRACE
    await check(owner, ALL)
    clock.advance(-HOUR)
    await check(owner, ALL)


@pytest.mark.anyio
async def test_a_container_that_comes_to_a_month_just_summed_answers() -> None:
    for seed in range(40):
        store, clock = racing_store(seed), FakeClock(BORN)
        owner = Owner(store, clock)
        await lived(owner, 15, every=timedelta(days=5))
        clock.at = datetime(2026, 1, 2, 12, tzinfo=UTC)

        async def ask(after: int, owner: Owner = owner) -> int:
            for _ in range(after):
                await asyncio.sleep(0)
            return (await owner.history.all_time(owner.id)).total.total.calls

        assert len(set(await asyncio.gather(*(ask(after) for after in range(0, 24, 3))))) == 1, seed


@pytest.mark.anyio
@pytest.mark.parametrize("hourly_from", [1000, 0])
async def test_history_counts_logs_dated_tomorrow(hourly_from: int) -> None:
    """A log that a clock ahead dates after midnight is counted on that day, read by a page or counted by the hour."""
    owner = Owner(MemoryStore(), FakeClock(datetime(2025, 12, 1, 23, 59, tzinfo=UTC)), hourly_from=hourly_from)
    await owner.log(replace(MEMO, late=-timedelta(minutes=2)))
    days = await owner.history.days(owner.id, BORN.date(), date.max)
    assert list(days) == [date(2025, 12, 2)]


@pytest.mark.anyio
async def test_hours_leave_out_the_hour_at_their_end() -> None:
    """The end of a range of hours is exclusive, though the day's other hours are read too; also at first."""
    owner = Owner(MemoryStore(), FakeClock(datetime(2025, 12, 1, 9, 30, tzinfo=UTC)))
    for _ in range(2):
        await owner.log(MEMO)
        owner.clock.advance(HOUR)
    for later in (0, 1):
        owner.clock.advance(later * DAY)
        first = datetime(2025, 12, 1, 9, tzinfo=UTC)
        assert list(await owner.history.hours(owner.id, first, first + HOUR)) == [first]


@pytest.mark.anyio
async def test_history_counts_logs_dated_before_the_sign_up() -> None:
    """A log that a clock behind dates before the sign-up is counted, on that day and later."""
    clock = FakeClock(datetime(2026, 1, 1, tzinfo=UTC))
    owner = Owner(MemoryStore(), clock)
    await owner.log(replace(MEMO, late=timedelta(seconds=1)))
    await check(owner, ALL)
    clock.advance(DAY)
    await check(owner, ALL)


@pytest.mark.anyio
async def test_history_sums_a_day_ten_minutes_after_its_end() -> None:
    """A log that is stored within ten minutes of its day's end is counted. A later one needs a rebuild."""
    store, clock = MemoryStore(), FakeClock(BORN)
    owner = Owner(store, clock)
    clock.at = datetime(2025, 12, 2, 0, 9, 59, tzinfo=UTC)
    await check(owner, ALL)
    await owner.log(replace(MEMO, late=timedelta(minutes=9, seconds=59, milliseconds=1)))  # of December 1
    await check(owner, ALL)
    clock.at = datetime(2025, 12, 2, 0, 10, tzinfo=UTC)
    await check(owner, ALL)
    await owner.log(replace(MEMO, late=timedelta(minutes=11)))
    days = await owner.history.days(owner.id, date(2025, 12, 1), date(2025, 12, 1))
    assert days[date(2025, 12, 1)].total.calls == 1  # a later log needs a rebuild


@pytest.mark.anyio
async def test_history_sums_hours_of_a_busy_day_until_its_end() -> None:
    """The finished hours of a busy day have documents, which are deleted when the day has its own."""
    store, clock = MemoryStore(), FakeClock(BORN)
    owner = Owner(store, clock, logs_read=100, hourly_from=10)
    clock.at = datetime(2025, 12, 3, 0, 20, tzinfo=UTC)
    await check(owner, ALL)
    await lived(owner, 1, every=timedelta(minutes=20))
    clock.at = datetime(2025, 12, 3, 23, 50, tzinfo=UTC)
    await check(owner, ALL)
    hours = [day for day in await owner.rollups.days(owner.id, date(2025, 12, 3)) if day.hour is not None]
    assert [hour.hour for hour in hours] == list(range(23))
    assert [hour.hour for hour in hours if hour.mark] == [22]
    clock.advance(DAY)
    await check(owner, ALL)
    documents = await owner.rollups.days(owner.id, date(2025, 12, 3))
    assert [(day.day.day, day.hour) for day in documents] == [(3, None)]


@pytest.mark.anyio
@pytest.mark.parametrize(("logs", "summed"), [(1000, []), (1001, [(3, 7)])])
async def test_history_sums_hours_beyond_a_thousand_logs(logs: int, summed: list[tuple[int, int]]) -> None:
    """Up to a thousand logs an answer reads all logs of the day; above it those since the last finished hour."""
    owner = Owner(MemoryStore(), FakeClock(datetime(2025, 12, 3, 7, 59, tzinfo=UTC)))
    for _ in range(logs):
        await owner.log(MEMO)
    owner.clock.advance(timedelta(minutes=15))
    for _ in range(2):
        assert (await owner.history.all_time(owner.id)).total.total.calls == logs
        documents = await owner.rollups.days(owner.id, date(2025, 12, 3))
        assert [(document.day.day, document.hour) for document in documents] == summed


@pytest.mark.anyio
async def test_history_reads_a_busy_day_once_its_hours_are_summed() -> None:
    """Then an answer costs a page of days and one of logs, though the page of logs is not the last."""
    store = CountingStore(MemoryStore())
    owner = Owner(store, FakeClock(datetime(2025, 12, 3, 7, 59, tzinfo=UTC)), hourly_from=10)
    for _ in range(11):
        await owner.log(MEMO)
    owner.clock.advance(timedelta(minutes=15))
    await owner.history.all_time(owner.id)
    store.calls.clear()
    assert (await owner.history.all_time(owner.id)).total.total.calls == 11
    assert store.calls == {"page": 2}


@pytest.mark.anyio
async def test_history_reads_no_logs_of_errors_unless_asked() -> None:
    """For an hour with more logs than a page only the pages of memos are read; with errors, those of both."""
    store = CountingStore(MemoryStore())
    owner = Owner(store, FakeClock(datetime(2025, 12, 3, 7, 30, tzinfo=UTC)), hourly_from=10)
    for _ in range(11):
        await owner.log(MEMO)
        await owner.log(ERROR)
    await owner.history.all_time(owner.id)
    costs = []
    for errors in (False, True):
        store.calls.clear()
        all_time = await owner.history.all_time(owner.id, errors=errors)
        assert (all_time.total.total.calls, all_time.total.total.errors) == (11, 11 if errors else 0)
        costs.append(store.calls["page"])
    assert costs == [3, 5]


@pytest.mark.anyio
async def test_history_writes_each_finished_hour_once() -> None:
    """The last hour of a step gets its mark with its sums, and not by a second write."""
    store = CountingStore(MemoryStore())
    owner = Owner(store, FakeClock(datetime(2025, 12, 3, 6, 30, tzinfo=UTC)), hourly_from=3)
    await owner.history.all_time(owner.id)
    for _ in range(6):
        await owner.log(MEMO)
        owner.clock.advance(timedelta(minutes=30))
    store.calls.clear()
    await owner.history.all_time(owner.id)
    hours = await owner.rollups.days(owner.id, date(2025, 12, 3))
    assert [(hour.hour, hour.mark) for hour in hours] == [(6, False), (7, False), (8, True)]
    assert (store.calls["add"], store.calls["extend"]) == (3, 0)


@pytest.mark.anyio
async def test_history_keeps_hours_while_it_sums_days_before() -> None:
    """Today's hours stay when the days before them are summed later than they."""
    store = CountingStore(MemoryStore())
    owner = Owner(store, FakeClock(datetime(2025, 12, 2, 9, tzinfo=UTC)), hourly_from=3)
    await owner.log(MEMO)
    owner.clock.at = datetime(2025, 12, 10, 9, tzinfo=UTC)
    for _ in range(4):
        await owner.log(MEMO)
    owner.clock.advance(3 * HOUR)
    today = owner.clock.at.date()
    await owner.history.days(owner.id, today, today)
    await check(owner, ALL)
    assert store.calls["delete"] == 0
    owner.clock.advance(DAY)
    await check(owner, ALL)
    assert store.calls["delete"] == len(range(9, 11))


@pytest.mark.anyio
async def test_history_of_a_few_days_hides_none_before_them() -> None:
    """An answer about the last days sums all days of the month, since its mark claims that they are summed."""
    owner = Owner(MemoryStore(), FakeClock(datetime(2025, 12, 3, 12, tzinfo=UTC)))
    await owner.log(MEMO)
    owner.clock.at = datetime(2025, 12, 20, 12, tzinfo=UTC)
    today = owner.clock.at.date()
    assert await owner.history.days(owner.id, today - 2 * DAY, today) == {}
    await check(owner, ALL)


@pytest.mark.anyio
async def test_history_sums_no_days_of_a_month_that_ends() -> None:
    """On the first day of a month all before is in the months' documents alone."""
    owner = Owner(MemoryStore(), FakeClock(datetime(2025, 11, 20, 12, tzinfo=UTC)))
    await owner.log(MEMO)
    owner.clock.at = datetime(2025, 12, 1, 12, tzinfo=UTC)
    assert (await owner.history.all_time(owner.id)).total.total.calls == 1
    assert list(await owner.rollups.months(owner.id, date(2025, 1, 1))) == [date(2025, 11, 1)]
    assert await owner.rollups.days(owner.id, date(2025, 1, 1)) == []


@pytest.mark.anyio
async def test_history_sums_a_month_whose_document_is_missing() -> None:
    """The newest month is summed again, though days after it are summed."""
    owner = Owner(MemoryStore(), FakeClock(datetime(2025, 11, 20, 12, tzinfo=UTC)))
    await owner.log(MEMO)
    owner.clock.at = datetime(2025, 12, 3, 12, tzinfo=UTC)
    await check(owner, ALL)
    await owner.rollups.delete_month(owner.id, date(2025, 11, 1))
    await check(owner, ALL)


@pytest.mark.anyio
@pytest.mark.parametrize("days", [3, 100, 500])
@pytest.mark.thorough
async def test_an_answer_costs_the_same_after_any_history(days: int) -> None:
    async with micro_store_world() as world:
        store = (await world.container()).store
        await store.verify(TABLES)
        owner = Owner(store, FakeClock(BORN))
        await lived(owner, days)
        today = owner.clock.at.date()
        await owner.history.all_time(owner.id)
        week = midnight(today - 6 * DAY), midnight(today + DAY)
        await owner.history.hours(owner.id, *week, errors=True)
        costs = []
        for ask in (
            owner.history.days(owner.id, today - 29 * DAY, today),
            owner.history.all_time(owner.id),
            owner.history.days(owner.id, today - 365 * DAY, today, errors=True),
            owner.history.hours(owner.id, *week, errors=True),
        ):
            with world.recorder.measure() as cost:
                await ask
            costs.append((cost.requests, cost.depth))
        assert [requests <= most for (requests, _), most in zip(costs, (3, 3, 4, 4), strict=True)] == [True] * 4, costs
        assert [depth for _, depth in costs] == [1] * 4, costs


@pytest.mark.anyio
async def test_history_costs_three_requests_more_once_a_day() -> None:
    """The first answer of a day costs a page of each kind of logs and a write more."""
    async with micro_store_world() as world:
        store = (await world.container()).store
        await store.verify(TABLES)
        owner = Owner(store, FakeClock(datetime(2025, 12, 3, 12, tzinfo=UTC)))
        await lived(owner, 5)
        today = owner.clock.at.date()
        await owner.history.days(owner.id, today - 29 * DAY, today)
        owner.clock.advance(DAY)
        for later in (0, 3):
            owner.clock.advance(later * DAY)
            today = owner.clock.at.date()
            with world.recorder.measure() as cost:
                await owner.history.days(owner.id, today - 29 * DAY, today)
            assert cost.requests == 2 + 2 + 1
            assert cost.depth == 3


@pytest.mark.anyio
async def test_a_year_of_a_busy_account_is_read_in_half_a_megabyte() -> None:
    """The account has 137 memos a day, in every voice and with three keys. Its year takes four requests."""
    async with micro_store_world() as world:
        store = (await world.container()).store
        await store.verify(TABLES)
        clock = FakeClock(datetime(2026, 12, 31, 23, tzinfo=UTC))
        born = FakeClock(datetime(2025, 12, 1, tzinfo=UTC))
        owner = Owner(store, born)
        owner.history = History(logs=owner.logs, rollups=owner.rollups, clock=clock)
        groups: list[Group] = [(GroupBy.KEY, f"{number:032x}") for number in range(3)]
        groups += [(GroupBy.VOICE, voice) for voice in EVERY_VOICE]
        memos, errors = (GroupBy.ACTION, "memo_created"), (GroupBy.ACTION, "error_tts")
        counts = Counts(calls=12, characters=123_456, audio_ms=98_765_400, errors=1)
        a_day = GroupedCounts(dict.fromkeys([*groups, memos, errors], counts))
        # An hour has up to six memos, in as many voices.
        an_hour = GroupedCounts(dict.fromkeys([*groups[:9], memos], counts))
        for month in range(1, 12):
            days = dict.fromkeys(range(1, 29), a_day)
            await owner.rollups.add_month(owner.id, date(2026, month, 1), MonthRollup(days=days, before=a_day))
        await owner.rollups.add_month(owner.id, date(2025, 12, 1), MonthRollup(days={}, before=GroupedCounts()))
        for number in range(1, 31):
            day = DayRollup.of(date(2026, 12, number), dict.fromkeys(range(24), an_hour), mark=number == 30)
            await owner.rollups.add_day(owner.id, day)
        for number in range(137):
            born.at = clock.at - timedelta(minutes=10 * number)
            await owner.log(MEMO)
        with world.recorder.measure() as cost:
            days_of_year = await owner.history.days(owner.id, date(2026, 1, 1), date(2026, 12, 31), errors=True)
        assert len(days_of_year) == 11 * 28 + 31
        assert (cost.requests, cost.received < 500_000) == (4, True), cost
