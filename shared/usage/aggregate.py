"""Summing what is over: the days and months of an owner into documents, and the hours of a busy day.

What is summed twice, by two containers at once, is written twice alike. Documents are written in steps of about a page
of logs, so that a deadline loses one step at most, and so that no document promises more than is there: the days of a
step at once, then its last day, which has the mark, then the months that end in it, in order.
"""

from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import date, datetime

from shared.core.clock import DAY, HOUR, midnight, month_after
from shared.core.concurrency import in_batches
from shared.stores.best_effort import best_effort
from shared.usage.counts import Figures
from shared.usage.periods import Calendar
from shared.usage.recount import Recounting, Timeline, by_day
from shared.usage.rollups import Day, Month, Rollups


@dataclass(frozen=True, kw_only=True)
class Summed:
    """`timeline` holds all that happened from where its reader began until `until`; `marked`: a day's mark says so.

    It is by the hour, or by the day where hours were not asked for. `hourly` are the documents of single hours.
    """

    timeline: Timeline
    until: datetime
    marked: bool
    hourly: Sequence[Day] = ()

    @classmethod
    def of(cls, documents: Sequence[Day], *, settled: date, by_hour: bool) -> "Summed":
        """From documents in order. All days before `settled` are known to be summed; from there on, marks tell.

        Of the documents 01, 03 (a mark), 04.00 and 04.01 (a mark), the first two tell of all days up to the third, on
        the second of which nothing happened, and the last two of the fourth day until 02:00.

        An hour's mark speaks of its own day only: whoever asks for nothing but today leaves days before it unsummed.
        """
        days = [each for each in documents if each.hour is None]
        hourly = [each for each in documents if each.hour is not None]
        last = max([settled - DAY, *(each.day for each in days if each.mark)])
        # Once the day has a document, marked or not, its hours are being deleted, one before the other.
        is_whole = any(each.day == last + DAY for each in days)
        of_the_next = [each for each in hourly if each.day == last + DAY and not is_whole]
        until = max([midnight(last + DAY), *(_start(each) + HOUR for each in of_the_next if each.mark)])
        closed = [each for each in days if each.day <= last]
        split = [each for each in of_the_next if _start(each) < until]
        timeline = {} if by_hour else {midnight(each.day): each.whole for each in closed}
        for each in [*closed, *split] if by_hour else split:
            timeline |= {midnight(each.day) + number * HOUR: figures for number, figures in each.hours.items()}
        timeline = {at: figures for at, figures in timeline.items() if figures}
        return cls(timeline=timeline, until=until, marked=last >= settled, hourly=hourly)


class Summing:
    def __init__(self, *, recounting: Recounting, rollups: Rollups) -> None:
        self._recounting = recounting
        self._rollups = rollups

    async def catch_up(
        self, calendar: Calendar, known: Summed | None, *, by_hour: bool
    ) -> tuple[dict[date, Month], Summed]:
        """Sum all that is over and was not summed. Returns the months that got documents, and what is known now.

        `known`, if a day of the open month marks it, tells where to begin; else that is read.
        """
        user_id, month, before = calendar.user_id, calendar.open_month, Figures()
        if known is None or not known.marked:
            newest = await self._rollups.newest_month(user_id)
            # A container whose clock is ahead may have summed the month that is open here.
            month = calendar.born if newest is None else min(month_after(newest[0]), calendar.open_month)
            before = Figures() if newest is None else newest[1].up_to_its_end()
            known = Summed.of(await self._rollups.days(user_id, month), settled=month, by_hour=by_hour)
        timeline, since, made = dict(known.timeline), known.until, dict[date, Month]()

        async def close_months(end: date) -> None:
            """Write the months that end before this day and have no document."""
            nonlocal month, before
            while month_after(month) <= end:
                made[month] = Month(days=_days_of_month(timeline, month), before=before)
                await self._rollups.add_month(user_id, month, made[month])
                month, before = month_after(month), made[month].up_to_its_end()

        await close_months(since.date())
        begun = {at: figures for at, figures in timeline.items() if at >= midnight(since.date())}
        async with aclosing(self._recounting.steps(user_id, since, midnight(calendar.open), DAY)) as steps:
            async for end, fresh in steps:
                timeline |= fresh
                days, begun = by_day(begun | fresh), {}
                last = end.date() - DAY
                marked = Day.of(last, days.pop(last, {}), mark=True)
                await in_batches(self._rollups.add_day(user_id, Day.of(day, hours)) for day, hours in days.items())
                await self._rollups.add_day(user_id, marked)
                await close_months(end.date())
                since = end
        await self._forget(user_id, [each for each in known.hourly if each.day < calendar.open])
        return made, Summed(timeline=timeline, until=since, marked=True)

    async def sum_hours(self, calendar: Calendar, since: datetime) -> tuple[Timeline, datetime]:
        """Sum the hours that are over from `since` on. Returns what they add up to, and where they end."""
        user_id, hours = calendar.user_id, Timeline()
        async with aclosing(self._recounting.steps(user_id, since, calendar.open_hour, HOUR)) as steps:
            async for end, fresh in steps:
                last = end - HOUR
                await in_batches(self._rollups.add_day(user_id, _hour(at, fresh[at])) for at in fresh if at < last)
                await self._rollups.add_day(user_id, _hour(last, fresh.get(last, Figures()), mark=True))
                hours |= fresh
                since = end
        return hours, since

    async def _forget(self, user_id: str, hours: Sequence[Day]) -> None:
        """Their days have documents now. What cannot be deleted costs a few bytes, and no correctness."""
        with best_effort("sums of hours could not be deleted", user_id=user_id):
            await in_batches(self._rollups.forget(user_id, each) for each in hours)


def _days_of_month(timeline: Timeline, month: date) -> dict[int, Figures]:
    days = {day: hours for day, hours in by_day(timeline).items() if month <= day < month_after(month)}
    return {day.day: Figures.sum(hours.values()) for day, hours in days.items()}


def _hour(hour: datetime, figures: Figures, *, mark: bool = False) -> Day:
    return Day.of(hour.date(), {hour.hour: figures}, hour=hour.hour, mark=mark)


def _start(document: Day) -> datetime:
    return midnight(document.day) + (document.hour or 0) * HOUR
