"""Counting summed days again, from their logs, and putting right what does not match.

That is needed when a log came in after its day had been summed: from a container that was frozen for long while it
wrote, or one whose clock was wrong.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from shared.core.clock import DAY, Clock, midnight, month_after, months
from shared.tables import UsageLogs
from shared.usage.aggregate import Summing
from shared.usage.counts import Figures
from shared.usage.periods import Calendar
from shared.usage.recount import Recounting, by_day
from shared.usage.rollups import Day, Month, Rollups, month_name


@dataclass(frozen=True, kw_only=True)
class Checked:
    """One month's outcome. `wrong` are the names of the days and months whose figures did not match."""

    month: str
    days: int
    wrong: Sequence[str]


class Rebuilding:
    """`repair`: write the right figures beside the wrong ones, which then count no more; else only compare."""

    def __init__(self, *, logs: UsageLogs, rollups: Rollups, clock: Clock, repair: bool) -> None:
        self._rollups = rollups
        self._recounting = Recounting(logs)
        self._summing = Summing(recounting=self._recounting, rollups=rollups)
        self._clock = clock
        self._repair = repair

    def months(self, user_id: str, first: date) -> list[str]:
        """The months that `rebuild` yields: totals are carried on, so all from the first on are looked at."""
        calendar = Calendar(user_id=user_id, now=self._clock())
        return [month_name(day) for day in months(max(first, calendar.born), calendar.open - DAY)]

    async def rebuild(self, user_id: str, first: date, last: date) -> AsyncIterator[Checked]:
        """Count the finished days from one to another again, inclusive. Can be interrupted, and begun again."""
        calendar = Calendar(user_id=user_id, now=self._clock())
        await self._summing.catch_up(calendar, None, by_hour=False)
        first, last = max(first, calendar.born), min(last, calendar.open - DAY)
        before = await self._before(user_id, first)
        for month in months(first, calendar.open - DAY):
            end = min(month_after(month) - DAY, calendar.open - DAY)
            stored = {
                each.day: each for each in await self._rollups.days(user_id, month, end + DAY) if each.hour is None
            }
            since, until = max(first, month), min(last, end)
            wrong, days = list[str](), {day: each.hours for day, each in stored.items()}
            if since <= until:
                counted = by_day(await self._recounting.all(user_id, midnight(since), midnight(until + DAY)))
                wrong = await self._check_days(user_id, since, until, stored, counted)
                days = {day: hours for day, hours in days.items() if not since <= day <= until} | counted
            if month < calendar.open_month:
                right = Month(
                    days={day.day: Figures.sum(hours.values()) for day, hours in days.items() if any(hours.values())},
                    before=before,
                )
                wrong += await self._check_month(user_id, month, right)
                before = right.up_to_its_end()
            yield Checked(month=month_name(month), days=max(0, (until - since).days + 1), wrong=wrong)

    async def _before(self, user_id: str, first: date) -> Figures:
        """All that was before the month of this day."""
        last = first.replace(day=1) - DAY
        found = await self._rollups.months(user_id, last, last)
        return Figures.sum(month.up_to_its_end() for month in found.values())

    async def _check_days(
        self,
        user_id: str,
        since: date,
        until: date,
        stored: Mapping[date, Day],
        counted: Mapping[date, Mapping[int, Figures]],
    ) -> list[str]:
        wrong = []
        for day in (since + number * DAY for number in range((until - since).days + 1)):
            there, right = stored.get(day, Day.of(day, {})), Day.of(day, counted.get(day, {}))
            if there.sums != right.sums:
                wrong.append(there.name)
                if self._repair:
                    await self._rollups.correct_day(user_id, right)
        return wrong

    async def _check_month(self, user_id: str, first: date, right: Month) -> list[str]:
        stored = (await self._rollups.months(user_id, first, first)).get(first)
        if stored == right:
            return []
        if self._repair:
            await self._rollups.correct_month(user_id, first, right)
        return [month_name(first)]
