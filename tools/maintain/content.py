"""What a store holds, read by pages and summed up so that two stores can be compared."""

import hashlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Any

from shared.core.clock import Clock
from shared.stores.port import Counter, Page, Row, Store, Table

PAGE = 500


@dataclass(frozen=True, kw_only=True)
class Content:
    """What a table or the counters hold, whatever order they are read in."""

    count: int = 0
    digest: int = 0

    def plus(self, *parts: object) -> "Content":
        number = int.from_bytes(hashlib.sha256(canonical(parts).encode()).digest())
        return Content(count=self.count + 1, digest=(self.digest + number) % 2**256)


def canonical(value: Any) -> str:
    """The same text for the same JSON, whatever order its fields are in. `1`, `1.0` and `true` are not the same."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


async def table_content(store: Store, table: Table) -> AsyncIterator[Content]:
    """As far as it is read, page by page. The last one is of all."""
    content = Content()
    async for page in row_pages(store, table):
        for row in page.rows:
            content = content.plus(row.key.partition, row.key.sort, row.document)
        yield content


async def counters_content(store: Store, clock: Clock) -> AsyncIterator[Content]:
    """Likewise. A counter that is 0 is none."""
    content = Content()
    async for page in counter_pages(store, clock):
        for counter in page.rows:
            if counter.value:
                content = content.plus(counter.name, counter.value)
        yield content


async def row_pages(store: Store, table: Table, after: str | None = None) -> AsyncIterator[Page[Row]]:
    """From `after` on."""
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
    """From `after` on. What has ended counts 0; not every store keeps when."""
    while True:
        page = await store.scan_counters(after=after, limit=PAGE)
        now, after = clock(), page.after
        ended = [each.ends_at is not None and each.ends_at <= now for each in page.rows]
        rows = [replace(each, value=0) if over else each for each, over in zip(page.rows, ended, strict=True)]
        yield Page(rows=rows, after=after)
        if after is None:
            return
