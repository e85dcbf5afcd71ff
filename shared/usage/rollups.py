"""What an owner's logs add up to: a document for each finished day, by the hour, and one for each month, by the day.

A day without activity has no document, so one of them is a **mark**: it was written after all before it, and says that
they have been summed. Months all have a document, from the owner's first on, and are written in order. An hour of a
busy day can have a document of its own, until its day has one; hours have marks too, which speak of their own day only.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Final

from shared.stores.port import AlreadyExists, Document, Key, Row, Store, Table
from shared.tables.schema import USAGE_DAYS, USAGE_MONTHS
from shared.usage.counts import By, Figures, packed, unpacked

READ: Final = 1000

_ABOVE: Final = "a"
"""Behind a name, it is above that name and below the next; alone, above every name."""

Hours = Mapping[int, Figures]
"""A day's figures by the hour, 0 to 23."""


@dataclass(frozen=True, kw_only=True)
class Day:
    """A finished day, or with an `hour` a finished hour of it. `sums` are packed: few readers need the hours."""

    day: date
    hour: int | None = None
    sums: Document
    mark: bool = False

    @classmethod
    def of(cls, day: date, hours: Hours, *, hour: int | None = None, mark: bool = False) -> "Day":
        sums = {"whole": packed({0: Figures.sum(hours.values())}), "hours": packed(hours)}
        return cls(day=day, hour=hour, sums=sums, mark=mark)

    @property
    def whole(self) -> Figures:
        return unpacked(self.sums["whole"]).get(0, Figures())

    @property
    def hours(self) -> Hours:
        return unpacked(self.sums["hours"])

    @property
    def name(self) -> str:
        return self.day.isoformat() + ("" if self.hour is None else f".{self.hour:02d}")

    @classmethod
    def read(cls, name: str, document: Document) -> "Day":
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
class Month:
    """`days` by the day of the month, from 1; `before`: all that was before the month, by voice and by action."""

    days: Mapping[int, Figures]
    before: Figures

    def up_to_its_end(self) -> Figures:
        """All that was before the next month."""
        return Figures.sum([self.before, *(figures.only(By.VOICE, By.ACTION) for figures in self.days.values())])

    def document(self) -> Document:
        return {"sums": {"days": packed(self.days), "before": packed({0: self.before})}}

    @classmethod
    def read(cls, document: Document) -> "Month":
        sums = document["sums"]
        return cls(days=unpacked(sums["days"]), before=unpacked(sums["before"]).get(0, Figures()))


def month_name(day: date) -> str:
    return f"{day:%Y-%m}"


class Rollups:
    def __init__(self, store: Store) -> None:
        self._store = store

    async def days(self, user_id: str, since: date, until: date | None = None) -> list[Day]:
        """Documents of days and hours from a day on, up to another, exclusive, in order."""
        rows = await self._range(USAGE_DAYS, user_id, since.isoformat(), until.isoformat() if until else _ABOVE)
        return [Day.read(row.key.sort, row.document) for row in rows]

    async def months(self, user_id: str, first: date, last: date) -> dict[date, Month]:
        """Documents from one month to another, inclusive, in order; by their first days."""
        rows = await self._range(USAGE_MONTHS, user_id, month_name(first), month_name(last) + _ABOVE)
        return {_month(row.key.sort): Month.read(row.document) for row in rows}

    async def newest_month(self, user_id: str) -> tuple[date, Month] | None:
        page = await self._store.page(USAGE_MONTHS, user_id, limit=1, newest_first=True)
        return next(((_month(row.key.sort), Month.read(row.document)) for row in page.rows), None)

    async def add_day(self, user_id: str, day: Day) -> None:
        """Whoever was faster has written the same, but maybe without the mark."""
        key = Key(user_id, day.name)
        if not await self._add(USAGE_DAYS, key, day.document()) and day.mark:
            await self._store.extend(USAGE_DAYS, key, "mark", value=True)

    async def add_month(self, user_id: str, first: date, month: Month) -> None:
        """Whoever was faster has written the same."""
        await self._add(USAGE_MONTHS, Key(user_id, month_name(first)), month.document())

    async def correct_day(self, user_id: str, day: Day) -> None:
        """Facts are not rewritten: the right sums are set beside the wrong ones."""
        key = Key(user_id, day.name)
        if not await self._add(USAGE_DAYS, key, day.document()):
            await self._store.extend(USAGE_DAYS, key, "sums", day.sums)

    async def correct_month(self, user_id: str, first: date, month: Month) -> None:
        key = Key(user_id, month_name(first))
        if not await self._add(USAGE_MONTHS, key, month.document()):
            await self._store.extend(USAGE_MONTHS, key, "sums", month.document()["sums"])

    async def forget(self, user_id: str, hour: Day) -> None:
        """Delete an hour's document, once its day has one."""
        await self._store.delete(USAGE_DAYS, Key(user_id, hour.name))

    async def _range(self, table: Table, user_id: str, since: str, until: str) -> list[Row]:
        found: list[Row] = []
        after: str | None = None
        while True:
            page = await self._store.page(table, user_id, after=after, limit=READ, between=(since, until))
            found += page.rows
            if page.after is None:
                return found
            after = page.after

    async def _add(self, table: Table, key: Key, document: Document) -> bool:
        """Whether it was not there."""
        try:
            await self._store.add(table, key, document)
        except AlreadyExists:
            return False
        return True


def _month(name: str) -> date:
    return date.fromisoformat(f"{name}-01")
