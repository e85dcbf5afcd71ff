"""Copying all rows and counters of one store to another, by pages, and comparing the two.

Every step can be repeated: what is there already is left alone, what has changed since is brought up to date, and what
the source no longer has is deleted. While others write to the source, the target lags behind: for the last pass they
must be stopped.
"""

import hashlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass

from shared.clock import Clock, utc_now
from shared.store import AlreadyExists, Counter, Kind, Page, Row, Store, Table
from shared.together import at_once

PAGE = 500


@dataclass(frozen=True, kw_only=True)
class Step:
    """A page that is copied. `after` continues after it; None: it was the last."""

    rows: int
    after: str | None


@dataclass(frozen=True, kw_only=True)
class Content:
    """What a table or the counters hold, whatever order they are read in."""

    count: int = 0
    digest: int = 0

    def plus(self, *parts: object) -> "Content":
        text = json.dumps(parts, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
        number = int.from_bytes(hashlib.sha256(text.encode()).digest())
        return Content(count=self.count + 1, digest=(self.digest + number) % 2**256)


class Copying:
    def __init__(self, source: Store, target: Store, *, clock: Clock = utc_now) -> None:
        self._source = source
        self._target = target
        self._clock = clock

    async def copy(self, table: Table, *, after: str | None = None) -> AsyncIterator[Step]:
        """From `after` on."""
        async for page in _pages(self._source, table, after):
            await at_once(self._write(table, row) for row in page.rows)
            yield Step(rows=len(page.rows), after=page.after)

    async def prune(self, table: Table, *, after: str | None = None) -> AsyncIterator[Step]:
        """Delete what the target has and the source has not, from `after` on."""
        async for page in _pages(self._target, table, after):
            await at_once(self._delete_unless_there(table, row) for row in page.rows)
            yield Step(rows=len(page.rows), after=page.after)

    async def copy_counters(self, *, after: str | None = None) -> AsyncIterator[Step]:
        """Nobody else may count on the target meanwhile."""
        async for page in self._counters(after):
            await at_once(self._set(counter) for counter in page.rows)
            yield Step(rows=len(page.rows), after=page.after)

    async def compare(self, table: Table) -> tuple[Content, Content]:
        """What the source and the target hold."""
        return await _content(self._source, table), await _content(self._target, table)

    async def compare_counters(self) -> tuple[Content, Content]:
        """What the source counts, and what the target has of it. What the target counts beside that has ended."""
        source, target = Content(), Content()
        async for page in self._counters(None):
            for counter in page.rows:
                there = (await self._target.counters(counter.name)).get(counter.name, 0)
                source, target = source.plus(counter.name, counter.value), target.plus(counter.name, there)
        return source, target

    async def _counters(self, after: str | None) -> AsyncIterator[Page[Counter]]:
        """Those that have not ended, and some that have: not every store keeps when."""
        while True:
            page = await self._source.scan_counters(after=after, limit=PAGE)
            now, after = self._clock(), page.after
            yield Page(rows=[each for each in page.rows if each.ends_at is None or each.ends_at > now], after=after)
            if after is None:
                return

    async def _write(self, table: Table, row: Row) -> None:
        match table.kind:
            case Kind.REGISTERS:
                await self._target.put(table, row.key, row.document)
            case Kind.CHANGING:
                await self._target.update(table, row.key, lambda _: row.document)
            case Kind.FACTS:
                await self._write_fact(table, row)

    async def _write_fact(self, table: Table, row: Row) -> None:
        try:
            await self._target.add(table, row.key, row.document)
        except AlreadyExists:
            there = await self._target.get(table, row.key) or {}
            for field, value in row.document.items():  # what has changed of a fact are its extensions
                if field not in there or there[field] != value:
                    await self._target.extend(table, row.key, field, value)

    async def _delete_unless_there(self, table: Table, row: Row) -> None:
        if await self._source.get(table, row.key) is None:
            await self._target.delete(table, row.key)

    async def _set(self, counter: Counter) -> None:
        there = (await self._target.counters(counter.name)).get(counter.name, 0)
        if counter.value != there:
            await self._target.increment(counter.name, counter.value - there, ends_at=counter.ends_at)


async def _pages(store: Store, table: Table, after: str | None) -> AsyncIterator[Page[Row]]:
    while True:
        page = await store.scan(table, after=after, limit=PAGE)
        yield page
        after = page.after
        if after is None:
            return


async def _content(store: Store, table: Table) -> Content:
    content = Content()
    async for page in _pages(store, table, None):
        for row in page.rows:
            content = content.plus(row.key.partition, row.key.sort, row.document)
    return content
