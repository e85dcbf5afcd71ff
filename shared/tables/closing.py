"""The accounts that were closed and are being erased: one register each.

`all / <owner>` → `{"since": "2026-03-02T08:00:00.000Z", "emptied_at": null}`. The row is deleted last, a day after
everything else: a store may carry out a write of the owner's long after its sender died.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from shared.core.clock import iso
from shared.stores.port import Key, Store
from shared.tables.schema import CLOSING

READ: Final = 100
"""Accounts of one page: more than one run of housekeeping erases."""


@dataclass(frozen=True, kw_only=True)
class ClosingAccount:
    """`emptied_at` is when only this row was left, and the ring, which admits no keys any more; None: not yet."""

    user_id: str
    since: datetime
    emptied_at: datetime | None = None


class ClosingAccounts:
    def __init__(self, store: Store) -> None:
        self._store = store

    async def put(self, account: ClosingAccount) -> None:
        emptied_at = None if account.emptied_at is None else iso(account.emptied_at)
        document = {"since": iso(account.since), "emptied_at": emptied_at}
        await self._store.put(CLOSING, Key("all", account.user_id), document)

    async def get(self, user_id: str) -> ClosingAccount | None:
        document = await self._store.get(CLOSING, Key("all", user_id))
        return None if document is None else _read(user_id, document["since"], document["emptied_at"])

    async def page(self, after: str | None = None) -> tuple[list[ClosingAccount], str | None]:
        """Return up to READ accounts, oldest owners first, and the next page's `after`. None: there is none."""
        page = await self._store.page(CLOSING, "all", after=after, limit=READ)
        rows = [_read(row.key.sort, row.document["since"], row.document["emptied_at"]) for row in page.rows]
        return rows, page.after

    async def remove(self, user_id: str) -> None:
        await self._store.delete(CLOSING, Key("all", user_id))


def _read(user_id: str, since: str, emptied_at: str | None) -> ClosingAccount:
    return ClosingAccount(
        user_id=user_id,
        since=datetime.fromisoformat(since),
        emptied_at=None if emptied_at is None else datetime.fromisoformat(emptied_at),
    )
