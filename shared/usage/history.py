"""An owner's usage counts for any time span, at a cost that does not grow with the history.

    finished months │ days of the open month │ logs since then
    usage_months    │ usage_days             │ usage_logs (on a busy day, finished hours have documents in usage_days)

A finished day or month is summed once, by housekeeping or when an answer first needs it (`aggregate`). After that an
answer reads one range of each of the three, in parallel. An answer by the hour also reads the documents of days in
finished months, and writes the missing ones: a month's document names the days that had activity.
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
from shared.usage.aggregate import SummedTimeline, UsageAggregator, read_rollups
from shared.usage.counts import GroupBy, GroupedCounts
from shared.usage.periods import Calendar
from shared.usage.recount import LOGS_READ, LogCounter, Timeline, add_logs
from shared.usage.rollups import DayRollup, MonthRollup, Rollups, month_name

HOURLY_FROM: Final = 1000
"""Logs since the last sum above which the finished hours are summed. A larger number makes every answer of a busy day
read more logs, some 400 bytes each; a smaller one writes documents of hours for more owners."""

DailyCounts = dict[date, GroupedCounts]
"""Days without activity are absent."""

Months = dict[date, MonthRollup]
"""Months' documents, by their first days."""


@dataclass(frozen=True, kw_only=True)
class AllTime:
    """`total` is by voice and by action; `recent` are the days of this month and of the one before."""

    total: GroupedCounts
    recent: DailyCounts


@dataclass(frozen=True, kw_only=True)
class _Span:
    """The days that an answer covers, inclusive. `by_hour`: the hours of days in finished months are needed too."""

    calendar: Calendar
    first: date
    last: date
    by_hour: bool

    @property
    def is_empty(self) -> bool:
        return self.first > self.last

    @property
    def has_open_month(self) -> bool:
        return self.last >= self.calendar.open_month

    @property
    def months(self) -> list[date]:
        """The first days of the span's finished months. Each has a document once it is summed."""
        return self.calendar.finished_months(self.first, self.last)

    @property
    def first_single_day(self) -> date:
        """The first day whose own document is needed. The documents of months contain the days before it."""
        return self.first if self.by_hour else max(self.first, self.calendar.open_month)

    @property
    def logs_since(self) -> datetime:
        """The first moment that no document can cover."""
        return midnight(max(self.calendar.open, self.first))

    @property
    def summed_until(self) -> datetime:
        """The moment up to which documents must exist."""
        return midnight(min(self.calendar.open, self.last + DAY))

    def missing(self, months: Months) -> list[date]:
        return [month for month in self.months if month not in months]

    def days_without_hours(self, months: Months, timeline: Timeline) -> list[date]:
        """Return the days whose hours are needed and missing, of finished months, in order."""
        if not self.by_hour:
            return []
        active = (month.replace(day=number) for month in self.months for number in sorted(months[month].days))
        there = {at.date() for at in timeline}
        return [day for day in active if self.first <= day <= self.last and day not in there]


@dataclass(frozen=True, kw_only=True)
class _Read:
    """The counts for one answer. `timeline` is by the hour; without `by_hour`, by the day where days have documents."""

    months: Months
    timeline: Timeline


class History:
    """An owner's counts. They include errors only with `errors`, whose logs cost a read. Raises StoreUnavailable."""

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
        self._counter = LogCounter(logs, logs_read=logs_read)
        self._aggregator = UsageAggregator(counter=self._counter, rollups=rollups)
        self._clock = clock
        self._hourly_from = hourly_from

    async def days(self, user_id: str, first: date, last: date, *, errors: bool = False) -> DailyCounts:
        """Return the counts of the days from `first` to `last`, inclusive, in order."""
        calendar = Calendar(user_id=user_id, now=self._clock())
        last = min(last, calendar.now.date() + DAY)
        read = await self._read(calendar, first, last, errors=errors)
        return {day: counts for day, counts in sorted(_days(read).items()) if first <= day <= last}

    async def hours(self, user_id: str, first: datetime, end: datetime, *, errors: bool = False) -> Timeline:
        """Return the counts of the hours from `first` to `end`, exclusive, in order."""
        calendar, last = Calendar(user_id=user_id, now=self._clock()), (end - HOUR).date()
        read = await self._read(calendar, first.date(), last, errors=errors, by_hour=True)
        return {hour: counts for hour, counts in sorted(read.timeline.items()) if first <= hour < end}

    async def all_time(self, user_id: str, *, errors: bool = False) -> AllTime:
        calendar = Calendar(user_id=user_id, now=self._clock())
        first = (calendar.open_month - DAY).replace(day=1)
        read = await self._read(calendar, first, calendar.now.date(), errors=errors)
        recent = _days(read)
        before = [month.before for month in read.months.values()]
        days = (counts.only(GroupBy.VOICE, GroupBy.ACTION) for counts in recent.values())
        return AllTime(total=GroupedCounts.sum([*before, *days]), recent=recent)

    async def _read(self, calendar: Calendar, first: date, last: date, *, errors: bool, by_hour: bool = False) -> _Read:
        """Read the documents and logs of the days from `first` to `last`, inclusive. Missing sums are made first."""
        span = _Span(calendar=calendar, first=max(first, calendar.born), last=last, by_hour=by_hour)
        if span.is_empty:
            return _Read(months={}, timeline={})
        kinds = _kinds(errors=errors) if last >= calendar.open else []
        (months, summed), pages = await gather_settled(self._documents(span), self._newest_logs(span, kinds))
        if span.missing(months) or summed.until < span.summed_until:
            months, summed = await self._catch_up(span, months, summed)
        timeline = summed.timeline
        if unsummed := span.days_without_hours(months, timeline):
            timeline = timeline | await self._aggregator.sum_days(user_id=calendar.user_id, days=unsummed)
        if pages:
            timeline = timeline | await self._logs_since(calendar, max(span.logs_since, summed.until), pages)
        return _Read(months=months, timeline=timeline)

    async def _catch_up(self, span: _Span, months: Months, summed: SummedTimeline) -> tuple[Months, SummedTimeline]:
        """Sum all that has ended, and return the documents of the span. `months` and `summed` are those read before."""
        known = None if span.missing(months) else summed
        made, caught_up = await self._aggregator.catch_up(span.calendar, known)
        months = months | {month: rollup for month, rollup in made.items() if month in span.months}
        if span.missing(months):  # another container has summed them since the first read
            months, summed = await self._documents(span)
        if missing := span.missing(months):
            names = [month_name(month) for month in missing]
            raise StoreUnavailable(f"sums of the months {names} are missing: run maintain rebuild-usage")
        # One container may have read a day of the open month by the hour and another by the day: keep one of them.
        open_month = midnight(span.calendar.open_month)
        before = {at: counts for at, counts in summed.timeline.items() if at < open_month}
        return months, replace(caught_up, timeline=before | caught_up.timeline)

    async def _newest_logs(self, span: _Span, kinds: Sequence[LogKind]) -> dict[LogKind, Page[Row]]:
        """Read the newest page of the logs of each kind."""
        window = Window(limit=self._hourly_from, since=span.logs_since)
        user_id = span.calendar.user_id
        pages = await gather_settled(*(self._logs.rows(user_id, kind, window) for kind in kinds))
        return dict(zip(kinds, pages, strict=True))

    async def _documents(self, span: _Span) -> tuple[Months, SummedTimeline]:
        """Read the documents of the span: those of finished months, and of single days."""
        months, days = await gather_settled(self._month_rollups(span), self._day_rollups(span))
        calendar, since = span.calendar, span.first_single_day
        summed_before = max(since, calendar.open_month) if span.has_open_month else span.last + DAY
        return months, read_rollups(days, calendar, summed_before=summed_before, by_hour=span.by_hour)

    async def _month_rollups(self, span: _Span) -> Months:
        months = span.months
        return await self._rollups.months(span.calendar.user_id, months[0], months[-1]) if months else {}

    async def _day_rollups(self, span: _Span) -> list[DayRollup]:
        """Read the span's days. With the open month: up to its newest, whose mark proves how far it is summed."""
        since, last = span.first_single_day, span.last
        if since > last:
            return []
        return await self._rollups.days(span.calendar.user_id, since, None if span.has_open_month else last + DAY)

    async def _logs_since(self, calendar: Calendar, since: datetime, pages: dict[LogKind, Page[Row]]) -> Timeline:
        """Count the logs since a moment. `pages` are the newest logs, and may end before or after that moment."""
        low = first_id(since)
        rows = [row for page in pages.values() for row in page.rows if row.key.sort >= low]
        is_all = all(page.after is None or page.after < low for page in pages.values())
        if is_all and len(rows) <= self._hourly_from:
            hours = Timeline()
            add_logs(rows, hours)
            return hours
        summed, since = await self._aggregator.sum_hours(calendar, since)
        return summed | await self._counter.count(calendar.user_id, since, calendar.now + DAY, kinds=pages)


def _kinds(*, errors: bool) -> list[LogKind]:
    return list(LogKind) if errors else [LogKind.MEMOS]


def _days(read: _Read) -> DailyCounts:
    """Return the counts by day. They were not read by the hour, so the timeline covers the open month alone."""
    days = {
        first_day.replace(day=number): counts
        for first_day, month in read.months.items()
        for number, counts in month.days.items()
    }
    for at, counts in read.timeline.items():
        days.setdefault(at.date(), GroupedCounts()).add(counts)
    return days
