"""A store that enforces one function's role on any engine, in the terms of DynamoDB's actions."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from deploy.permissions import COUNTERS, PERMITTED
from shared.stores.port import Bound, Change, Document, Key, Kind, Page, Reserved, Row, Store, Table, Updated, month_of
from tests.support import Intercepted


class NotPermitted(Exception):
    """A function used an action that its role lacks."""


class PermittedStore(Intercepted):
    """Raises NotPermitted, before anything is sent, for an action on a table that `function`'s role lacks.

    The actions of a verb are those that `DynamoStore` sends; tests/deploy/test_permissions.py compares the two.
    """

    def __init__(self, store: Store, function: str) -> None:
        super().__init__(store)
        self._function = function

    async def get(self, table: Table, key: Key) -> Document | None:
        self._needs(table.name, "GetItem")
        return await super().get(table, key)

    async def add(self, table: Table, key: Key, document: Document) -> None:
        self._needs(table.name, "PutItem")
        await super().add(table, key, document)

    async def take_back(self, table: Table, key: Key) -> None:
        self._needs(table.name, "DeleteItem")
        await super().take_back(table, key)

    async def extend(self, table: Table, key: Key, field: str, value: Any) -> None:
        self._needs(table.name, "UpdateItem")
        await super().extend(table, key, field, value)

    async def put(self, table: Table, key: Key, document: Document) -> None:
        self._needs(table.name, "PutItem")
        await super().put(table, key, document)

    async def claim(self, table: Table, key: Key, document: Document) -> None:
        self._needs(table.name, "PutItem")
        await super().claim(table, key, document)

    async def update(self, table: Table, key: Key, change: Change) -> Updated:
        def permitted(before: Document | None) -> Document | None:
            after = change(before)
            if after is not None:
                self._needs(table.name, "PutItem")
            elif before is not None:
                self._needs(table.name, "DeleteItem")
            return after

        self._needs(table.name, "GetItem")
        return await super().update(table, key, permitted)

    async def delete(self, table: Table, key: Key) -> None:
        self._needs(table.name, "DeleteItem", *(["GetItem"] if table.kind is Kind.CHANGING else []))
        await super().delete(table, key)

    async def page(
        self,
        table: Table,
        partition: str,
        *,
        after: str | None = None,
        limit: int = 20,
        newest_first: bool = False,
        between: tuple[str, str] | None = None,
    ) -> Page[Row]:
        self._needs(table.name, "Query")
        return await super().page(
            table, partition, after=after, limit=limit, newest_first=newest_first, between=between
        )

    async def increment(self, counter: str, by: int = 1, *, ends_at: datetime | None = None) -> int:
        self._needs(COUNTERS, "UpdateItem")
        return await super().increment(counter, by, ends_at=ends_at)

    async def reserve(self, bounds: Sequence[Bound]) -> Reserved:
        self._needs(COUNTERS, "UpdateItem")
        return await super().reserve(bounds)

    async def counters(self, prefix: str) -> Mapping[str, int]:
        self._needs(COUNTERS, "Query")
        return await super().counters(prefix)

    async def erase(self, table: Table, partition: str) -> bool:
        self._needs(table.name, "Query", "BatchWriteItem")
        return await super().erase(table, partition)

    async def drop(self, counters: Sequence[str]) -> None:
        """Drop counters: those with a month share an item, which is updated; items of all others are deleted."""
        self._needs(COUNTERS, *(["BatchWriteItem"] if any(name == month_of(name) for name in counters) else []))
        self._needs(COUNTERS, *(["UpdateItem"] if any(name != month_of(name) for name in counters) else []))
        await super().drop(counters)

    def _needs(self, table: str, *actions: str) -> None:
        permitted = PERMITTED[self._function].get(table, "").split()
        lacking = [action for action in actions if action not in permitted]
        if lacking:
            raise NotPermitted(f"the role of {self._function} lacks {', '.join(lacking)} on {table}")
