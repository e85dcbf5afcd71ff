"""An owner's figures for any time, at a cost that does not grow with the history.

    months that are over │ days of the open month │ logs since
    usage_months         │ usage_days             │ usage_logs (on a busy day, hours have documents in usage_days too)

What is over is summed once, on first need (`summing`); then each answer reads a range of each of the three at once.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Final

from shared.core.clock import DAY, HOUR, Clock, midnight
from shared.core.concurrency import gather_settled
from shared.core.ids import first_id
from shared.stores.port import Page, Row, StoreUnavailable
from shared.tables import LogKind, UsageLogs, Window
from shared.usage.aggregate import Summed, Summing
from shared.usage.counts import By, Figures
from shared.usage.periods import Calendar
from shared.usage.recount import LOGS_READ, Recounting, Timeline, record
from shared.usage.rollups import Day, Month, Rollups, month_name

HOURLY_FROM: Final = 1000
"""When more logs than this are left to be read, the hours that are over are summed."""

Days = dict[date, Figures]
"""Days without activity are absent."""


@dataclass(frozen=True, kw_only=True)
class AllTime:
    """`total` is by voice and by action; `recent` are the days of this month and of the one before."""

    total: Figures
    recent: Days


@dataclass(frozen=True, kw_only=True)
class _Read:
    """`months` by their first days; `timeline` is by the hour, or by the day of the open month where hours were not
    asked for."""

    months: dict[date, Month]
    timeline: Timeline


class History:
    """Figures tell of errors only if `errors` is asked for: they lie apart. Raises StoreUnavailable."""

    def __init__(
        self,
        *,
        logs: UsageLogs,
        rollups: Rollups,
        clock: Clock,
        logs_read: int = LOGS_READ,
        hourly_from: int = HOURLY_FROM,
    ) -> None:
        self._logs = logs
        self._rollups = rollups
        self._recounting = Recounting(logs, logs_read=logs_read)
        self._summing = Summing(recounting=self._recounting, rollups=rollups)
        self._clock = clock
        self._logs_read = logs_read
        self._hourly_from = hourly_from

    async def days(self, user_id: str, first: date, last: date, *, errors: bool = False) -> Days:
        """Figures of the days from one to another, inclusive, in order."""
        calendar = Calendar(user_id=user_id, now=self._clock())
        last = min(last, calendar.now.date() + DAY)
        read = await self._read(calendar, first, last, errors=errors)
        return {day: figures for day, figures in sorted(_days(read, calendar).items()) if first <= day <= last}

    async def hours(self, user_id: str, first: datetime, end: datetime, *, errors: bool = False) -> Timeline:
        """Figures of the hours from one moment to another, exclusive, in order."""
        calendar, last = Calendar(user_id=user_id, now=self._clock()), (end - HOUR).date()
        read = await self._read(calendar, first.date(), last, errors=errors, by_hour=True)
        return {hour: figures for hour, figures in sorted(read.timeline.items()) if first <= hour < end}

    async def all_time(self, user_id: str, *, errors: bool = False) -> AllTime:
        calendar = Calendar(user_id=user_id, now=self._clock())
        first = (calendar.open_month - DAY).replace(day=1)
        read = await self._read(calendar, first, calendar.now.date(), errors=errors)
        recent = _days(read, calendar)
        before = [month.before for month in read.months.values()]
        total = Figures.sum([*before, *(figures.only(By.VOICE, By.ACTION) for figures in recent.values())])
        return AllTime(total=total, recent=recent)

    async def _read(self, calendar: Calendar, first: date, last: date, *, errors: bool, by_hour: bool = False) -> _Read:
        """All that was from one day to another, inclusive; with `by_hour`, also days of finished months by the hour."""
        first = max(first, calendar.born)
        if first > last:
            return _Read(months={}, timeline={})
        since = max(midnight(calendar.open), midnight(first))
        kinds = [kind for kind in LogKind if errors or kind is LogKind.MEMOS] if last >= calendar.open else []
        (months, known), pages = await gather_settled(
            self._documents(calendar, first, last, by_hour=by_hour), self._newest(calendar.user_id, kinds, since)
        )
        needed = calendar.finished_months(first, last)
        missing = [month for month in needed if month not in months]
        if missing or known.until < midnight(min(calendar.open, last + DAY)):
            made, caught_up = await self._summing.catch_up(calendar, None if missing else known, by_hour=by_hour)
            months |= {first_day: month for first_day, month in made.items() if first_day in needed}
            if not months.keys() >= set(needed):  # another container has summed them meanwhile
                months, known = await self._documents(calendar, first, last, by_hour=by_hour)
            # What both tell of the open month may lie in days here and in hours there.
            before = {at: figures for at, figures in known.timeline.items() if at < midnight(calendar.open_month)}
            known = replace(caught_up, timeline=before | caught_up.timeline)
            if not months.keys() >= set(needed):
                names = [month_name(month) for month in needed if month not in months]
                raise StoreUnavailable(f"sums of the months {names} are missing: rebuild them")
        whole = known.timeline
        if pages:
            whole = whole | await self._since(calendar, max(since, known.until), pages)
        return _Read(months=months, timeline=whole)

    async def _newest(self, user_id: str, kinds: Sequence[LogKind], since: datetime) -> dict[LogKind, Page[Row]]:
        """The newest page of the logs of each kind."""
        window = Window(limit=self._logs_read, since=since)
        pages = await gather_settled(*(self._logs.rows(user_id, kind, window) for kind in kinds))
        return dict(zip(kinds, pages, strict=True))

    async def _documents(
        self, calendar: Calendar, first: date, last: date, *, by_hour: bool
    ) -> tuple[dict[date, Month], Summed]:
        """What the documents tell of the days from one to another. Of months that are over, the months' tell all."""
        since = first if by_hour else max(first, calendar.open_month)
        if by_hour:  # a month is written after its days: who has seen it finds them
            months = await self._month_documents(calendar, first, last)
            days = await self._day_documents(calendar, since, last)
        else:
            months, days = await gather_settled(
                self._month_documents(calendar, first, last), self._day_documents(calendar, since, last)
            )
        settled = max(since, calendar.open_month) if last >= calendar.open_month else last + DAY
        return months, Summed.of(days, settled=settled, by_hour=by_hour)

    async def _month_documents(self, calendar: Calendar, first: date, last: date) -> dict[date, Month]:
        finished = calendar.finished_months(first, last)
        return await self._rollups.months(calendar.user_id, finished[0], finished[-1]) if finished else {}

    async def _day_documents(self, calendar: Calendar, since: date, last: date) -> list[Day]:
        """In the open month all of them: the newest tells how far they are summed."""
        if since > last:
            return []
        return await self._rollups.days(calendar.user_id, since, None if last >= calendar.open_month else last + DAY)

    async def _since(self, calendar: Calendar, since: datetime, pages: dict[LogKind, Page[Row]]) -> Timeline:
        """What the logs tell since a moment. `pages` are the newest of them, and may reach farther back or less far."""
        low = first_id(since)
        read = [row for page in pages.values() for row in page.rows if row.key.sort >= low]
        is_all = all(page.after is None or page.after < low for page in pages.values())
        if is_all and len(read) <= self._hourly_from:
            hours = Timeline()
            record(read, hours)
            return hours
        summed, since = await self._summing.sum_hours(calendar, since)
        return summed | await self._recounting.all(calendar.user_id, since, calendar.now + DAY, kinds=pages)


def _days(read: _Read, calendar: Calendar) -> Days:
    days = {
        first_day.replace(day=number): figures
        for first_day, month in read.months.items()
        for number, figures in month.days.items()
    }
    for at, figures in read.timeline.items():
        if at.date() >= calendar.open_month:
            days.setdefault(at.date(), Figures()).add(figures)
    return days
