"""Summing what is over: the days and months of an owner into documents, and the hours of a busy day.

A day is summed ten minutes after its end, so that whoever still writes to it can finish. What is summed twice, by two
containers at once, is written twice alike. Documents are written so that a mark never promises more than is there: the
days of a step at once, then its months in order, then the mark.
"""

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from itertools import islice
from typing import Final

from shared.clock import midnight, minted_at
from shared.figures import Figures, made_by
from shared.store import Row, StoreError
from shared.tables import Day, Month, Part, Rollups, UsageLogs, Window, month_name
from shared.together import at_once, together

GRACE: Final = timedelta(minutes=10)
"""A request is answered within seconds: what it records is there by then, unless its container was frozen."""

LOGS_READ: Final = 2000
"""Logs a page: about as many as fit the store's 900 kB."""

MONTHS_A_STEP: Final = 6
"""What was left unsummed for long is summed in steps: a deadline loses one at most."""

DAY: Final = timedelta(days=1)
HOUR: Final = timedelta(hours=1)

Parts = dict[datetime, Figures]
"""Figures by the first moment of an hour, or of a day. Those without activity are absent."""

_log = logging.getLogger("agent_talk.summing")


@dataclass(frozen=True, kw_only=True)
class Calendar:
    """What is over for an owner at one time. `born` is the day of the owner's first possible log.

    Another clock than the one that signed the owner up may have dated it up to ten minutes before.
    """

    now: datetime
    born: date

    @classmethod
    def of(cls, user_id: str, now: datetime) -> "Calendar":
        return cls(now=now, born=(minted_at(user_id) - GRACE).date())

    @property
    def open(self) -> date:
        """The first day that may not be summed yet: today, or for ten minutes yesterday."""
        return (self.now - GRACE).date()

    @property
    def open_month(self) -> date:
        """The first day of its month. All months before are over."""
        return self.open.replace(day=1)

    def finished_months(self, first: date, last: date) -> list[str]:
        """The months with documents among those of two days and all between."""
        return [month_name(day) for day in months(max(first, self.born), min(last, self.open_month - DAY))]


@dataclass(frozen=True, kw_only=True)
class Summed:
    """`parts` hold all that happened from where its reader began until `until`; `marked`: a day's mark says so.

    A part is an hour, or a whole day where hours were not asked for. `hourly` are the documents of single hours.
    """

    parts: Parts
    until: datetime
    marked: bool
    hourly: Sequence[Day] = ()

    @classmethod
    def of(cls, documents: Sequence[Day], *, settled: date, by_hour: bool) -> "Summed":
        """From documents in order. All days before `settled` are known to be summed; behind it, marks tell.

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
        parts = {} if by_hour else {midnight(each.day): each.whole for each in closed}
        for each in [*closed, *split] if by_hour else split:
            parts |= {midnight(each.day) + number * HOUR: figures for number, figures in each.hours.items()}
        parts = {at: figures for at, figures in parts.items() if figures}
        return cls(parts=parts, until=until, marked=last >= settled, hourly=hourly)


class Summing:
    def __init__(self, *, logs: UsageLogs, rollups: Rollups, logs_read: int = LOGS_READ) -> None:
        self._logs = logs
        self._rollups = rollups
        self._logs_read = logs_read

    async def catch_up(
        self, user_id: str, calendar: Calendar, known: Summed | None, *, by_hour: bool
    ) -> tuple[dict[str, Month], Summed]:
        """Sum all that is over and was not summed. Returns the months that got documents, and what is known now.

        `known`, if a day of the open month marks it, tells where to begin; else that is read.
        """
        start, before = calendar.open_month, Figures()
        if known is None or not known.marked:
            newest = await self._rollups.newest_month(user_id)
            # A container whose clock is ahead may have summed the month that is open here.
            start = calendar.born if newest is None else min(_after_month(newest[0]), calendar.open_month)
            before = Figures() if newest is None else newest[1].up_to_its_end()
            known = Summed.of(await self._rollups.days(user_id, start), settled=start, by_hour=by_hour)
        made: dict[str, Month] = {}
        parts, since = dict(known.parts), known.until
        for first, last in _steps(start, calendar.open - DAY):
            if midnight(last + DAY) > since:
                fresh = await self.recount(user_id, since, midnight(last + DAY))
                _add(parts, fresh)
                await self._write_days(user_id, parts, since.date(), last, mark=last >= calendar.open_month)
                since = midnight(last + DAY)
            for day in months(first, min(last, calendar.open_month - DAY)):
                month = Month(days=_days_of_month(parts, day), before=before)
                await self._rollups.add_month(user_id, month_name(day), month)
                made[month_name(day)] = month
                before = month.up_to_its_end()
        await self._forget(user_id, [each for each in known.hourly if each.day < calendar.open])
        return made, Summed(parts=parts, until=since, marked=True)

    async def sum_hours(self, user_id: str, calendar: Calendar, since: datetime, hours: Parts) -> None:
        """Write the hours from `since` on that are over. `hours` has all that happened in them."""
        end = (calendar.now - GRACE).replace(minute=0, second=0, microsecond=0)
        if end <= since:
            return
        over = {hour: figures for hour, figures in hours.items() if since <= hour < end - HOUR}
        await at_once(self._rollups.add_day(user_id, _hour(hour, figures)) for hour, figures in over.items())
        last = end - HOUR
        await self._rollups.add_day(user_id, replace(_hour(last, hours.get(last, Figures())), mark=True))

    async def recount(self, user_id: str, since: datetime, until: datetime) -> Parts:
        """What the logs from one moment to another, exclusive, add up to: the truth that documents are made of."""
        hours: Parts = {}
        await together(*(self._recount(user_id, part, since, until, hours) for part in Part))
        return hours

    async def _recount(self, user_id: str, part: Part, since: datetime, until: datetime, into: Parts) -> None:
        window = Window(limit=self._logs_read, since=since, until=until)
        page = await self._logs.rows(user_id, part, window)
        record(page.rows, into)
        if page.after is None:
            return
        # There is much: the rest, which is older, month by month at once.
        last = minted_at(page.after)
        for_months = [
            replace(window, since=max(since, midnight(day)), until=min(until, midnight(next_month(day))))
            for day in months(since.date(), last.date())
        ]
        for_months[-1] = replace(for_months[-1], after=page.after)
        await at_once(self._read_all(user_id, part, each, into) for each in for_months)

    async def _read_all(self, user_id: str, part: Part, window: Window, into: Parts) -> None:
        more = True
        while more:
            page = await self._logs.rows(user_id, part, window)
            record(page.rows, into)
            window, more = replace(window, after=page.after), page.after is not None

    async def _write_days(self, user_id: str, parts: Parts, first: date, last: date, *, mark: bool) -> None:
        """One document for each active day, and if `mark`, one for the last in any case, when all others are there."""
        days = {day: Day.of(day, hours) for day, hours in by_day(parts).items() if first <= day <= last}
        marked = replace(days.pop(last, Day.of(last, {})), mark=True) if mark else None
        await at_once(self._rollups.add_day(user_id, day) for day in days.values())
        if marked is not None:
            await self._rollups.add_day(user_id, marked)

    async def _forget(self, user_id: str, hours: Sequence[Day]) -> None:
        """Their days have documents now. What cannot be deleted costs a few bytes, and no correctness."""
        try:
            await at_once(self._rollups.forget(user_id, each) for each in hours)
        except StoreError:
            _log.exception("sums of hours could not be deleted", extra={"user_id": user_id})


def record(rows: Iterable[Row], into: Parts) -> None:
    """Add logs to the hours that they happened in."""
    for row in rows:
        if made_by(row.document) is not None:
            hour = datetime.fromisoformat(f"{row.document['created_at'][:13]}:00+00:00")
            if hour not in into:
                into[hour] = Figures()
            into[hour].record(row.document)


def months(first: date, last: date) -> Iterator[date]:
    """The first days of the months from one day's to another's."""
    month = first.replace(day=1)
    while month <= last:
        yield month
        month = next_month(month)


def _steps(first: date, last: date) -> Iterator[tuple[date, date]]:
    """The days from one to another, in steps that end with a month."""
    waiting = months(first, last)
    while some := list(islice(waiting, MONTHS_A_STEP)):
        yield max(first, some[0]), min(last, next_month(some[-1]) - DAY)


def by_day(hours: Parts) -> dict[date, dict[int, Figures]]:
    days: dict[date, dict[int, Figures]] = {}
    for hour, figures in hours.items():
        if figures:
            days.setdefault(hour.date(), {})[hour.hour] = figures
    return days


def _days_of_month(hours: Parts, month: date) -> dict[int, Figures]:
    days = {day: parts for day, parts in by_day(hours).items() if month <= day < next_month(month)}
    return {day.day: Figures.sum(parts.values()) for day, parts in days.items()}


def _add(hours: Parts, more: Parts) -> None:
    for hour, figures in more.items():
        hours.setdefault(hour, Figures()).add(figures)


def _hour(hour: datetime, figures: Figures) -> Day:
    return Day.of(hour.date(), {hour.hour: figures}, hour=hour.hour)


def _start(document: Day) -> datetime:
    return midnight(document.day) + (document.hour or 0) * HOUR


def next_month(month: date) -> date:
    return (month.replace(day=1) + 31 * DAY).replace(day=1)


def _after_month(name: str) -> date:
    return next_month(date(int(name[:4]), int(name[5:]), 1))
