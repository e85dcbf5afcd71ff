"""Concurrent requests around midnights by containers with different clocks: every answer equals a recount."""

import asyncio
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Final

import pytest

from shared.core.clock import DAY, HOUR, midnight, to_the_millisecond
from shared.tables import UsageLogs
from shared.tables.usage_logs import Action
from shared.usage.history import History
from shared.usage.rollups import Rollups
from tests.fakes.usage_world import ERROR, MEMO, Owner, told
from tests.support import FakeClock, racing_store, seeded
from tests.usage.test_history import by_day

pytestmark = pytest.mark.anyio

CHUNKS: Final = 8
SEEDS: Final = 25
"""Seeds in each chunk."""

CONTAINERS: Final = 3
SKEW_S: Final = 200.0


class Race:
    def __init__(self, seed: int) -> None:
        self.random: Random = seeded(seed)
        store, self.now = racing_store(seed), datetime(2025, 11, self.random.choice([20, 30]), 22, 30, tzinfo=UTC)
        self.owner = Owner(store, FakeClock(self.now))
        self.skews = [timedelta(seconds=self.random.uniform(-SKEW_S, SKEW_S)) for _ in range(CONTAINERS)]
        self.clocks = [FakeClock(self.now) for _ in self.skews]
        self.histories = [
            History(logs=UsageLogs(store), rollups=Rollups(store), clock=clock, logs_read=3, hourly_from=3)
            for clock in self.clocks
        ]

    async def run(self) -> None:
        for _ in range(self.random.randint(3, 12)):
            self.now = self._later()
            for _ in range(self.random.choice([0, 1, 2, 6])):
                self.owner.clock.at = to_the_millisecond(self.now + self.random.choice(self.skews))
                await self.owner.log(self.random.choice([MEMO, MEMO, ERROR]))
            for clock, skew in zip(self.clocks, self.skews, strict=True):
                clock.at = to_the_millisecond(self.now + skew)
            await asyncio.gather(*(self._ask() for _ in range(self.random.choice([1, 1, 2, 4]))))

    def _later(self) -> datetime:
        """Return a time shortly later, or near the end of a day or of a month."""
        kind, minutes = self.random.random(), timedelta(minutes=self.random.choice([-3, 0, 2, 9, 10, 11, 13, 70, 600]))
        if kind < 0.3:
            return self.now + timedelta(seconds=self.random.uniform(0, 1500))
        if kind < 0.6:
            return self.now + timedelta(hours=self.random.uniform(1, 30))
        if kind < 0.8:
            return max(self.now, midnight(self.now.date() + self.random.choice([1, 1, 2, 5]) * DAY) + minutes)
        month = (self.now.date().replace(day=1) + self.random.choice([32, 32, 63]) * DAY).replace(day=1)
        return midnight(month) + minutes

    async def _ask(self) -> None:
        number, turns = self.random.randrange(CONTAINERS), self.random.choice([0, 0, 3, 9, 20])
        kind, ago = self.random.choice(["days", "days", "hours", "all"]), self.random.choice([0, 0, 0, 1, 30, 70])
        count = self.random.choice([1, 1, 2, 7, 40])
        for _ in range(turns):
            await asyncio.sleep(0)
        history, now, owner = self.histories[number], self.clocks[number].at, self.owner
        if kind == "all":
            total = (await history.all_time(owner.id, errors=True)).total.total
            made = sum(log.action is Action.MEMO_CREATED for log in owner.written)
            assert (total.calls, total.errors) == (made, len(owner.written) - made)
        elif kind == "days":
            last = now.date() - ago * DAY
            first = last - (count - 1) * DAY
            days = await history.days(owner.id, first, last, errors=True)
            expected = by_day(owner.recount(midnight(first), midnight(last + DAY)))
            assert {day: told(figures) for day, figures in days.items()} == expected
        else:
            end = now.replace(minute=0, second=0, microsecond=0) - ago * DAY + HOUR
            first_hour = end - 4 * count * HOUR
            hours = await history.hours(owner.id, first_hour, end, errors=True)
            assert {hour: told(figures) for hour, figures in hours.items()} == owner.recount(first_hour, end)


@pytest.mark.parametrize("chunk", range(CHUNKS))
@pytest.mark.thorough
async def test_figures_are_a_recount_whoever_asks_when(chunk: int) -> None:
    for seed in range(chunk * SEEDS, (chunk + 1) * SEEDS):
        await Race(seed).run()
