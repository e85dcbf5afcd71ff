"""Counting the logs themselves. All stored sums are made here, and a rebuild compares them with a new count."""

import asyncio
from collections.abc import AsyncGenerator, Iterable
from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Final

from shared.core.clock import floor
from shared.core.concurrency import gather_settled
from shared.core.ids import first_id, minted_at
from shared.stores.port import Row
from shared.tables import LogKind, UsageLogs, Window
from shared.usage.counts import GroupedCounts, counts_of

LOGS_READ: Final = 2000
"""Logs a page: about as many as fit into a page's 900 kB. A larger number would be cut off there."""

Timeline = dict[datetime, GroupedCounts]
"""Counts by the first moment of an hour or of a day; those without activity are absent.

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
        """Count the logs from one moment to another, exclusive, by the hour."""
        hours: Timeline = {}
        window = Window(limit=self._logs_read, since=since, until=until)
        await gather_settled(*(self._count_kind(user_id, kind, window, hours) for kind in kinds))
        return hours

    async def count_in_steps(
        self, user_id: str, since: datetime, until: datetime, unit: timedelta
    ) -> AsyncGenerator[tuple[datetime, Timeline], None]:
        """Count the same in steps of about a page, oldest first.

        Yields the end of each step, and its counts by the hour. A step has whole units of `unit`, a day or an hour. The
        next step's logs are read while the caller handles this one, so close a generator that is left early.
        """
        if since >= until:
            return
        reading = asyncio.ensure_future(self._step(user_id, since, until, unit))
        try:
            while since < until:
                parts = await reading
                since = min(end for _, end in parts)
                if since < until:
                    reading = asyncio.ensure_future(self._step(user_id, since, until, unit))
                hours: Timeline = {}
                for rows, _ in parts:
                    add_logs((row for row in rows if row.key.sort < first_id(since)), hours)
                yield since, hours
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)

    async def _step(
        self, user_id: str, since: datetime, until: datetime, unit: timedelta
    ) -> tuple[tuple[list[Row], datetime], ...]:
        return await gather_settled(*(self._step_of_kind(user_id, kind, since, until, unit) for kind in LogKind))

    async def _step_of_kind(
        self, user_id: str, kind: LogKind, since: datetime, until: datetime, unit: timedelta
    ) -> tuple[list[Row], datetime]:
        """Read the logs of at least one unit. Returns them, and the end of the last unit that was read whole."""
        rows: list[Row] = []
        window = Window(limit=self._logs_read, since=since, until=until)
        while True:
            page = await self._logs.rows(user_id, kind, window, newest_first=False)
            rows += page.rows
            if page.after is None:
                return rows, until
            end = floor(minted_at(page.after), unit)
            if end > since:
                return rows, end
            window = replace(window, after=page.after)

    async def _count_kind(self, user_id: str, kind: LogKind, window: Window, into: Timeline) -> None:
        more = True
        while more:
            page = await self._logs.rows(user_id, kind, window)
            add_logs(page.rows, into)
            window, more = replace(window, after=page.after), page.after is not None


def add_logs(rows: Iterable[Row], into: Timeline) -> None:
    """Count logs in the hours that they happened in."""
    for row in rows:
        if counts_of(row.document) is not None:
            hour = datetime.fromisoformat(f"{row.document['created_at'][:13]}:00+00:00")
            if hour not in into:
                into[hour] = GroupedCounts()
            into[hour].add_log(row.document)


def by_day(hours: Timeline) -> dict[date, dict[int, GroupedCounts]]:
    """Return counts by day, and then by the hour of the day."""
    days: dict[date, dict[int, GroupedCounts]] = {}
    for hour, counts in hours.items():
        if counts:
            days.setdefault(hour.date(), {})[hour.hour] = counts
    return days
