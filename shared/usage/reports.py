"""What an owner's figures say: totals, days, weeks and months, shares of voices and errors, and series.

Days are UTC days, weeks are ISO weeks. Percentages have one decimal and add up to 100.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum
from itertools import groupby

from shared.core.clock import DAY, HOUR, Clock, floor, midnight
from shared.speech.voices import VOICES
from shared.usage.counts import ERRORS, By, Counts, Figures
from shared.usage.history import History
from shared.usage.rollups import month_name


class Bucket(StrEnum):
    HOUR = "1h"
    DAY = "1d"

    @property
    def length(self) -> timedelta:
        return HOUR if self is Bucket.HOUR else DAY

    @property
    def at_most(self) -> int:
        """How many buckets a series may have."""
        return 168 if self is Bucket.HOUR else 366

    def floor(self, at: datetime) -> datetime:
        """Where the bucket begins that contains this moment."""
        return floor(at, self.length)

    def ceiling(self, at: datetime) -> datetime:
        """Where the first bucket begins that does not begin before this moment."""
        floor = self.floor(at)
        return floor if floor == at else floor + self.length

    def spanning(self, start: datetime, end: datetime) -> int:
        """How many buckets contain the time from `start` to `end`, exclusive."""
        return (self.ceiling(end) - self.floor(start)) // self.length


@dataclass(frozen=True, kw_only=True)
class Period:
    """`name` is a day `2026-03-02`, a week `2026-W10` or a month `2026-03`."""

    name: str
    calls: int
    characters: int


@dataclass(frozen=True, kw_only=True)
class Usage:
    """Periods with calls, newest first. `total` is the calls of all."""

    total: int
    daily: Sequence[Period]
    weekly: Sequence[Period]
    monthly: Sequence[Period]


@dataclass(frozen=True, kw_only=True)
class Share:
    """`percentage` of all that were counted."""

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
    """`voice` is the most used one's id; None: there were no calls."""

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
    """One bucket of a series, with its groups; without grouping there is one, named ""."""

    start: datetime
    end: datetime
    groups: Mapping[str, Counts]


class Analytics:
    """Every answer is a few reads, however long the history. Raises StoreUnavailable."""

    def __init__(self, history: History, clock: Clock) -> None:
        self._history = history
        self._clock = clock

    async def usage(self, user_id: str, first: date, last: date) -> Usage:
        days = [(day, each.total) for day, each in (await self._history.days(user_id, first, last)).items()]
        daily = _periods(days, lambda day: day.isoformat())
        return Usage(
            total=sum(period.calls for period in daily),
            daily=daily,
            weekly=_periods(days, week_name),
            monthly=_periods(days, month_name),
        )

    async def voices(self, user_id: str) -> list[Share]:
        """Of all time, the most used first."""
        return _voices((await self._history.all_time(user_id)).total)

    async def errors(self, user_id: str, first: date, last: date) -> Errors:
        whole = Figures.sum((await self._history.days(user_id, first, last, errors=True)).values())
        errors = {name: counts.errors for name, counts in whole.by(By.ACTION).items() if name in ERRORS}
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
        calls = {day: each.total.calls for day, each in all_time.recent.items()}
        return Summary(
            total=all_time.total.total,
            voice=next((share.name for share in _voices(all_time.total)), None),
            today=calls.get(today, 0),
            this_week=sum(count for day, count in calls.items() if day >= monday),
            this_month=sum(count for day, count in calls.items() if day >= first),
        )

    async def last_days(self, user_id: str, count: int) -> list[Period]:
        """A number of days, the last of them today, oldest first. Those without calls are among them."""
        today = self._clock().date()
        first = today - (count - 1) * DAY
        found = await self._history.days(user_id, first, today)
        return [_period(day.isoformat(), found.get(day, Figures()).total) for day in _each(first, today)]

    async def series(
        self, user_id: str, start: datetime, end: datetime, *, bucket: Bucket, group_by: By | None
    ) -> list[Slot]:
        """Buckets that contain the time from `start` to `end`, exclusive. Those without activity are among them."""
        start, end = bucket.floor(start), bucket.ceiling(end)
        if bucket is Bucket.HOUR:
            found = await self._history.hours(user_id, start, end, errors=True)
        else:
            last = (end - DAY).date()
            days = await self._history.days(user_id, start.date(), last, errors=True)
            found = {midnight(day): figures for day, figures in days.items()}
        starts = [start + number * bucket.length for number in range(bucket.spanning(start, end))]
        return [
            Slot(start=at, end=at + bucket.length, groups=_groups(found.get(at, Figures()), group_by)) for at in starts
        ]


def week_name(day: date) -> str:
    year, week, _ = day.isocalendar()
    return f"{year}-W{week:02d}"


def shares(counts: Mapping[str, int]) -> list[Share]:
    """By count, the largest first. Equal ones stay in their order. Percentages have one decimal and add up to 100.

    What rounding down leaves over goes, a tenth each, to those that lost most by it (largest remainders).
    """
    counted = {name: count for name, count in counts.items() if count}
    total = sum(counted.values())
    tenths = {name: divmod(1000 * count, total) for name, count in counted.items()}
    over = 1000 - sum(whole for whole, _ in tenths.values())
    up = set(sorted(tenths, key=lambda name: tenths[name][1], reverse=True)[:over])
    ordered = sorted(counted.items(), key=lambda each: each[1], reverse=True)
    return [Share(name=name, count=count, percentage=(tenths[name][0] + (name in up)) / 10) for name, count in ordered]


def _voices(figures: Figures) -> list[Share]:
    counts = figures.by(By.VOICE)
    known = {name: counts[name].calls for name in VOICES if name in counts}
    return shares(known | {name: each.calls for name, each in sorted(counts.items()) if name not in known})


def _periods(days: Sequence[tuple[date, Counts]], name: Callable[[date], str]) -> list[Period]:
    """Days in order, put together by what they are called; newest first."""
    found = []
    for each, several in groupby(days, key=lambda day: name(day[0])):
        total = Counts()
        for _, counts in several:
            total = total.plus(counts)
        if total.calls:
            found.append(_period(each, total))
    return found[::-1]


def _period(name: str, counts: Counts) -> Period:
    return Period(name=name, calls=counts.calls, characters=counts.characters)


def _groups(figures: Figures, group_by: By | None) -> Mapping[str, Counts]:
    return {"": figures.total} if group_by is None else dict(sorted(figures.by(group_by).items()))


def _each(first: date, last: date) -> list[date]:
    return [first + number * DAY for number in range((last - first).days + 1)]
