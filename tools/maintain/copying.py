"""Copy all rows and counters of one store to another, by pages.

Every step can be repeated: it keeps equal rows, and rewrites rows that have changed since. Deleting rows that the
source no longer has is a separate step. While functions write to the source, the target lags behind: stop them for the
last pass.
"""

from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass

from shared.core.clock import Clock, utc_now
from shared.core.concurrency import in_batches
from shared.stores.port import Counter, Kind, Row, Store, StoreError, StoreUnavailable, Table
from tools.maintain.content import canonical, counter_pages, has_rows, row_pages


class SourceEmpty(Exception):
    """The source has no row of a table of which rows were to be deleted from the target. No row was deleted."""


@dataclass(frozen=True, kw_only=True)
class Step:
    """A copied page. `after` is the cursor after it; None: it was the last."""

    rows: int
    after: str | None


class StoreCopy:
    """Copies one store to another. Meanwhile no other process may write to the target, or rely on it."""

    def __init__(self, source: Store, target: Store, *, clock: Clock = utc_now) -> None:
        self._source = source
        self._target = target
        self._clock = clock

    async def copy(self, table: Table, *, after: str | None = None) -> AsyncIterator[Step]:
        """Copy a table's rows, from `after` on. Raises StoreError, with the row's key, if the target refuses a row."""
        async for page in row_pages(self._source, table, after):
            await in_batches(self._copy_row(table, row) for row in page.rows)
            yield Step(rows=len(page.rows), after=page.after)

    async def prune(self, table: Table, *, after: str | None = None) -> AsyncIterator[Step]:
        """Delete the rows that only the target has, from `after` on. Raises SourceEmpty if the source has no rows."""
        async for page in row_pages(self._target, table, after):
            gone = await self._gone(table, page.rows)
            if gone and not await has_rows(self._source, table):
                raise SourceEmpty(table.name)
            await in_batches(self._target.delete(table, row.key) for row in gone)
            yield Step(rows=len(page.rows), after=page.after)

    async def copy_counters(self, *, after: str | None = None) -> AsyncIterator[Step]:
        async for page in counter_pages(self._source, self._clock, after):
            there = await _values(self._target, page.rows)
            await in_batches(self._set(counter, there.get(counter.name, 0)) for counter in page.rows)
            yield Step(rows=len(page.rows), after=page.after)

    async def prune_counters(self, *, after: str | None = None) -> AsyncIterator[Step]:
        """Set the counters that only the target has to 0. Raises SourceEmpty if the source has no counters."""
        async for page in counter_pages(self._target, self._clock, after):
            counted = [counter for counter in page.rows if counter.value]
            there = await _values(self._source, counted)
            gone = [counter for counter in counted if counter.name not in there]
            if gone and not await self._has_counters():
                raise SourceEmpty("counters")
            await in_batches(self._target.increment(counter.name, -counter.value) for counter in gone)
            yield Step(rows=len(page.rows), after=page.after)

    async def _copy_row(self, table: Table, row: Row) -> None:
        try:
            there = await self._target.get(table, row.key)
            if there is None or canonical(there) != canonical(row.document):
                await self._write(table, row, replaces=there is not None)
        except StoreUnavailable:
            raise
        except StoreError as exc:
            raise StoreError(
                f"the target does not take {table.name} {row.key.partition} {row.key.sort}: {exc}"
            ) from exc

    async def _write(self, table: Table, row: Row, *, replaces: bool) -> None:
        match table.kind:
            case Kind.REGISTERS:
                await self._target.put(table, row.key, row.document)
            case Kind.CHANGING:
                await self._target.update(table, row.key, lambda _: row.document)
            case Kind.FACTS:
                if replaces:
                    await self._target.delete(table, row.key)
                await self._target.add(table, row.key, row.document)

    async def _gone(self, table: Table, rows: Iterable[Row]) -> list[Row]:
        gone: list[Row] = []

        async def look(row: Row) -> None:
            if await self._source.get(table, row.key) is None:
                gone.append(row)

        await in_batches(look(row) for row in rows)
        return gone

    async def _has_counters(self) -> bool:
        async for page in counter_pages(self._source, self._clock):
            if page.rows:
                return True
        return False

    async def _set(self, counter: Counter, there: int) -> None:
        if counter.value != there:
            await self._target.increment(counter.name, counter.value - there, ends_at=counter.ends_at)


async def _values(store: Store, counters: Iterable[Counter]) -> Mapping[str, int]:
    """Return the values of these counters, and of all other counters of the same owners."""
    found: dict[str, int] = {}

    async def read(owner: str) -> None:
        found.update(await store.counters(owner))

    await in_batches(read(owner) for owner in sorted({counter.name.partition(":")[0] for counter in counters}))
    return found
