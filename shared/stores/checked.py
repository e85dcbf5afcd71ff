"""Check once, in front of the engines, the promises that are the same for every store.

A store subclasses CheckedStore and implements the verbs that begin with an underscore. The public verbs of the port
check keys, kinds, fields, steps and cursors, serialise documents, give each call its deadline, and translate the
engine's exceptions. So an engine's verb gets JSON as text, a page as a half-open range of sort parts, and a cursor as
the two strings that it returned.
"""

import json
import re
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from math import inf
from typing import Any, Final, Generic, TypeVar

from shared.stores.port import (
    PAGE_BYTES,
    STEP,
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
    StoreError,
    Table,
    Updated,
    is_key_part,
    month_of,
    parsed,
    serialised,
)

ABOVE: Final = "\x7f"
"""Sorts above every character of a key."""

_NEXT: Final = '"'
"""Sorts above `!`, which ends a key on HYPR Micro and DynamoDB, and below every character of a key: so it separates a
sort part from all that follow it."""

_COUNTER: Final = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.:-]{0,255}")

T = TypeVar("T")

TextChange = Callable[[str | None], str | None]
"""The port's Change, on documents as JSON text."""

Texts = tuple[str | None, str | None]
"""A row as JSON before and after an update; None: absent."""

Place = tuple[str, str]
"""The position of a scan. As a cursor: `["<user id>", "<memo id>"]`. The first string is not empty."""


class PageRows(Generic[T]):
    """The rows of one page while they are read: at most `limit`, at most `most_bytes` of JSON, and at least one.

    `count` returns how many rows of `limit` a row takes up.
    """

    def __init__(
        self,
        limit: int,
        size: Callable[[T], int],
        count: Callable[[T], int] = lambda _: 1,
        *,
        most_bytes: int = PAGE_BYTES,
    ) -> None:
        self.rows: list[T] = []
        self.limit = limit
        self._most_bytes = most_bytes
        self._size_of = size
        self._size = 0
        self._count_of = count
        self._count = 0

    def take(self, row: T) -> bool:
        """Add a row. Returns False if the page is full without it.

        `size` is not called for a row beyond `limit`: on DynamoDB it would decompress the row.
        """
        self._count += self._count_of(row)
        if self.rows and self._count > self.limit:
            return False
        self._size += self._size_of(row)
        if self.rows and self._size > self._most_bytes:
            return False
        self.rows.append(row)
        return True


class CheckedStore(ABC):
    """The port on top of an engine.

    Every verb ends within `timeout_s`, and within the `time_left_s()` of the request that it serves. `deadline` turns
    seconds from now into a time of the engine's clock. `meaning` translates an exception of the engine; None: it is not
    the engine's, and propagates.
    """

    def __init__(
        self,
        *,
        timeout_s: float = inf,
        time_left_s: Callable[[], float] = lambda: inf,
        deadline: Callable[[float], float] = lambda budget_s: budget_s,
        meaning: Callable[[Exception], StoreError | None] = lambda _: None,
    ) -> None:
        self._timeout_s = timeout_s
        self._time_left_s = time_left_s
        self._at = deadline
        self._meaning = meaning

    async def get(self, table: Table, key: Key) -> Document | None:
        async with self._verb() as deadline:
            return await self._get(table, key, deadline)

    async def add(self, table: Table, key: Key, document: Document) -> None:
        _check_kind(table, Kind.FACTS, Kind.CHANGING)
        text = serialised(document)
        async with self._verb() as deadline:
            await self._add(table, key, text, deadline)

    async def take_back(self, table: Table, key: Key) -> None:
        _check_kind(table, Kind.FACTS, Kind.CHANGING)
        async with self._verb() as deadline:
            await self._take_back(table, key, deadline)

    async def extend(self, table: Table, key: Key, field: str, value: Any) -> None:
        _check_kind(table, Kind.FACTS, Kind.CHANGING)
        if not is_key_part(field):
            raise InvalidKey(f"not a field: {field[:200]!r}")
        text = serialised(value)
        async with self._verb() as deadline:
            await self._extend(table, key, field, text, deadline)

    async def put(self, table: Table, key: Key, document: Document) -> None:
        _check_kind(table, Kind.REGISTERS)
        text = serialised(document)
        async with self._verb() as deadline:
            await self._put(table, key, text, deadline)

    async def claim(self, table: Table, key: Key, document: Document) -> None:
        _check_kind(table, Kind.CHANGING)
        text = serialised(document)
        async with self._verb() as deadline:
            await self._claim(table, key, text, deadline)

    async def update(self, table: Table, key: Key, change: Change) -> Updated:
        _check_kind(table, Kind.CHANGING)

        def change_text(before: str | None) -> str | None:
            after = change(_document(before))
            return None if after is None else serialised(after)

        async with self._verb() as deadline:
            before, after = await self._update(table, key, change_text, deadline)
        return Updated(before=_document(before), after=_document(after))

    async def delete(self, table: Table, key: Key) -> None:
        async with self._verb() as deadline:
            if table.kind is Kind.CHANGING:  # a delete without the checks of an update could delete a later row
                await self._update(table, key, lambda _: None, deadline)
            else:
                await self._delete(table, key, deadline)

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
        Key(partition, after or "")
        low, high = between or ("", ABOVE)
        if after is not None:
            low, high = (low, min(high, after)) if newest_first else (max(low, after + _NEXT), high)
        if low >= high:
            return Page(rows=[], after=None)
        async with self._verb() as deadline:
            rows, more = await self._page(
                table, partition, low, high, limit=limit, newest_first=newest_first, deadline=deadline
            )
        return Page(rows=rows, after=rows[-1].key.sort if more else None)

    async def increment(self, counter: str, by: int = 1, *, ends_at: datetime | None = None) -> int:
        _check_step(counter, by)
        async with self._verb() as deadline:
            return await self._increment(counter, by, ends_at, deadline)

    async def reserve(self, bounds: Sequence[Bound]) -> Reserved:
        for bound in bounds:
            _check_step(bound.counter, bound.by)
        counters = [bound.counter for bound in bounds]
        if len(set(map(month_of, counters))) != 1 or len(set(counters)) < len(counters):
            raise ValueError(f"not different counters of one month: {counters}")
        async with self._verb() as deadline:
            return await self._reserve(bounds, deadline)

    async def counters(self, prefix: str) -> Mapping[str, int]:
        _check_counter(prefix)
        async with self._verb() as deadline:
            return await self._counters(prefix, deadline)

    async def erase(self, table: Table, partition: str) -> bool:
        Key(partition)
        async with self._verb() as deadline:
            return await self._erase(table, partition, deadline)

    async def drop(self, counters: Sequence[str]) -> None:
        for counter in counters:
            _check_counter(counter)
        async with self._verb() as deadline:
            await self._drop(list(dict.fromkeys(counters)), deadline)

    async def scan(self, table: Table, *, after: str | None = None, limit: int = 1000) -> Page[Row]:
        place = _opened(after)
        async with self._verb() as deadline:
            rows, place = await self._scan(table, place, limit, deadline)
        return Page(rows=rows, after=_cursor(place))

    async def scan_counters(self, *, after: str | None = None, limit: int = 1000) -> Page[Counter]:
        place = _opened(after)
        async with self._verb() as deadline:
            counters, place = await self._scan_counters(place, limit, deadline)
        return Page(rows=counters, after=_cursor(place))

    async def verify(self, tables: Sequence[Table]) -> None:
        async with self._verb() as deadline:
            await self._verify(tables, deadline)

    async def _begin(self) -> float:
        """Return the deadline of a verb that begins now."""
        return self._at(min(self._timeout_s, self._time_left_s()))

    def _half_way(self, deadline: float) -> float:
        """Return the time after which a verb that may stop early sends no more requests."""
        return (self._at(0) + deadline) / 2

    @asynccontextmanager
    async def _verb(self) -> AsyncIterator[float]:
        deadline = await self._begin()
        try:
            yield deadline
        except Exception as exc:
            error = self._meaning(exc)
            if error is None:
                raise
            raise error from exc

    @abstractmethod
    async def _get(self, table: Table, key: Key, deadline: float) -> Document | None: ...
    @abstractmethod
    async def _add(self, table: Table, key: Key, text: str, deadline: float) -> None: ...
    @abstractmethod
    async def _take_back(self, table: Table, key: Key, deadline: float) -> None: ...
    @abstractmethod
    async def _extend(self, table: Table, key: Key, field: str, text: str, deadline: float) -> None: ...
    @abstractmethod
    async def _put(self, table: Table, key: Key, text: str, deadline: float) -> None: ...
    @abstractmethod
    async def _claim(self, table: Table, key: Key, text: str, deadline: float) -> None: ...
    @abstractmethod
    async def _update(self, table: Table, key: Key, change: TextChange, deadline: float) -> Texts: ...
    @abstractmethod
    async def _delete(self, table: Table, key: Key, deadline: float) -> None:
        """Delete a fact or a register."""

    @abstractmethod
    async def _page(
        self, table: Table, partition: str, low: str, high: str, *, limit: int, newest_first: bool, deadline: float
    ) -> tuple[list[Row], bool]:
        """Return rows with `low` <= sort part < `high`, and whether there are more. `low` is below `high`."""

    @abstractmethod
    async def _increment(self, counter: str, by: int, ends_at: datetime | None, deadline: float) -> int: ...
    @abstractmethod
    async def _reserve(self, bounds: Sequence[Bound], deadline: float) -> Reserved: ...
    @abstractmethod
    async def _counters(self, prefix: str, deadline: float) -> Mapping[str, int]: ...
    @abstractmethod
    async def _erase(self, table: Table, partition: str, deadline: float) -> bool: ...
    @abstractmethod
    async def _drop(self, counters: Sequence[str], deadline: float) -> None:
        """Delete counters. Each occurs once in the list."""

    @abstractmethod
    async def _scan(
        self, table: Table, after: Place | None, limit: int, deadline: float
    ) -> tuple[list[Row], Place | None]: ...
    @abstractmethod
    async def _scan_counters(
        self, after: Place | None, limit: int, deadline: float
    ) -> tuple[list[Counter], Place | None]: ...
    @abstractmethod
    async def _verify(self, tables: Sequence[Table], deadline: float) -> None: ...


def _check_kind(table: Table, *kinds: Kind) -> None:
    if table.kind not in kinds:
        raise TypeError(f"{table.name} holds {table.kind}")


def _check_counter(name: str) -> None:
    if _COUNTER.fullmatch(name) is None:
        raise InvalidKey(f"not a counter: {name!r}")


def _check_step(counter: str, by: int) -> None:
    _check_counter(counter)
    if abs(by) > STEP:
        raise ValueError(f"{by} is beyond 2**53 and would be rounded")


def _document(text: str | None) -> Document | None:
    return None if text is None else parsed(text)


def _cursor(place: Place | None) -> str | None:
    return None if place is None else json.dumps(place)


def _opened(cursor: str | None) -> Place | None:
    if cursor is None:
        return None
    try:
        place = json.loads(cursor)
    except ValueError:
        place = None
    match place:
        case [str(first), str(second)] if first:
            return first, second
        case _:
            raise InvalidKey(f"not a cursor: {cursor[:100]!r}")
