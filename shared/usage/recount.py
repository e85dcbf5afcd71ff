"""What logs add up to: the truth that all sums are made of."""

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
from shared.usage.counts import Figures, made_by

LOGS_READ: Final = 2000
"""Logs a page: about as many as fit the store's 900 kB."""

Timeline = dict[datetime, Figures]
"""Figures by the first moment of an hour, or of a day. Those without activity are absent."""


class Recounting:
    def __init__(self, logs: UsageLogs, *, logs_read: int = LOGS_READ) -> None:
        self._logs = logs
        self._logs_read = logs_read

    async def all(
        self, user_id: str, since: datetime, until: datetime, *, kinds: Iterable[LogKind] = LogKind
    ) -> Timeline:
        """By the hour, from one moment to another, exclusive."""
        hours: Timeline = {}
        window = Window(limit=self._logs_read, since=since, until=until)
        await gather_settled(*(self._read_all(user_id, kind, window, hours) for kind in kinds))
        return hours

    async def steps(
        self, user_id: str, since: datetime, until: datetime, unit: timedelta
    ) -> AsyncGenerator[tuple[datetime, Timeline], None]:
        """The same in steps of about a page, oldest first: where each ends, and what it adds up to by the hour.

        A step has whole days or hours, as `unit` says. The next is read ahead; close what is not gone through.
        """
        if since >= until:
            return
        reading = asyncio.ensure_future(self._pages(user_id, since, until, unit))
        try:
            while since < until:
                pages = await reading
                since = min(end for _, end in pages)
                if since < until:  # meanwhile the caller writes what this step adds up to
                    reading = asyncio.ensure_future(self._pages(user_id, since, until, unit))
                hours: Timeline = {}
                for rows, _ in pages:
                    record((row for row in rows if row.key.sort < first_id(since)), hours)
                yield since, hours
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)

    async def _pages(
        self, user_id: str, since: datetime, until: datetime, unit: timedelta
    ) -> tuple[tuple[list[Row], datetime], ...]:
        return await gather_settled(*(self._step(user_id, kind, since, until, unit) for kind in LogKind))

    async def _step(
        self, user_id: str, kind: LogKind, since: datetime, until: datetime, unit: timedelta
    ) -> tuple[list[Row], datetime]:
        """The logs of one or more units, and the first moment that they may not tell all of."""
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

    async def _read_all(self, user_id: str, kind: LogKind, window: Window, into: Timeline) -> None:
        more = True
        while more:
            page = await self._logs.rows(user_id, kind, window)
            record(page.rows, into)
            window, more = replace(window, after=page.after), page.after is not None


def record(rows: Iterable[Row], into: Timeline) -> None:
    """Add logs to the hours that they happened in."""
    for row in rows:
        if made_by(row.document) is not None:
            hour = datetime.fromisoformat(f"{row.document['created_at'][:13]}:00+00:00")
            if hour not in into:
                into[hour] = Figures()
            into[hour].record(row.document)


def by_day(hours: Timeline) -> dict[date, dict[int, Figures]]:
    """By day, and then by the hour of the day."""
    days: dict[date, dict[int, Figures]] = {}
    for hour, figures in hours.items():
        if figures:
            days.setdefault(hour.date(), {})[hour.hour] = figures
    return days
