"""The runner of housekeeping's jobs, and the sweep of counters, on HYPR Micro's stand-in."""

from datetime import timedelta
from functools import partial
from typing import Final

import pytest

from shared.jobs.housekeeping import Housekeeping
from shared.jobs.sweep import CounterSweep
from shared.jobs.worked import CanGoOn, Job, Progress, Worked, always, silent
from shared.memos.requests import Draft
from shared.speech.voices import VOICES
from shared.stores.memory.store import MemoryStore
from shared.stores.port import Counter, Page, Store, StoreUnavailable
from shared.tables.housekeeping import HousekeepingRows
from tests.fakes.micro_store_world import micro_store_world
from tests.support import NOON, CountingStore, FakeClock, Intercepted, services_on, signed_up

pytestmark = pytest.mark.anyio

SAY: Final = Draft(text="Hello there", voice=VOICES["sam"])


class Watch:
    """A monotonic clock that a job advances."""

    def __init__(self) -> None:
        self.at_s = 100.0

    def __call__(self) -> float:
        return self.at_s

    def job(self, *, took_s: float, had_s: list[float], worked: Worked | None = None) -> Job:
        """Return a job that takes `took_s`, and records its remaining seconds in `had_s`."""

        async def work(can_go_on: CanGoOn, _: Progress) -> Worked:
            began = self.at_s
            while can_go_on():
                self.at_s += 0.5
            had_s.append(self.at_s - began)
            self.at_s = began + took_s
            return worked or Worked()

        return work


async def test_run_gives_each_job_its_share_and_what_is_left() -> None:
    """A job with endless work takes a third of the time; the last job gets the time that the others leave."""
    watch, had_s = Watch(), list[float]()
    jobs = {name: watch.job(took_s=took_s, had_s=had_s) for name, took_s in (("a", 4), ("b", 0), ("c", 8))}
    await Housekeeping(jobs, clock=FakeClock(), monotonic=watch).run(run_s=12)
    assert had_s == [4, 4, 8]


async def test_run_names_the_oldest_work_of_all_jobs() -> None:
    watch, clock = Watch(), FakeClock()
    due = [NOON - timedelta(hours=hours) for hours in (1, 30)]
    jobs = {str(at): watch.job(took_s=0, had_s=[], worked=Worked(due_since=at)) for at in due}
    run = await Housekeeping(jobs, clock=clock, monotonic=watch).run()
    assert run.oldest_s == timedelta(hours=30).total_seconds()


async def test_job_that_fails_is_not_done_and_hides_no_age() -> None:
    """The other jobs still run; the age of the oldest work is unknown."""

    async def fails(_: CanGoOn, __: Progress) -> Worked:
        raise StoreUnavailable("down")

    jobs: dict[str, Job] = {"a": fails, "b": Watch().job(took_s=0, had_s=[], worked=Worked(done=2))}
    run = await Housekeeping(jobs, clock=FakeClock(), monotonic=Watch()).run(run_s=0)
    assert run.jobs == {"a": Worked(failed=1, is_done=False), "b": Worked(done=2)}
    assert run.oldest_s is None


async def test_work_due_by_a_clock_ahead_has_no_age() -> None:
    """If the clock of the container that stored the time is ahead, the age is 0 and not negative."""
    run = await Housekeeping({"a": due_in_a_second}, clock=FakeClock()).run()
    assert run.oldest_s == 0


async def due_in_a_second(*_: object) -> Worked:
    return Worked(is_done=False, due_since=NOON + timedelta(seconds=1))


async def swept(store: Store, clock: FakeClock, can_go_on: CanGoOn = always) -> Worked:
    rows = HousekeepingRows(store)
    return await CounterSweep(store, rows, clock=clock).work((await rows.unfinished()).sweep, can_go_on, silent)


@pytest.mark.thorough
async def test_sweep_goes_on_where_it_stopped_and_rests_for_a_day() -> None:
    """2,500 counters of ended days are three pages: a run of one page each time, then nothing for a day."""
    async with micro_store_world() as world:
        store, clock = (await world.container()).store, FakeClock()
        for number in range(2500):
            await store.increment(f"{number:032x}:calls:2026-11-20")
        await store.increment(f"{0:032x}:uses:{1:032x}")
        done = []
        for _ in range(3):
            worked = await swept(store, clock, partial([True, False].pop, 0))
            done.append((worked.done, worked.is_done))
        assert done == [(999, False), (1000, False), (501, True)]
        assert [counter.name for counter in (await store.scan_counters()).rows] == [f"{0:032x}:uses:{1:032x}"]
        await store.increment(f"{0:032x}:calls:2026-11-21")
        clock.advance(timedelta(hours=23))
        assert await swept(store, clock) == Worked()
        clock.advance(timedelta(hours=1))
        assert (await swept(store, clock)).done == 1


async def test_sweep_asks_nothing_where_counters_end_by_themselves() -> None:
    """A store that drops ended counters gets no request."""
    store = CountingStore(MemoryStore())
    rows = HousekeepingRows(MemoryStore())
    assert await CounterSweep(store, rows, clock=FakeClock()).work(None, always, silent) == Worked()
    assert store.calls == {}


async def test_sweep_without_time_notes_nothing() -> None:
    """A run that read no page has not begun the sweep."""
    store = SmallPages(MemoryStore())
    run = await swept(store, FakeClock(), lambda: False)
    assert run == Worked(is_done=False, due_since=NOON)
    assert (await HousekeepingRows(store).unfinished()).sweep is None


class SmallPages(Intercepted):
    """A store that keeps ended counters, two a page."""

    keeps_ended_counters = True

    async def scan_counters(self, *, after: str | None = None, limit: int = 2) -> Page[Counter]:
        return await super().scan_counters(after=after, limit=min(limit, 2))


async def test_sweep_goes_on_past_a_page_without_ended_counters() -> None:
    """A page of which nothing is dropped is not read again, and until the end the sweep is due since it began."""
    store, clock = SmallPages(MemoryStore()), FakeClock()
    names = [f"{number:032x}:uses:{1:032x}" for number in range(4)] + [f"{9:032x}:calls:2026-11-20"]
    for name in names:
        await store.increment(name)
    runs = [await swept(store, clock, partial([True, False].pop, 0)) for _ in range(3)]
    assert [(run.done, run.due_since) for run in runs] == [(0, NOON), (0, NOON), (1, None)]


@pytest.mark.thorough
async def test_sweep_that_never_ends_is_due_since_it_was() -> None:
    """Its age counts from when it was due, not from its last page."""
    async with micro_store_world() as world:
        store, clock = (await world.container()).store, FakeClock()
        for number in range(1001):
            await store.increment(f"{number:032x}:calls:2026-11-20")
        assert (await swept(store, clock, partial([True, False].pop, 0))).due_since == NOON
        clock.advance(timedelta(hours=30))
        assert (await swept(store, clock, lambda: False)).due_since == NOON


async def test_idle_run_costs_three_requests_on_hypr_micro() -> None:
    """One for each list, and none for a sweep that has rested less than a day."""
    async with micro_store_world() as world:
        clock, container = FakeClock(), await world.container()
        services = services_on(container.store, clock)
        for number in range(3):
            person = await signed_up(services, f"person{number}@example.org")
            await services.memos.make(person.api_key.key, SAY)
        clock.advance(timedelta(days=2))
        assert (await services.housekeeping.run()).failed == 0
        with world.recorder.measure() as cost:
            run = await services.housekeeping.run()
        assert (cost.requests, run.done, run.oldest_s) == (3, 0, 0)


async def test_week_of_memos_is_kept_at_a_bounded_cost() -> None:
    """The cost for each owner and past day is that of comparing, summing and recounting, and does not grow."""
    async with micro_store_world() as world:
        clock, container = FakeClock(), await world.container()
        services = services_on(container.store, clock)
        people = [await signed_up(services, f"person{number}@example.org") for number in range(4)]
        await services.housekeeping.run()
        costs = []
        for _ in range(8):
            for person in people:
                await services.memos.make(person.api_key.key, SAY)
            clock.advance(timedelta(days=1))
            with world.recorder.measure() as cost:
                await services.housekeeping.run()
            costs.append(cost.requests)
        assert max(costs[2:]) - min(costs[2:]) <= 30, costs
        assert max(costs[2:]) <= 200, costs
