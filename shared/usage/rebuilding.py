"""Compare stored sums with a new count of the logs, and correct those that differ.

Sums are wrong if a log was stored after its day had been summed: because a container was frozen while it wrote, or
because one whose clock was ahead summed a day, an hour or a month that had not ended.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from shared.core.clock import DAY, HOUR, Clock, midnight, month_after, months
from shared.core.concurrency import gather_settled
from shared.tables import UsageLogs
from shared.usage.aggregate import UsageAggregator
from shared.usage.counts import GroupedCounts
from shared.usage.periods import Calendar
from shared.usage.recount import LogCounter, by_day
from shared.usage.rollups import DayRollup, MonthRollup, Rollups, month_name


@dataclass(frozen=True, kw_only=True)
class CheckedMonth:
    """The outcome of one month. `wrong` contains the names of sums that differed: `2026-03-02`, `2026-03-02.09`, …"""

    month: str
    days: int
    wrong: Sequence[str]


class UsageRebuild:
    """Compares an owner's sums with the logs. With `repair`, corrects differing ones. Raises StoreUnavailable."""

    def __init__(self, *, logs: UsageLogs, rollups: Rollups, clock: Clock, repair: bool) -> None:
        self._rollups = rollups
        self._counter = LogCounter(logs)
        self._aggregator = UsageAggregator(counter=self._counter, rollups=rollups)
        self._clock = clock
        self._repair = repair

    def months(self, user_id: str, first: date) -> list[str]:
        """Return the months that `rebuild` yields. A month's totals depend on all months before it, from `first` on."""
        calendar = Calendar(user_id=user_id, now=self._clock())
        return [month_name(day) for day in months(max(first, calendar.born), calendar.open)]

    async def rebuild(self, user_id: str, first: date, last: date) -> AsyncIterator[CheckedMonth]:
        """Check the days from `first` to `last`, inclusive, and all months since `first`. Repeatable."""
        calendar = Calendar(user_id=user_id, now=self._clock())
        first, last = max(first, calendar.born), min(last, calendar.open)
        unfinished = await self._check_unfinished(calendar) if last == calendar.open else []
        await self._aggregator.catch_up(calendar)
        before = await self._before(user_id, first)
        for month in months(first, calendar.open):
            end = min(month_after(month), calendar.open) - DAY
            days, wrong, right = await self._check_finished(calendar, max(first, month), min(last, end), month, before)
            before = right.up_to_its_end()
            if month == calendar.open_month:
                wrong += unfinished
            yield CheckedMonth(month=month_name(month), days=days, wrong=wrong)

    async def _check_finished(
        self, calendar: Calendar, first: date, last: date, month: date, before: GroupedCounts
    ) -> tuple[int, list[str], MonthRollup]:
        """Check a month's days from `first` to `last`, and its own sums.

        Returns the number of days, the names of the sums that differ, and the right sums of the month.
        """
        user_id = calendar.user_id
        end = min(month_after(month), calendar.open)
        rollups, stored_months = await gather_settled(
            self._rollups.days(user_id, month, end), self._rollups.months(user_id, month, month)
        )
        stored = {rollup.day: rollup for rollup in rollups if rollup.hour is None}
        # Days of a finished month may have no document of their own: the month's document contains them.
        of_month = stored_months[month].days if month in stored_months else {}
        whole = {month.replace(day=number): counts for number, counts in of_month.items()}
        wrong, days = list[str](), whole | {day: rollup.whole for day, rollup in stored.items()}
        if first <= last:
            counted = by_day(await self._counter.count(user_id, midnight(first), midnight(last + DAY)))
            wrong = await self._check_days(user_id, first, last, stored, whole, counted)
            days = {day: counts for day, counts in days.items() if not first <= day <= last}
            days |= {day: GroupedCounts.sum(hours.values()) for day, hours in counted.items()}
        right = MonthRollup(days={day.day: counts for day, counts in days.items() if counts}, before=before)
        if month < calendar.open_month:
            wrong += await self._check_month(user_id, month, stored_months.get(month), right)
        return max(0, (last - first).days + 1), wrong, right

    async def _check_unfinished(self, calendar: Calendar) -> list[str]:
        """Check the open day's hours, and delete the sums of times that have not ended.

        A container whose clock is ahead wrote those. No report reads them before their time has ended, but then they
        would lack the logs stored since.
        """
        user_id = calendar.user_id
        rollups = await self._rollups.days(user_id, calendar.open)
        early = [rollup for rollup in rollups if not calendar.has_ended(rollup.end)]
        early_months = list(await self._rollups.months(user_id, calendar.open_month))
        if self._repair:
            # Newest first: a mark must not outlive the sums that it proves.
            for month in reversed(early_months):
                await self._rollups.delete_month(user_id, month)
            for rollup in reversed(early):
                await self._rollups.delete_day(user_id, rollup)
        wrong = await self._check_hours(calendar, [rollup for rollup in rollups if calendar.has_ended(rollup.end)])
        return [*(rollup.name for rollup in early), *map(month_name, early_months), *wrong]

    async def _check_hours(self, calendar: Calendar, stored: Sequence[DayRollup]) -> list[str]:
        """Check the open day's hours, up to the last one that has sums."""
        if not stored:
            return []
        start, until = midnight(calendar.open), stored[-1].end
        counted = await self._counter.count(calendar.user_id, start, until)
        sums = {rollup.start: rollup.sums for rollup in stored}
        wrong = []
        for number in range((until - start) // HOUR):
            at = start + number * HOUR
            right = DayRollup.of(calendar.open, {number: counted.get(at, GroupedCounts())}, hour=number)
            if sums.get(at, DayRollup.of(calendar.open, {}).sums) != right.sums:
                wrong.append(right.name)
                if self._repair:
                    await self._rollups.correct_day(calendar.user_id, right)
        return wrong

    async def _before(self, user_id: str, first: date) -> GroupedCounts:
        """Return the sums of all time before the month of this day."""
        last = first.replace(day=1) - DAY
        stored = await self._rollups.months(user_id, last, last)
        return GroupedCounts.sum(month.up_to_its_end() for month in stored.values())

    async def _check_days(
        self,
        user_id: str,
        first: date,
        last: date,
        stored: Mapping[date, DayRollup],
        whole: Mapping[date, GroupedCounts],
        counted: Mapping[date, Mapping[int, GroupedCounts]],
    ) -> list[str]:
        wrong = []
        for day in (first + number * DAY for number in range((last - first).days + 1)):
            right = DayRollup.of(day, counted.get(day, {}))
            if day in stored or day not in whole:
                is_right = stored.get(day, DayRollup.of(day, {})).sums == right.sums
            else:
                is_right = whole[day] == right.whole
            if not is_right:
                wrong.append(right.name)
                if self._repair:
                    await self._rollups.correct_day(user_id, right)
        return wrong

    async def _check_month(
        self, user_id: str, first: date, stored: MonthRollup | None, right: MonthRollup
    ) -> list[str]:
        if stored == right:
            return []
        if self._repair:
            await self._rollups.correct_month(user_id, first, right)
        return [month_name(first)]
