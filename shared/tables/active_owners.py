"""The owners who made memos, by UTC day: one register each, `2026-03-02 / <owner>` → `{}`.

Maintenance of a day's memos, logs and sums reads this list, and never all users.
"""

from collections.abc import AsyncIterator, Sequence
from datetime import date
from typing import Final

from shared.stores.port import Key, Store
from shared.tables.schema import ACTIVE_OWNERS

OWNERS_READ: Final = 1000
"""Owners a page: the most that a store reads at once."""


class ActiveOwners:
    def __init__(self, store: Store) -> None:
        self._store = store

    async def add(self, day: date, user_id: str) -> None:
        """Put an owner on the list of a day. Repeatable."""
        await self._store.put(ACTIVE_OWNERS, Key(day.isoformat(), user_id), {})

    async def of(self, day: date) -> AsyncIterator[str]:
        """Yield the ids of a day's owners, ascending."""
        after: str | None = None
        while True:
            owners, after = await self.page(day, after=after)
            for user_id in owners:
                yield user_id
            if after is None:
                return

    async def page(self, day: date, *, after: str | None) -> tuple[Sequence[str], str | None]:
        """Return a page of a day's owners, and the next page's `after`. None: there is none."""
        page = await self._store.page(ACTIVE_OWNERS, day.isoformat(), after=after, limit=OWNERS_READ)
        return [row.key.sort for row in page.rows], page.after

    async def erase(self, day: date) -> bool:
        """Erase the list of a day that ended long ago. Returns whether it is erased completely."""
        return await self._store.erase(ACTIVE_OWNERS, day.isoformat())
