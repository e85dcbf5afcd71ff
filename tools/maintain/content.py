"""Read all rows and counters of a store by pages, and make digests of them, which compare two stores."""

import hashlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from shared.core.clock import Clock
from shared.limits import attempts, windows
from shared.stores.port import Counter, Page, Row, Store, Table

PAGE = 500
"""Rows or counters a page. More would not make a copy faster: each row is still read and written by itself."""


@dataclass(frozen=True, kw_only=True)
class Content:
    """A digest of a table's rows or of the counters, which does not depend on their order."""

    count: int = 0
    digest: int = 0

    def plus(self, *parts: object) -> "Content":
        number = int.from_bytes(hashlib.sha256(canonical(parts).encode()).digest())
        return Content(count=self.count + 1, digest=(self.digest + number) % 2**256)


def canonical(value: Any) -> str:
    """Return the same text for equal JSON, in any order of its fields. `1`, `1.0` and `true` differ."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


async def table_content(store: Store, table: Table) -> AsyncIterator[Content]:
    """Yield after each page the digest of all rows so far. The last one is of the whole table."""
    content = Content()
    async for page in row_pages(store, table):
        for row in page.rows:
            content = content.plus(row.key.partition, row.key.sort, row.document)
        yield content


async def counters_content(store: Store, clock: Clock) -> AsyncIterator[Content]:
    """Yield the same for counters. A counter that is 0 counts as absent."""
    content = Content()
    async for page in counter_pages(store, clock):
        for counter in page.rows:
            if counter.value:
                content = content.plus(counter.name, counter.value)
        yield content


async def row_pages(store: Store, table: Table, after: str | None = None) -> AsyncIterator[Page[Row]]:
    """Yield the pages of a table's rows, from `after` on."""
    while True:
        page = await store.scan(table, after=after, limit=PAGE)
        yield page
        after = page.after
        if after is None:
            return


async def has_rows(store: Store, table: Table) -> bool:
    async for page in row_pages(store, table):
        if page.rows:
            return True
    return False


async def counter_pages(store: Store, clock: Clock, after: str | None = None) -> AsyncIterator[Page[Counter]]:
    """Yield the pages of counters, from `after` on. An ended counter is 0, since only some stores keep it.

    HYPR Micro keeps no ends: they are read from the names. Without its end a copy would stay in DynamoDB for good.
    """
    while True:
        page = await store.scan_counters(after=after, limit=PAGE)
        now, after = clock(), page.after
        yield Page(rows=[_at(counter, now) for counter in page.rows], after=after)
        if after is None:
            return


def _at(counter: Counter, now: datetime) -> Counter:
    ends_at = counter.ends_at or attempts.ends_at(counter.name) or windows.ends_at(counter.name)
    has_ended = ends_at is not None and ends_at <= now
    return replace(counter, value=0 if has_ended else counter.value, ends_at=ends_at)
