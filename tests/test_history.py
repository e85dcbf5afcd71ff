"""Figures equal a recount of the logs, whatever has happened and whenever somebody asks; and what asking costs."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import Final

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from shared.clock import Ids, midnight
from shared.figures import By, Counts, Figures
from shared.history import History
from shared.memory import MemoryStore
from shared.rows import Action, UsageLog
from shared.store import Store, StoreUnavailable
from shared.summing import DAY, GRACE, HOUR
from shared.tables import TABLES, Rollups, UsageLogs
from tests.store_world import store_world
from tests.support import FailingStore, FakeClock, racing_store, repeatable

BORN: Final = datetime(2025, 11, 20, 22, 30, tzinfo=UTC)
VOICES: Final = ("rachel", "sam")
KEYS: Final = ("a" * 32, "b" * 32)


@asynccontextmanager
async def memory_store() -> AsyncIterator[Store]:
    yield MemoryStore()


@asynccontextmanager
async def micro_store() -> AsyncIterator[Store]:
    async with store_world() as world:
        store = (await world.container()).store
        await store.verify(TABLES)
        yield store


STORES: Final[dict[str, Callable[[], AbstractAsyncContextManager[Store]]]] = {
    "memory": memory_store,
    "micro": micro_store,
}


@dataclass(frozen=True, kw_only=True)
class Happens:
    """A log, written `late` after what it tells of."""

    action: Action
    key: str
    voice: str
    characters: int
    tenths: int
    test: bool
    late: timedelta


@dataclass(frozen=True, kw_only=True)
class Asks:
    """Somebody asks for a range that ends so many days ago, of so many days."""

    ago: int
    days: int
    errors: bool


Step = tuple[timedelta, Happens | Asks]
"""How much later, and what."""

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


class Owner:
    """One owner's logs, as they are written and as a recount sees them."""

    def __init__(self, store: Store, clock: FakeClock, **how: int) -> None:
        self.clock = clock
        self.ids = Ids()
        self.id = self.ids.mint(clock.at)
        self.logs = UsageLogs(store)
        self.rollups = Rollups(store)
        self.history = History(logs=self.logs, rollups=self.rollups, clock=clock, **how)
        self.written: list[UsageLog] = []

    async def log(self, happens: Happens) -> None:
        at = max(self.clock.at - happens.late, BORN)
        log = UsageLog(
            id=self.ids.mint(at),
            user_id=self.id,
            api_key_id=happens.key,
            action=happens.action,
            metadata={
                "voice": happens.voice,
                "characters": happens.characters,
                "audioSeconds": happens.tenths / 10,
                "test": happens.test,
            },
            created_at=at,
        )
        self.written.append(log)
        await self.logs.add(log)

    def recount(self, first: datetime, end: datetime) -> dict[datetime, dict[tuple[By, str], Counts]]:
        """By the hour, from the logs alone."""
        hours: dict[datetime, dict[tuple[By, str], Counts]] = {}
        for log in self.written:
            if not first <= log.created_at < end:
                continue
            if log.action is Action.MEMO_CREATED and not log.metadata["test"]:
                made = Counts(1, log.metadata["characters"], int(log.metadata["audioSeconds"] * 10 + 0.5) * 100, 0)
            elif log.action.startswith("error_"):
                made = Counts(0, 0, 0, 1)
            else:
                continue
            hour = hours.setdefault(log.created_at.replace(minute=0, second=0, microsecond=0), {})
            names = {By.ACTION: log.action.value, By.KEY: log.api_key_id or "", By.VOICE: log.metadata["voice"]}
            for group in names.items():
                hour[group] = Counts(*map(sum, zip(hour.get(group, Counts()), made, strict=True)))
        return hours


def told(figures: Figures) -> dict[tuple[By, str], Counts]:
    return {(what, name): counts for what in By for name, counts in figures.by(what).items()}


def by_day(hours: dict[datetime, dict[tuple[By, str], Counts]]) -> dict[date, dict[tuple[By, str], Counts]]:
    days: dict[date, dict[tuple[By, str], Counts]] = {}
    for hour, groups in hours.items():
        day = days.setdefault(hour.date(), {})
        for group, counts in groups.items():
            day[group] = Counts(*map(sum, zip(day.get(group, Counts()), counts, strict=True)))
    return days


def without_errors(
    parts: dict[date, dict[tuple[By, str], Counts]] | dict[datetime, dict[tuple[By, str], Counts]],
) -> dict[date | datetime, dict[tuple[By, str], Counts]]:
    """What an answer without errors must tell in any case."""
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
    whole: Figures = all_time.total
    recounted = [log for log in owner.written if log.action is Action.MEMO_CREATED and not log.metadata["test"]]
    assert (whole.total.calls, whole.total.characters) == (
        len(recounted),
        sum(log.metadata["characters"] for log in recounted),
    )
    assert {voice: counts.calls for voice, counts in whole.by(By.VOICE).items() if counts.calls} == {
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
def test_figures_equal_a_recount_of_the_logs(name: str) -> None:
    @settings(repeatable, max_examples=60 if name == "memory" else 15, phases=[Phase.generate])
    @given(steps=STEPS)
    def run(steps: list[Step]) -> None:
        asyncio.run(play(STORES[name], steps))

    run()


MEMO: Final = Happens(
    action=Action.MEMO_CREATED, key=KEYS[0], voice="sam", characters=7, tenths=5, test=False, late=timedelta(0)
)
ERROR: Final = Happens(
    action=Action.ERROR_TTS, key=KEYS[1], voice="sam", characters=7, tenths=5, test=False, late=timedelta(0)
)
ALL: Final = Asks(ago=0, days=400, errors=True)


async def lived(owner: Owner, days: int, *, every: timedelta = timedelta(hours=7)) -> None:
    """So many days go by with a memo now and then, and nobody asks."""
    ends_at = owner.clock.at + timedelta(days=days)
    while owner.clock.at < ends_at:
        owner.clock.advance(every)
        await owner.log(ERROR if owner.clock.at.hour == 3 else MEMO)


@pytest.mark.anyio
@pytest.mark.parametrize("lost", [False, True])
async def test_a_crash_at_any_call_leaves_figures_that_are_right(*, lost: bool) -> None:
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
        if not failing.failed:
            break
        calls += 1
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
async def test_a_days_logs_are_left_alone_for_ten_minutes_after_its_end() -> None:
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
    assert days[date(2025, 12, 1)].total.calls == 1  # what comes later than that needs a rebuild


@pytest.mark.anyio
async def test_the_hours_of_a_busy_day_are_summed_and_their_documents_go_with_the_day() -> None:
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
@pytest.mark.parametrize("days", [3, 100, 800])
async def test_an_answer_costs_the_same_after_any_history(days: int) -> None:
    async with store_world() as world:
        store = (await world.container()).store
        await store.verify(TABLES)
        owner = Owner(store, FakeClock(BORN))
        await lived(owner, days)
        today = owner.clock.at.date()
        await owner.history.all_time(owner.id)
        costs = []
        for ask in (
            owner.history.days(owner.id, today - 29 * DAY, today),
            owner.history.all_time(owner.id),
            owner.history.days(owner.id, today - 365 * DAY, today, errors=True),
            owner.history.hours(owner.id, midnight(today - 6 * DAY), midnight(today + DAY), errors=True),
        ):
            with world.recorder.measure() as cost:
                await ask
            costs.append((cost.requests, cost.depth))
        assert [requests <= most for (requests, _), most in zip(costs, (3, 3, 4, 4), strict=True)] == [True] * 4, costs
        assert {depth for _, depth in costs} == {1}


@pytest.mark.anyio
async def test_the_first_answer_of_a_day_costs_a_page_of_each_kind_of_logs_and_a_write_more() -> None:
    async with store_world() as world:
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
