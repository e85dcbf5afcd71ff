"""Reports on an owner's usage: totals, days, weeks and months, shares of voices and errors, and series.

Days are UTC days, weeks are ISO weeks. Each percentage is rounded to one decimal, so they may not add up to 100.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum
from itertools import groupby

from shared.core.clock import DAY, HOUR, Clock, floor, midnight
from shared.speech.voices import VOICES
from shared.usage.counts import Counts, GroupBy, GroupedCounts
from shared.usage.history import History
from shared.usage.rollups import month_name


class Bucket(StrEnum):
    """The length of a series' parts, in whole UTC hours or days."""

    HOUR = "1h"
    DAY = "1d"

    @property
    def length(self) -> timedelta:
        return HOUR if self is Bucket.HOUR else DAY

    @property
    def at_most(self) -> int:
        """The most buckets that a series may have."""
        return 168 if self is Bucket.HOUR else 366

    def floor(self, at: datetime) -> datetime:
        """Return the start of the bucket that contains this moment."""
        return floor(at, self.length)

    def ceiling(self, at: datetime) -> datetime:
        """Return the start of the first bucket that does not begin before this moment."""
        floor = self.floor(at)
        return floor if floor == at else floor + self.length

    def spanning(self, start: datetime, end: datetime) -> int:
        """Return how many buckets cover the time from `start` to `end`, exclusive."""
        return (self.ceiling(end) - self.floor(start)) // self.length


@dataclass(frozen=True, kw_only=True)
class Period:
    """`name` is a day `2026-03-02`, a week `2026-W10` or a month `2026-03`."""

    name: str
    calls: int
    characters: int


@dataclass(frozen=True, kw_only=True)
class Usage:
    """Periods with calls, newest first. `total` is the number of calls in all days."""

    total: int
    daily: Sequence[Period]
    weekly: Sequence[Period]
    monthly: Sequence[Period]


@dataclass(frozen=True, kw_only=True)
class Share:
    """`percentage` is the share of `count` in the total, with one decimal."""

    name: str
    count: int
    percentage: float


@dataclass(frozen=True, kw_only=True)
class Errors:
    """`requests` are calls and errors together; `rate` is the percentage of errors among them."""

    requests: int
    errors: int
    rate: float
    by_type: Sequence[Share]


@dataclass(frozen=True, kw_only=True)
class Summary:
    """`voice` is the id of the most used voice; None: there were no calls."""

    total: Counts
    voice: str | None
    today: int
    this_week: int
    this_month: int

    @property
    def characters_per_call(self) -> int:
        return round(self.total.characters / self.total.calls) if self.total.calls else 0


@dataclass(frozen=True, kw_only=True)
class Slot:
    """One bucket of a series. `groups` are counts by group name; an ungrouped series has one group, named ""."""

    start: datetime
    end: datetime
    groups: Mapping[str, Counts]


class UsageReports:
    """Every report costs a few reads, however long the history. Raises StoreUnavailable."""

    def __init__(self, history: History, clock: Clock) -> None:
        self._history = history
        self._clock = clock

    async def usage(self, user_id: str, first: date, last: date) -> Usage:
        daily_counts = await self._history.days(user_id, first, last)
        days = [(day, counts.total) for day, counts in daily_counts.items()]
        daily = _periods(days, lambda day: day.isoformat())
        return Usage(
            total=sum(period.calls for period in daily),
            daily=daily,
            weekly=_periods(days, week_name),
            monthly=_periods(days, month_name),
        )

    async def voices(self, user_id: str, first: date | None = None, last: date | None = None) -> list[Share]:
        """Return the voices' shares in the days from `first` to `last`, most used first.

        Both are inclusive. None: no bound on that side; both None: of all time.
        """
        if first is None and last is None:
            return _voices((await self._history.all_time(user_id)).total)
        days = await self._history.days(user_id, first or date.min, last or date.max)
        return _voices(GroupedCounts.sum(days.values()))

    async def errors(self, user_id: str, first: date, last: date) -> Errors:
        daily_counts = await self._history.days(user_id, first, last, errors=True)
        whole = GroupedCounts.sum(daily_counts.values())
        errors = {name: counts.errors for name, counts in whole.by(GroupBy.ACTION).items()}
        requests = whole.total.calls + whole.total.errors
        return Errors(
            requests=requests,
            errors=whole.total.errors,
            rate=round(100 * whole.total.errors / requests, 1) if requests else 0.0,
            by_type=shares(errors),
        )

    async def summary(self, user_id: str) -> Summary:
        all_time, today = await self._history.all_time(user_id), self._clock().date()
        monday, first = today - today.weekday() * DAY, today.replace(day=1)
        calls = {day: counts.total.calls for day, counts in all_time.recent.items()}
        return Summary(
            total=all_time.total.total,
            voice=next((share.name for share in _voices(all_time.total)), None),
            today=calls.get(today, 0),
            this_week=sum(count for day, count in calls.items() if day >= monday),
            this_month=sum(count for day, count in calls.items() if day >= first),
        )

    async def last_days(self, user_id: str, count: int) -> list[Period]:
        """Return the last `count` days with today, oldest first. Days without calls are included."""
        today = self._clock().date()
        first = today - (count - 1) * DAY
        counts = await self._history.days(user_id, first, today)
        days = (first + number * DAY for number in range(count))
        return [_period(day.isoformat(), counts.get(day, GroupedCounts()).total) for day in days]

    async def series(
        self, user_id: str, start: datetime, end: datetime, *, bucket: Bucket, group_by: GroupBy | None
    ) -> list[Slot]:
        """Return the buckets that cover `start` to `end`, exclusive. Buckets without activity are included."""
        start, end = bucket.floor(start), bucket.ceiling(end)
        if bucket is Bucket.HOUR:
            counts = await self._history.hours(user_id, start, end, errors=True)
        else:
            last = (end - DAY).date()
            days = await self._history.days(user_id, start.date(), last, errors=True)
            counts = {midnight(day): day_counts for day, day_counts in days.items()}
        starts = [start + number * bucket.length for number in range(bucket.spanning(start, end))]
        return [
            Slot(start=at, end=at + bucket.length, groups=_groups(counts.get(at, GroupedCounts()), group_by))
            for at in starts
        ]


def week_name(day: date) -> str:
    year, week, _ = day.isocalendar()
    return f"{year}-W{week:02d}"


def shares(counts: Mapping[str, int]) -> list[Share]:
    """Return the shares of counts, largest first, equal ones in their order. Zero counts are left out."""
    total = sum(counts.values())
    ordered = sorted(((name, count) for name, count in counts.items() if count), key=lambda row: row[1], reverse=True)
    return [Share(name=name, count=count, percentage=round(100 * count / total, 1)) for name, count in ordered]


def _voices(counts: GroupedCounts) -> list[Share]:
    calls = {name: voice_counts.calls for name, voice_counts in sorted(counts.by(GroupBy.VOICE).items())}
    return shares({name: calls[name] for name in VOICES if name in calls} | calls)


def _periods(days: Sequence[tuple[date, Counts]], name: Callable[[date], str]) -> list[Period]:
    """Add up days, given in order, to the periods that `name` returns. Newest first, without empty periods."""
    periods = []
    for period_name, several in groupby(days, key=lambda day: name(day[0])):
        total = Counts()
        for _, counts in several:
            total = total.plus(counts)
        if total.calls:
            periods.append(_period(period_name, total))
    return periods[::-1]


def _period(name: str, counts: Counts) -> Period:
    return Period(name=name, calls=counts.calls, characters=counts.characters)


def _groups(counts: GroupedCounts, group_by: GroupBy | None) -> Mapping[str, Counts]:
    return {"": counts.total} if group_by is None else dict(sorted(counts.by(group_by).items()))
