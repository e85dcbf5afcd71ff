"""An owner's figures for any time, at a cost that does not grow with the history.

    months that are over │ days of the open month │ logs since
    usage_months         │ usage_days             │ usage_logs (on a busy day, hours have documents in usage_days too)

What is over is summed once, on first need (`summing`); then each answer reads a range of each of the three at once.
"""

from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any, Final

from shared.clock import Clock, first_id, midnight
from shared.figures import By, Figures
from shared.periods import DAY, HOUR, Calendar
from shared.recounting import LOGS_READ, Parts, Recounting, record
from shared.store import Page, Row, StoreUnavailable
from shared.summing import Summed, Summing
from shared.tables import Part, UsageLogs, Window
from shared.tables.rollups import Month, Rollups
from shared.together import together

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
    """`parts` are hours, or whole days of the open month where hours were not asked for."""

    months: dict[str, Month]
    parts: Parts


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
        calendar = Calendar.of(user_id, self._clock())
        last = min(last, calendar.now.date() + DAY)
        read = await self._read(user_id, calendar, first, last, errors=errors)
        return {day: figures for day, figures in sorted(_days(read, calendar).items()) if first <= day <= last}

    async def hours(self, user_id: str, first: datetime, end: datetime, *, errors: bool = False) -> Parts:
        """Figures of the hours from one moment to another, exclusive, in order."""
        calendar, last = Calendar.of(user_id, self._clock()), (end - HOUR).date()
        read = await self._read(user_id, calendar, first.date(), last, errors=errors, by_hour=True)
        return {hour: figures for hour, figures in sorted(read.parts.items()) if first <= hour < end}

    async def all_time(self, user_id: str, *, errors: bool = False) -> AllTime:
        calendar = Calendar.of(user_id, self._clock())
        first = (calendar.open_month - DAY).replace(day=1)
        read = await self._read(user_id, calendar, first, calendar.now.date(), errors=errors)
        recent = _days(read, calendar)
        before = [month.before for month in read.months.values()]
        total = Figures.sum([*before, *(figures.only(By.VOICE, By.ACTION) for figures in recent.values())])
        return AllTime(total=total, recent=recent)

    async def _read(
        self, user_id: str, calendar: Calendar, first: date, last: date, *, errors: bool, by_hour: bool = False
    ) -> _Read:
        """All that was from one day to another, inclusive; with `by_hour`, also days of finished months by the hour."""
        first = max(first, calendar.born)
        if first > last:
            return _Read(months={}, parts={})
        since = max(midnight(calendar.open), midnight(first))
        parts = [part for part in Part if errors or part is Part.MEMOS] if last >= calendar.open else []
        (months, known), *pages = await together(
            self._documents(user_id, calendar, first, last, by_hour=by_hour),
            *(self._logs.rows(user_id, part, Window(limit=self._logs_read, since=since)) for part in parts),
        )
        needed = calendar.finished_months(first, last)
        missing = [name for name in needed if name not in months]
        if missing or known.until < midnight(min(calendar.open, last + DAY)):
            made, caught_up = await self._summing.catch_up(
                user_id, calendar, None if missing else known, by_hour=by_hour
            )
            months |= {name: month for name, month in made.items() if name in needed}
            if not months.keys() >= set(needed):  # another container has summed them meanwhile
                months, known = await self._documents(user_id, calendar, first, last, by_hour=by_hour)
            # What both tell of the open month may lie in days here and in hours there.
            before = {at: figures for at, figures in known.parts.items() if at < midnight(calendar.open_month)}
            known = replace(caught_up, parts=before | caught_up.parts)
            if not months.keys() >= set(needed):
                raise StoreUnavailable(f"sums of months are missing among {needed}: rebuild them")
        whole = known.parts
        if parts:
            fresh = await self._since(user_id, calendar, max(since, known.until), dict(zip(parts, pages, strict=True)))
            whole = whole | fresh
        return _Read(months=months, parts=whole)

    async def _documents(
        self, user_id: str, calendar: Calendar, first: date, last: date, *, by_hour: bool
    ) -> tuple[dict[str, Month], Summed]:
        """What the documents tell of the days from one to another. Of months that are over, the months' tell all."""
        names = calendar.finished_months(first, last)
        since = first if by_hour else max(first, calendar.open_month)
        reading_months = self._rollups.months(user_id, names[0], names[-1] + "a") if names else _nothing({})
        if by_hour:  # a month is written after its days: who has seen it finds them
            reading_months = _nothing(await reading_months)
        months, days = await together(
            reading_months,
            # The newest document tells how far the days of the open month are summed.
            self._rollups.days(user_id, since, None if last >= calendar.open_month else last + DAY)
            if since <= last
            else _nothing([]),
        )
        settled = max(since, calendar.open_month) if last >= calendar.open_month else last + DAY
        return months, Summed.of(days, settled=settled, by_hour=by_hour)

    async def _since(self, user_id: str, calendar: Calendar, since: datetime, pages: dict[Part, Page[Row]]) -> Parts:
        """What the logs tell since a moment. `pages` are the newest of them, and may reach farther back or less far."""
        low = first_id(since)
        read = [row for page in pages.values() for row in page.rows if row.key.sort >= low]
        is_all = all(page.after is None or page.after < low for page in pages.values())
        if is_all and len(read) <= self._hourly_from:
            hours: Parts = {}
            record(read, hours)
            return hours
        summed, since = await self._summing.sum_hours(user_id, calendar, since)
        return summed | await self._recounting.all(user_id, since, calendar.now + DAY, parts=pages)


def _days(read: _Read, calendar: Calendar) -> Days:
    days = {
        date(int(name[:4]), int(name[5:]), number): figures
        for name, month in read.months.items()
        for number, figures in month.days.items()
    }
    for at, figures in read.parts.items():
        if at.date() >= calendar.open_month:
            days.setdefault(at.date(), Figures()).add(figures)
    return days


async def _nothing(value: Any) -> Any:
    return value
