"""Sum the logs of finished days, months and hours into documents.

Two containers that sum at once write equal documents. Logs are counted in steps of about a page, and months are written
as they end, in order. Days have documents in the open month, and in a month that the deadline could interrupt or that
has many logs: first all but the last day of the steps are written, then the last one, with the mark. So no document
claims more than is stored, and a deadline loses a page or two. Days of a finished month that have no document get
theirs when a report by the hour needs them.
"""

import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import date, datetime
from typing import Final

from shared.core.clock import DAY, HOUR, midnight, month_after
from shared.core.concurrency import in_batches
from shared.core.request import time_left_s
from shared.stores.best_effort import best_effort
from shared.usage.counts import GroupedCounts
from shared.usage.periods import Calendar
from shared.usage.recount import LogCounter, Timeline, by_day
from shared.usage.rollups import DayRollup, HourlyCounts, MonthRollup, Rollups

STEPS_UNSAVED: Final = 8
"""Steps of one month that a crash may lose: some 64,000 logs, two seconds of CPU."""

SAVING_S: Final = 2.0
"""Seconds before the deadline from which on each step is written: thirty days take half a second at 0.29 of a core."""


@dataclass(frozen=True, kw_only=True)
class SummedTimeline:
    """The stored sums of days and hours, read together: `timeline` is complete up to `until`, and empty after it.

    It is by the hour, or by the day if hours were not requested. `is_marked`: a day's mark proves `until`, not only the
    reader's `summed_before`. `hour_rollups` are the documents of single hours.
    """

    timeline: Timeline
    until: datetime
    is_marked: bool
    hour_rollups: Sequence[DayRollup] = ()


def read_rollups(
    rollups: Sequence[DayRollup], calendar: Calendar, *, summed_before: date, by_hour: bool
) -> SummedTimeline:
    """Read documents of days and hours, in order. All days before `summed_before` are known to be summed.

    From there on marks decide. The documents 01, 03 (marked), 04.00 and 04.01 (marked) prove that all days up to the
    third are summed, the second without activity, and the fourth day until 02:00. An hour's mark covers its own day:
    04.01 proves nothing if the third day is not proven. A day's mark covers its own month: earlier months have
    documents of their own, which a container may have written after this one read the months.

    A document of a time that has not ended yet comes from a clock that is ahead. It is ignored: its logs are counted.
    """
    days = [rollup for rollup in rollups if rollup.hour is None]
    ended = [rollup for rollup in days if calendar.has_ended(rollup.end)]
    marks = (rollup.day for rollup in ended if rollup.mark and rollup.day < month_after(summed_before))
    last = max([summed_before - DAY, *marks])
    summed = [rollup for rollup in ended if rollup.day <= last]
    hour_rollups = [rollup for rollup in rollups if rollup.hour is not None]
    # The hours of a stored day, marked or not, are deleted one by one: the remaining ones are not complete.
    is_stored = any(rollup.day == last + DAY for rollup in days)
    summed_hours, until = _summed_hours([] if is_stored else hour_rollups, calendar, midnight(last + DAY))
    timeline = _hours_of(summed) if by_hour else {midnight(rollup.day): rollup.whole for rollup in summed}
    timeline |= _hours_of(summed_hours)
    return SummedTimeline(
        timeline={at: counts for at, counts in timeline.items() if counts},
        until=until,
        is_marked=last >= summed_before,
        hour_rollups=hour_rollups,
    )


class UsageAggregator:
    def __init__(self, *, counter: LogCounter, rollups: Rollups) -> None:
        self._counter = counter
        self._rollups = rollups

    async def catch_up(
        self, calendar: Calendar, known: SummedTimeline | None = None
    ) -> tuple[dict[date, MonthRollup], SummedTimeline]:
        """Sum all finished days and months that are not summed yet.

        Returns the months that got documents, and the timeline of the open month after that. Begins where `known` ends
        if its `is_marked` is true; else, or if it is None, reads the stored sums first.
        """
        user_id, month, before = calendar.user_id, calendar.open_month, GroupedCounts()
        if known is None or not known.is_marked:
            newest = await self._rollups.newest_month(user_id)
            # A container whose clock is ahead may have summed the month that is open here.
            month = calendar.born if newest is None else min(month_after(newest[0]), calendar.open_month)
            before = GroupedCounts() if newest is None else newest[1].up_to_its_end()
            rollups = await self._rollups.days(user_id, month)
            known = read_rollups(rollups, calendar, summed_before=month, by_hour=True)
        months = _MonthWriter(self._rollups, user_id, month, before)
        since = known.until
        timeline = await months.write(dict(known.timeline), since.date())
        unsaved = {at: counts for at, counts in timeline.items() if at >= midnight(since.date())}
        steps = self._counter.count_in_steps(user_id, since, midnight(calendar.open), DAY)
        risk = _Risk()
        async with aclosing(steps):
            async for end, fresh in steps:
                first = months.month
                timeline = await months.write(timeline | fresh, end.date())
                unsaved = {at: counts for at, counts in (unsaved | fresh).items() if at >= midnight(months.month)}
                is_due = risk.is_high(is_new_month=months.month > first) or end.date() == calendar.open
                if is_due and months.month < end.date():
                    await self._write_days(user_id, unsaved, last=end.date() - DAY)
                    unsaved, risk = {}, _Risk()
                since = end
        await self._delete_hours(user_id, [rollup for rollup in known.hour_rollups if rollup.day < calendar.open])
        return months.written, SummedTimeline(timeline=timeline, until=since, is_marked=True)

    async def sum_days(self, user_id: str, days: Sequence[date]) -> Timeline:
        """Count the hours of days of finished months, in order; store a document for each."""
        counted = by_day(await self._counter.count(user_id, midnight(days[0]), midnight(days[-1] + DAY)))
        rollups = [DayRollup.of(day, counted.get(day, {})) for day in days]
        await in_batches(self._rollups.add_day(user_id, rollup) for rollup in rollups)
        return _hours_of(rollups)

    async def sum_hours(self, calendar: Calendar, since: datetime) -> tuple[Timeline, datetime]:
        """Sum the finished hours from `since` on. Returns their counts, and the end of the last one."""
        user_id, hours = calendar.user_id, Timeline()
        steps = self._counter.count_in_steps(user_id, since, calendar.open_hour, HOUR)
        async with aclosing(steps):
            async for end, fresh in steps:
                last = end - HOUR
                await in_batches(self._rollups.add_day(user_id, _hour(at, fresh[at])) for at in fresh if at < last)
                await self._rollups.add_day(user_id, _hour(last, fresh.get(last, GroupedCounts()), mark=True))
                hours |= fresh
                since = end
        return hours, since

    async def _write_days(self, user_id: str, hours: Timeline, *, last: date) -> None:
        """Store the days of a step. The last one has the mark, so it is written after all others are stored."""
        days = by_day(hours)
        marked = DayRollup.of(last, days.pop(last, {}), mark=True)
        await in_batches(self._rollups.add_day(user_id, DayRollup.of(day, counts)) for day, counts in days.items())
        await self._rollups.add_day(user_id, marked)

    async def _delete_hours(self, user_id: str, hours: Sequence[DayRollup]) -> None:
        """Delete hours whose day is stored. If that fails, they cost a few bytes, and no report reads them."""
        with best_effort("sums of hours could not be deleted", user_id=user_id):
            await in_batches(self._rollups.delete_day(user_id, hour) for hour in hours)


class _Risk:
    """Decides when the steps of a month are written: before the deadline could lose them, or if they are many."""

    def __init__(self) -> None:
        self._steps = 0
        self._began = time.monotonic()

    def is_high(self, *, is_new_month: bool) -> bool:
        """Count a step that has ended. Returns whether the unsaved steps are to be written now."""
        self._steps = 1 if is_new_month else self._steps + 1
        took_s, self._began = time.monotonic() - self._began, time.monotonic()
        return self._steps >= STEPS_UNSAVED or time_left_s() < SAVING_S + 2 * took_s


class _MonthWriter:
    """Writes the documents of months, in order, each with the sums of all time before it."""

    def __init__(self, rollups: Rollups, user_id: str, month: date, before: GroupedCounts) -> None:
        self.written: dict[date, MonthRollup] = {}
        self.month = month
        self._rollups = rollups
        self._user_id = user_id
        self._before = before

    async def write(self, timeline: Timeline, end: date) -> Timeline:
        """Store the months that end before this day and have no document. Returns the timeline after them."""
        days = by_day(timeline) if month_after(self.month) <= end else {}
        while month_after(self.month) <= end:
            rollup = MonthRollup(days=_days_of_month(days, self.month), before=self._before)
            await self._rollups.add_month(self._user_id, self.month, rollup)
            self.written[self.month] = rollup
            self.month, self._before = month_after(self.month), rollup.up_to_its_end()
        return {at: counts for at, counts in timeline.items() if at >= midnight(self.month)}


def _summed_hours(
    hour_rollups: Iterable[DayRollup], calendar: Calendar, since: datetime
) -> tuple[list[DayRollup], datetime]:
    """Return the hours of the day `since` that its last mark proves, and their end."""
    hours = [rollup for rollup in hour_rollups if rollup.day == since.date() and calendar.has_ended(rollup.end)]
    until = max([since, *(rollup.end for rollup in hours if rollup.mark)])
    return [rollup for rollup in hours if rollup.end <= until], until


def _hours_of(rollups: Iterable[DayRollup]) -> Timeline:
    return {
        midnight(rollup.day) + number * HOUR: counts for rollup in rollups for number, counts in rollup.hours.items()
    }


def _days_of_month(days: Mapping[date, HourlyCounts], month: date) -> dict[int, GroupedCounts]:
    end = month_after(month)
    return {day.day: GroupedCounts.sum(hours.values()) for day, hours in days.items() if month <= day < end}


def _hour(hour: datetime, counts: GroupedCounts, *, mark: bool = False) -> DayRollup:
    return DayRollup.of(hour.date(), {hour.hour: counts}, hour=hour.hour, mark=mark)
