"""Stored sums of an owner's logs: one document for each finished day, and one for each finished month.

A day without activity has no document. So the last day of each batch always gets one, written after all others, with a
**mark**: every day up to it has been summed. Every month has a document, from the owner's first on, and months are
written in order. On a busy day each finished hour has a document of its own, until the day has one; a marked hour
proves that every hour of its own day up to it has been summed.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Final

from shared.core.clock import DAY, HOUR, midnight
from shared.stores.port import AlreadyExists, Document, Key, Row, Store, Table
from shared.tables.schema import USAGE_DAYS, USAGE_MONTHS
from shared.usage.counts import GroupBy, GroupedCounts, packed, unpacked

READ: Final = 1000
"""Documents a page: far more than fit into its 900 kB."""

_ABOVE: Final = "a"
"""Appended to a name, it sorts above that name and below the next; alone, above every name."""

HourlyCounts = Mapping[int, GroupedCounts]
"""A day's counts by the hour, 0 to 23."""


@dataclass(frozen=True, kw_only=True)
class DayRollup:
    """The sums of a finished day, or with an `hour` of one finished hour. They stay packed: few readers need the hours.

    Stored under the owner and `2026-03-02`, or `2026-03-02.09`, as

        {"sums": {"whole": {"groups": […], "parts": [[0, …]]}, "hours": {"groups": […], "parts": [[9, …], [17, …]]}},
         "mark": false}

    with `whole` and `hours` as `packed` returns them.
    """

    day: date
    hour: int | None = None
    sums: Document
    mark: bool = False

    @classmethod
    def of(cls, day: date, hours: HourlyCounts, *, hour: int | None = None, mark: bool = False) -> "DayRollup":
        sums = {"whole": packed({0: GroupedCounts.sum(hours.values())}), "hours": packed(hours)}
        return cls(day=day, hour=hour, sums=sums, mark=mark)

    @property
    def whole(self) -> GroupedCounts:
        return unpacked(self.sums["whole"]).get(0, GroupedCounts())

    @property
    def hours(self) -> HourlyCounts:
        return unpacked(self.sums["hours"])

    @property
    def start(self) -> datetime:
        return midnight(self.day) + (self.hour or 0) * HOUR

    @property
    def end(self) -> datetime:
        """The first moment after the day or the hour."""
        return self.start + (DAY if self.hour is None else HOUR)

    @property
    def name(self) -> str:
        return self.day.isoformat() + ("" if self.hour is None else f".{self.hour:02d}")

    @classmethod
    def read(cls, name: str, document: Document) -> "DayRollup":
        day, _, hour = name.partition(".")
        return cls(
            day=date.fromisoformat(day),
            hour=int(hour) if hour else None,
            sums=document["sums"],
            mark=document["mark"],
        )

    def document(self) -> Document:
        return {"sums": self.sums, "mark": self.mark}


@dataclass(frozen=True, kw_only=True)
class MonthRollup:
    """The sums of a finished month. `days` by the day of the month, from 1; `before`: all time before the month.

    Stored under the owner and `2026-03` as

        {"sums": {"days": {"groups": […], "parts": [[2, …], [31, …]]}, "before": {"groups": […], "parts": [[0, …]]}}}

    `before` is by voice and by action only: an owner may have had thousands of keys.
    """

    days: Mapping[int, GroupedCounts]
    before: GroupedCounts

    def up_to_its_end(self) -> GroupedCounts:
        """Return the `before` of the next month."""
        days = (counts.only(GroupBy.VOICE, GroupBy.ACTION) for counts in self.days.values())
        return GroupedCounts.sum([self.before, *days])

    def document(self) -> Document:
        return {"sums": {"days": packed(self.days), "before": packed({0: self.before})}}

    @classmethod
    def read(cls, document: Document) -> "MonthRollup":
        sums = document["sums"]
        return cls(days=unpacked(sums["days"]), before=unpacked(sums["before"]).get(0, GroupedCounts()))


def month_name(day: date) -> str:
    return f"{day:%Y-%m}"


class Rollups:
    def __init__(self, store: Store) -> None:
        self._store = store

    async def days(self, user_id: str, since: date, until: date | None = None) -> list[DayRollup]:
        """Return the sums of days and hours from `since` to `until`, exclusive. None: to the newest."""
        rows = await self._range(USAGE_DAYS, user_id, since.isoformat(), until.isoformat() if until else _ABOVE)
        return [DayRollup.read(row.key.sort, row.document) for row in rows]

    async def months(self, user_id: str, first: date, last: date | None = None) -> dict[date, MonthRollup]:
        """Return the sums of months, inclusive, in order, by their first days. `last` None: to the newest."""
        until = month_name(last) + _ABOVE if last else _ABOVE
        rows = await self._range(USAGE_MONTHS, user_id, month_name(first), until)
        return {_month(row.key.sort): MonthRollup.read(row.document) for row in rows}

    async def newest_month(self, user_id: str) -> tuple[date, MonthRollup] | None:
        page = await self._store.page(USAGE_MONTHS, user_id, limit=1, newest_first=True)
        return next(((_month(row.key.sort), MonthRollup.read(row.document)) for row in page.rows), None)

    async def add_day(self, user_id: str, rollup: DayRollup) -> None:
        """Store the sums of a day or an hour.

        If another container wrote this day first, its sums are equal, but it may lack the mark: add the mark.
        """
        key = Key(user_id, rollup.name)
        if not await self._add(USAGE_DAYS, key, rollup.document()) and rollup.mark:
            await self._store.extend(USAGE_DAYS, key, "mark", value=True)

    async def add_month(self, user_id: str, first: date, rollup: MonthRollup) -> None:
        """Store the sums of a month. If another container wrote it first, its sums are equal."""
        await self._add(USAGE_MONTHS, Key(user_id, month_name(first)), rollup.document())

    async def correct_day(self, user_id: str, rollup: DayRollup) -> None:
        """Store the right sums over wrong ones, as an extension: facts are not rewritten."""
        key = Key(user_id, rollup.name)
        if not await self._add(USAGE_DAYS, key, rollup.document()):
            await self._store.extend(USAGE_DAYS, key, "sums", rollup.sums)

    async def correct_month(self, user_id: str, first: date, rollup: MonthRollup) -> None:
        """Store the right sums over wrong ones, as an extension too."""
        key = Key(user_id, month_name(first))
        if not await self._add(USAGE_MONTHS, key, rollup.document()):
            await self._store.extend(USAGE_MONTHS, key, "sums", rollup.document()["sums"])

    async def delete_day(self, user_id: str, rollup: DayRollup) -> None:
        await self._store.delete(USAGE_DAYS, Key(user_id, rollup.name))

    async def delete_month(self, user_id: str, first: date) -> None:
        await self._store.delete(USAGE_MONTHS, Key(user_id, month_name(first)))

    async def _range(self, table: Table, user_id: str, since: str, until: str) -> list[Row]:
        rows: list[Row] = []
        after: str | None = None
        while True:
            page = await self._store.page(table, user_id, after=after, limit=READ, between=(since, until))
            rows += page.rows
            if page.after is None:
                return rows
            after = page.after

    async def _add(self, table: Table, key: Key, document: Document) -> bool:
        """Store a document; False: there is one already."""
        try:
            await self._store.add(table, key, document)
        except AlreadyExists:
            return False
        return True


def _month(name: str) -> date:
    return date.fromisoformat(f"{name}-01")
