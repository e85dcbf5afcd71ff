"""Keep rows in memory: for laptops, tests and local invocations. With a file, successive processes share them.

Each table is one sorted map of JSON texts. Texts, so that no caller can change another's row; sorted, so that a page
costs O(log n + page). Every verb yields to the event loop before it acts, so callers race as they would over a network.
"""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime
from itertools import islice
from math import inf
from typing import Protocol

from sortedcontainers import SortedDict

from shared.core.clock import Clock, iso, utc_now
from shared.stores.checked import ABOVE, CheckedStore, PageRows, Place, TextChange, Texts
from shared.stores.port import AlreadyExists, Bound, Counter, Document, Key, Reserved, Row, Table, parsed, serialised

Pause = Callable[[], Awaitable[None]]


class Rows:
    """Documents by table and place, `("<user id>", "<memo id>")`; counters by name, each with the ISO time it ends."""

    def __init__(self) -> None:
        self.tables: defaultdict[str, SortedDict[tuple[str, str], str]] = defaultdict(SortedDict)
        self.counters: SortedDict[str, tuple[int, str | None]] = SortedDict()

    def table(self, table: Table) -> "SortedDict[tuple[str, str], str]":
        return self.tables[table.name]


class RowSession(Protocol):
    """Opens a context with exclusive use of the rows. Code inside must not await."""

    def __call__(self, *, writes: bool = False) -> AbstractContextManager[Rows]:
        """Return the rows to use inside. With `writes`, changes are stored unless the code inside raises."""


class MemoryStore(CheckedStore):
    """Keeps every promise of the port within a process; with `shared_rows`, among the processes of a machine.

    Every verb awaits `pause` before it acts, and an update once more before it writes. Tests seed schedules through it.
    """

    reserves_at_once = True
    keeps_ended_counters = False

    def __init__(
        self, *, rows: RowSession | None = None, pause: Pause = lambda: asyncio.sleep(0), clock: Clock = utc_now
    ) -> None:
        super().__init__()
        self._rows = rows or _in_process()
        self._pause = pause
        self._clock = clock

    async def _begin(self) -> float:
        await self._pause()
        return await super()._begin()

    async def _get(self, table: Table, key: Key, deadline: float) -> Document | None:
        with self._rows() as rows:
            text = rows.table(table).get(_place(key))
        return None if text is None else parsed(text)

    async def _add(self, table: Table, key: Key, text: str, deadline: float) -> None:
        with self._rows(writes=True) as rows:
            if _place(key) in rows.table(table):
                raise AlreadyExists(f"{table.name} {key}")
            rows.table(table)[_place(key)] = text

    _claim = _add

    async def _extend(self, table: Table, key: Key, field: str, text: str, deadline: float) -> None:
        with self._rows(writes=True) as rows:
            row = rows.table(table).get(_place(key))
            if row is not None:
                rows.table(table)[_place(key)] = serialised({**parsed(row), field: parsed(text)})

    async def _put(self, table: Table, key: Key, text: str, deadline: float) -> None:
        with self._rows(writes=True) as rows:
            rows.table(table)[_place(key)] = text

    async def _update(self, table: Table, key: Key, change: TextChange, deadline: float) -> Texts:
        while True:
            with self._rows() as rows:
                before = rows.table(table).get(_place(key))
            after = change(before)
            await self._pause()
            with self._rows(writes=True) as rows:
                if rows.table(table).get(_place(key)) == before:
                    if after is None:
                        rows.table(table).pop(_place(key), None)
                    else:
                        rows.table(table)[_place(key)] = after
                    return before, after
            await self._pause()

    async def _delete(self, table: Table, key: Key, deadline: float) -> None:
        with self._rows(writes=True) as rows:
            rows.table(table).pop(_place(key), None)

    _take_back = _delete

    async def _page(
        self, table: Table, partition: str, low: str, high: str, *, limit: int, newest_first: bool, deadline: float
    ) -> tuple[list[Row], bool]:
        with self._rows() as rows:
            kept = rows.table(table)
            places = kept.irange((partition, low), (partition, high), (True, False), reverse=newest_first)
            return _fitting(kept, places, limit, table.page_bytes)

    async def _increment(self, counter: str, by: int, ends_at: datetime | None, deadline: float) -> int:
        with self._rows(writes=True) as rows:
            return self._count(rows, counter, by, ends_at)

    async def _reserve(self, bounds: Sequence[Bound], deadline: float) -> Reserved:
        limits = [await bound.settled() for bound in bounds]
        with self._rows(writes=True) as rows:
            values = {bound.counter: rows.counters.get(bound.counter, (0, None))[0] for bound in bounds}
            refused = tuple(
                bound.counter
                for bound, limit in zip(bounds, limits, strict=True)
                if values[bound.counter] + bound.by > (inf if limit is None else limit)
                or (bound.by < 0 and values[bound.counter] + bound.by < 0)
            )
            if not refused:
                for bound in bounds:
                    values[bound.counter] = self._count(rows, bound.counter, bound.by, bound.ends_at)
        return Reserved(values=values, refused=refused)

    async def _counters(self, prefix: str, deadline: float) -> Mapping[str, int]:
        with self._rows() as rows:
            names = rows.counters.irange(prefix, prefix + ABOVE, (True, False))
            return {name: rows.counters[name][0] for name in names}

    async def _erase(self, table: Table, partition: str, deadline: float) -> bool:
        with self._rows(writes=True) as rows:
            kept = rows.table(table)
            for place in list(kept.irange((partition, ""), (partition, ABOVE))):
                del kept[place]
        return True

    async def _drop(self, counters: Sequence[str], deadline: float) -> None:
        with self._rows(writes=True) as rows:
            for counter in counters:
                rows.counters.pop(counter, None)

    async def _scan(
        self, table: Table, after: Place | None, limit: int, deadline: float
    ) -> tuple[list[Row], Place | None]:
        with self._rows() as rows:
            kept = rows.table(table)
            taken, more = _fitting(kept, kept.irange(after, inclusive=(after is None, False)), limit, table.page_bytes)
        return taken, _place(taken[-1].key) if more else None

    async def _scan_counters(
        self, after: Place | None, limit: int, deadline: float
    ) -> tuple[list[Counter], Place | None]:
        with self._rows() as rows:
            start = after and after[0]
            names = list(islice(rows.counters.irange(start, inclusive=(start is None, False)), limit + 1))
            counters = [_counter(name, *rows.counters[name]) for name in names[:limit]]
        return counters, (counters[-1].name, "") if len(names) > limit else None

    async def _verify(self, tables: Sequence[Table], deadline: float) -> None:
        with self._rows(writes=True):  # fails if the file cannot be read or written
            pass

    def _count(self, rows: Rows, counter: str, by: int, ends_at: datetime | None) -> int:
        value, ends = rows.counters.get(counter, (0, None))
        if ends_at is not None:
            ends = iso(ends_at)
            if counter not in rows.counters:
                _drop_ended(rows, iso(self._clock()), near=counter)
        rows.counters[counter] = (value + by, ends)
        return value + by


def _in_process() -> RowSession:
    rows = Rows()

    @contextmanager
    def session(*, writes: bool = False) -> Iterator[Rows]:  # noqa: ARG001 both reads and writes use the one copy
        yield rows

    return session


def _place(key: Key) -> tuple[str, str]:
    return key.partition, key.sort


def _counter(name: str, value: int, ends: str | None) -> Counter:
    return Counter(name=name, value=value, ends_at=None if ends is None else datetime.fromisoformat(ends))


def _fitting(
    kept: "SortedDict[tuple[str, str], str]", places: Iterator[tuple[str, str]], limit: int, most_bytes: int
) -> tuple[list[Row], bool]:
    """Return the first rows that fit a page, and whether there are more."""
    page = PageRows[tuple[tuple[str, str], str]](limit, lambda row: len(row[1].encode()), most_bytes=most_bytes)
    more = not all(page.take((place, kept[place])) for place in places)
    return [Row(key=Key(*place), document=parsed(text)) for place, text in page.rows], more


def _drop_ended(rows: Rows, now: str, *, near: str) -> None:
    """Delete ended counters beside a new one. Windows of one counter differ in the end of their names."""
    at = rows.counters.bisect_left(near)
    for name in rows.counters.keys()[max(0, at - 8) : at + 8]:
        ends = rows.counters[name][1]
        if ends is not None and ends < now:
            del rows.counters[name]
