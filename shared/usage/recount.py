"""Count the logs themselves. All stored sums come from here, and a rebuild compares them with a new count."""

import asyncio
import gc
from collections.abc import AsyncGenerator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Final

from shared.core.clock import floor
from shared.core.concurrency import gather_settled
from shared.core.ids import minted_at
from shared.stores.port import Row
from shared.tables import LogKind, UsageLogs, Window
from shared.usage.counts import GroupedCounts, counts_of

LOGS_READ: Final = 8000
"""Logs a page. HYPR Micro sends 545 bytes for each: the platform in front of it limits bodies to 5 MB, and the server
an answer to 10,000 documents. A larger number means fewer requests, and more memory: about 3 kB a log."""

Timeline = dict[datetime, GroupedCounts]
"""Counts by the first moment of an hour or of a day; hours and days without activity are absent.

{datetime(2026, 3, 2, 9, tzinfo=UTC): GroupedCounts(…), datetime(2026, 3, 2, 17, tzinfo=UTC): GroupedCounts(…)}
"""


class LogCounter:
    """Counts an owner's logs by the hour. Raises StoreUnavailable."""

    def __init__(self, logs: UsageLogs, *, logs_read: int = LOGS_READ) -> None:
        self._logs = logs
        self._logs_read = logs_read

    async def count(
        self, user_id: str, since: datetime, until: datetime, *, kinds: Iterable[LogKind] = LogKind
    ) -> Timeline:
        """Count the logs from `since` to `until`, exclusive, by the hour."""
        hours: Timeline = {}
        window = Window(limit=self._logs_read, since=since, until=until)
        with collector_at_rest():
            await gather_settled(*(self._count_kind(user_id, kind, window, hours) for kind in kinds))
        return hours

    async def count_in_steps(
        self, user_id: str, since: datetime, until: datetime, unit: timedelta
    ) -> AsyncGenerator[tuple[datetime, Timeline], None]:
        """Count the logs from `since` to `until`, exclusive, in steps, oldest first.

        Yields the end of each step, and its counts by the hour. A step is about a page, in whole units of `unit` (a day
        or an hour), so `until` must begin one. The next page is read while the caller handles a step: close a generator
        that is left early.
        """
        lists = [_LogList(self._logs, user_id, kind, since, until, limit=self._logs_read) for kind in LogKind]
        counted: Timeline = {}
        reading = asyncio.ensure_future(_read_on(lists))
        with collector_at_rest():
            try:
                while since < until:
                    rows = await reading
                    end = min(floor(log_list.read_to, unit) for log_list in lists)
                    if end < until:
                        reading = asyncio.ensure_future(_read_on(lists))
                    add_logs(rows, counted)
                    if end > since:
                        since = end
                        yield end, {hour: counted.pop(hour) for hour in sorted(counted) if hour < end}
            finally:
                reading.cancel()
                await asyncio.gather(reading, return_exceptions=True)

    async def _count_kind(self, user_id: str, kind: LogKind, window: Window, into: Timeline) -> None:
        more = True
        while more:
            page = await self._logs.rows(user_id, kind, window)
            add_logs(page.rows, into)
            window, more = replace(window, after=page.after), page.after is not None


class _LogList:
    """An owner's logs of one kind, oldest first, a page at a time. All logs before `read_to` have been read."""

    def __init__(
        self, logs: UsageLogs, user_id: str, kind: LogKind, since: datetime, until: datetime, *, limit: int
    ) -> None:
        self.read_to = since
        self._logs = logs
        self._user_id = user_id
        self._kind = kind
        self._until = until
        self._window = Window(limit=limit, since=since, until=until)

    async def read_on(self) -> Sequence[Row]:
        page = await self._logs.rows(self._user_id, self._kind, self._window, newest_first=False)
        self._window = replace(self._window, after=page.after)
        self.read_to = self._until if page.after is None else minted_at(page.after)
        return page.rows


async def _read_on(lists: Sequence[_LogList]) -> list[Row]:
    """Read a page of the list that is read least far, or of both. A step ends where the shorter one ends."""
    least = min(log_list.read_to for log_list in lists)
    pages = await gather_settled(*(log_list.read_on() for log_list in lists if log_list.read_to == least))
    return [row for rows in pages for row in rows]


def add_logs(rows: Iterable[Row], into: Timeline) -> None:
    """Add logs to the hours of their times."""
    hours: dict[str, GroupedCounts] = {}
    for row in rows:
        counts = counts_of(row.document)
        if counts is None:
            continue
        name = row.document["created_at"][:13]
        if name not in hours:
            hours[name] = into.setdefault(datetime.fromisoformat(f"{name}:00+00:00"), GroupedCounts())
        hours[name].add_counts(row.document, counts)


@contextmanager
def collector_at_rest() -> Iterator[None]:
    """Pause the garbage collector. Logs have no cycles, and the search for them takes half of the time."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def by_day(hours: Timeline) -> dict[date, dict[int, GroupedCounts]]:
    """Return counts by day, then by the hour of the day."""
    days: dict[date, dict[int, GroupedCounts]] = {}
    for hour, counts in hours.items():
        days.setdefault(hour.date(), {})[hour.hour] = counts
    return days
