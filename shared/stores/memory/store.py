"""The in-memory store: for laptops, tests and local invocations. With a file, successive processes share its rows.

Rows are kept as serialised JSON, so no caller can reach into another's row, in one sorted map a table, so a page costs
O(log n + page). Every verb yields to the event loop before it acts: callers race here as they would over a network.
"""

import asyncio
import json
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime
from itertools import islice
from math import inf
from typing import Any, Protocol

from sortedcontainers import SortedDict

from shared.core.clock import Clock, iso, utc_now
from shared.stores.port import (
    PAGE_BYTES,
    AlreadyExists,
    Bound,
    Change,
    Counter,
    Document,
    InvalidKey,
    Key,
    Kind,
    Page,
    Reserved,
    Row,
    Table,
    check_bounds,
    check_counter,
    check_field,
    check_page,
    check_step,
    serialised,
)

Pause = Callable[[], Awaitable[None]]


class Rows:
    """All that the store holds: documents by table and key, counters by name."""

    def __init__(self) -> None:
        self.tables: defaultdict[str, SortedDict[tuple[str, str], str]] = defaultdict(SortedDict)
        self.counters: SortedDict[str, tuple[int, str | None]] = SortedDict()

    def table(self, table: Table) -> "SortedDict[tuple[str, str], str]":
        return self.tables[table.name]


class RowSession(Protocol):
    """Exclusive use of the rows. No await may stand in it."""

    def __call__(self, *, writes: bool = False) -> AbstractContextManager[Rows]:
        """With `writes`, what is changed inside is kept, unless it raises."""


class MemoryStore:
    """Keeps every promise of the port within a process; with `memory_file.shared_rows`, among a machine's processes.

    `pause` is awaited in every verb before it acts; tests seed their schedules through it.
    """

    reserves_at_once = True

    def __init__(
        self, *, rows: RowSession | None = None, pause: Pause = lambda: asyncio.sleep(0), clock: Clock = utc_now
    ) -> None:
        self._rows = rows or _in_process()
        self._pause = pause
        self._clock = clock

    async def get(self, table: Table, key: Key) -> Document | None:
        await self._pause()
        with self._rows() as rows:
            text = rows.table(table).get(_place(key))
        return None if text is None else json.loads(text)

    async def add(self, table: Table, key: Key, document: Document) -> None:
        table.check(Kind.FACTS, Kind.CHANGING)
        await self._create(table, key, document)

    async def claim(self, table: Table, key: Key, document: Document) -> None:
        table.check(Kind.CHANGING)
        await self._create(table, key, document)

    async def extend(self, table: Table, key: Key, field: str, value: Any) -> None:
        table.check(Kind.FACTS, Kind.CHANGING)
        check_field(field)
        serialised(value)
        await self._pause()
        with self._rows(writes=True) as rows:
            text = rows.table(table).get(_place(key))
            if text is not None:
                rows.table(table)[_place(key)] = serialised({**json.loads(text), field: value})

    async def put(self, table: Table, key: Key, document: Document) -> None:
        table.check(Kind.REGISTERS)
        text = serialised(document)
        await self._pause()
        with self._rows(writes=True) as rows:
            rows.table(table)[_place(key)] = text

    async def update(self, table: Table, key: Key, change: Change) -> Document | None:
        table.check(Kind.CHANGING)
        while True:
            await self._pause()
            with self._rows() as rows:
                before = rows.table(table).get(_place(key))
            changed = change(None if before is None else json.loads(before))
            after = None if changed is None else serialised(changed)
            await self._pause()
            with self._rows(writes=True) as rows:
                if rows.table(table).get(_place(key)) != before:
                    continue  # another writer came first: begin again from what it left
                if after is None:
                    rows.table(table).pop(_place(key), None)
                elif after != before:
                    rows.table(table)[_place(key)] = after
            return None if after is None else json.loads(after)

    async def take_back(self, table: Table, key: Key) -> None:
        table.check(Kind.FACTS, Kind.CHANGING)
        await self.delete(table, key)

    async def delete(self, table: Table, key: Key) -> None:
        await self._pause()
        with self._rows(writes=True) as rows:
            rows.table(table).pop(_place(key), None)

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
        low, high = between or ("", "\x7f")
        low_open = False
        check_page(partition, after)
        if after is not None:
            if newest_first:
                high = min(high, after)
            elif after >= low:
                low, low_open = after, True
        await self._pause()
        with self._rows() as rows:
            kept = rows.table(table)
            places = kept.irange((partition, low), (partition, high), (not low_open, False), reverse=newest_first)
            taken, more = _page(((place, kept[place]) for place in places), limit)
        return Page(rows=taken, after=taken[-1].key.sort if more else None)

    async def increment(self, counter: str, by: int = 1, *, ends_at: datetime | None = None) -> int:
        check_counter(counter)
        check_step(by)
        await self._pause()
        with self._rows(writes=True) as rows:
            return self._count(rows, counter, by, ends_at)

    async def reserve(self, bounds: Sequence[Bound]) -> Reserved:
        check_bounds(bounds)
        most = [await bound.settled() for bound in bounds]
        await self._pause()
        with self._rows(writes=True) as rows:
            values = {bound.counter: rows.counters.get(bound.counter, (0, None))[0] for bound in bounds}
            refused = tuple(
                bound.counter
                for bound, limit in zip(bounds, most, strict=True)
                if values[bound.counter] + bound.by > (inf if limit is None else limit)
                or (bound.by < 0 and values[bound.counter] + bound.by < 0)
            )
            if not refused:
                for bound in bounds:
                    values[bound.counter] = self._count(rows, bound.counter, bound.by, bound.ends_at)
        return Reserved(values=values, refused=refused)

    async def counters(self, prefix: str) -> Mapping[str, int]:
        check_counter(prefix)
        await self._pause()
        with self._rows() as rows:
            names = rows.counters.irange(prefix, prefix + "\x7f", (True, False))
            return {name: rows.counters[name][0] for name in names}

    async def scan(self, table: Table, *, after: str | None = None, limit: int = 1000) -> Page[Row]:
        await self._pause()
        start = None if after is None else _opened(after)
        with self._rows() as rows:
            kept = rows.table(table)
            taken, more = _page(((p, kept[p]) for p in kept.irange(start, inclusive=(start is None, False))), limit)
        return Page(rows=taken, after=json.dumps(_place(taken[-1].key)) if more else None)

    async def scan_counters(self, *, after: str | None = None, limit: int = 1000) -> Page[Counter]:
        await self._pause()
        with self._rows() as rows:
            names = list(islice(rows.counters.irange(after, inclusive=(after is None, True)), limit + 1))
            found = [_counter(name, *rows.counters[name]) for name in names[:limit]]
        return Page(rows=found, after=found[-1].name if len(names) > limit else None)

    async def verify(self, tables: Sequence[Table]) -> None:  # noqa: ARG002 tables come to be as they are used
        await self._pause()
        with self._rows(writes=True):  # what can fail is opening them: a file that cannot be read or written
            pass

    def _count(self, rows: Rows, counter: str, by: int, ends_at: datetime | None) -> int:
        value, ends = rows.counters.get(counter, (0, None))
        if ends_at is not None:
            ends = iso(ends_at)
            if counter not in rows.counters:
                _drop_ended(rows, iso(self._clock()), near=counter)
        rows.counters[counter] = (value + by, ends)
        return value + by

    async def _create(self, table: Table, key: Key, document: Document) -> None:
        text = serialised(document)
        await self._pause()
        with self._rows(writes=True) as rows:
            if _place(key) in rows.table(table):
                raise AlreadyExists(f"{table.name} {key}")
            rows.table(table)[_place(key)] = text


def _in_process() -> RowSession:
    rows = Rows()

    @contextmanager
    def session(*, writes: bool = False) -> Iterator[Rows]:  # noqa: ARG001 the one copy is both
        yield rows

    return session


def _place(key: Key) -> tuple[str, str]:
    return key.partition, key.sort


def _opened(after: str) -> tuple[str, str]:
    """Where a scan stood. Raises InvalidKey."""
    try:
        where = json.loads(after)
    except ValueError:
        where = None
    match where:
        case [str(partition), str(sort)]:
            return partition, sort
        case _:
            raise InvalidKey(f"not a cursor: {after[:100]!r}")


def _counter(name: str, value: int, ends: str | None) -> Counter:
    return Counter(name=name, value=value, ends_at=None if ends is None else datetime.fromisoformat(ends))


def _page(kept: Iterator[tuple[tuple[str, str], str]], limit: int) -> tuple[list[Row], bool]:
    """The first rows that fit a page, and whether there are more."""
    taken: list[Row] = []
    size = 0
    for place, text in kept:
        size += len(text.encode())
        if len(taken) == limit or (taken and size > PAGE_BYTES):
            return taken, True
        taken.append(Row(key=Key(*place), document=json.loads(text)))
    return taken, False


def _drop_ended(rows: Rows, now: str, *, near: str) -> None:
    """Forget ended counters among the new one's neighbours. Windows are in the names, so that is where they lie."""
    at = rows.counters.bisect_left(near)
    for name in rows.counters.keys()[max(0, at - 8) : at + 8]:
        ends = rows.counters[name][1]
        if ends is not None and ends < now:
            del rows.counters[name]
