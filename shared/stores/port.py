"""Define the store port: what every store promises.

A row is a JSON document under a key: a partition and an optional sort part. A table contains rows of one kind:

- **facts** are added once, under a fresh key, and extended by single fields (`revoked_at`, `title`);
- **changing rows** are rewritten whole, and lose no acknowledged change;
- **registers** keep the last value written, and may be a moment stale.

A counter is a number under a name, for what changes with every call. The part of a name up to its first colon is the
owner (`<user id>:calls:2026-11-23`): an owner's counters are stored together, and read by one request.
"""

import json
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, Generic, NamedTuple, Protocol, TypeVar

from pydantic_core import from_json

PAGE_BYTES: Final = 900_000
"""Bytes of a page's documents, unless its table sets `page_bytes`. A public answer has 1 MB at most."""

STEP: Final = 2**53
"""The most that one increment adds or subtracts. HYPR Micro rounds larger numbers: it counts in doubles."""

_KEY_PART = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,127}")
_KEY = re.compile(f"{_KEY_PART.pattern}!(?:{_KEY_PART.pattern})?")
_MONTH = re.compile(r"[^:]*:(?:[^:]*:)*?[12]\d{3}-(?:0[1-9]|1[0-2])(?=[:-]|$)")

T = TypeVar("T")

Document = dict[str, Any]
"""A JSON object, nested at most 200 deep: Pydantic's parser reads no deeper. Every store keeps its numbers exactly."""

Change = Callable[[Document | None], Document | None]
"""A function from a row before the change (None: absent) to the row after it (None: deleted), which raises to refuse.
It may be called more than once, so it must have no side effects."""


class Kind(StrEnum):
    FACTS = "facts"
    CHANGING = "changing"
    REGISTERS = "registers"


@dataclass(frozen=True, kw_only=True)
class Table:
    """A named set of rows. `database` is its database on HYPR Micro, which has few.

    DynamoDB limits the load of a partition, so there the rows of one partition are spread over `shards` of its own, and
    a page reads each. `shards` must not change once there are rows.

    `page_bytes`: the most bytes of JSON in a page; a larger row is a page of its own.
    """

    name: str
    kind: Kind
    database: str
    shards: int = 1
    page_bytes: int = PAGE_BYTES


@dataclass(frozen=True)
class Key:
    """The key of a row. A part is 1 to 128 of `[A-Za-z0-9_.-]`, and does not begin with a dot. It contains no personal
    data and no secret, since stores log it. Raises InvalidKey if a part has another form."""

    partition: str
    sort: str = ""

    def __post_init__(self) -> None:
        if _KEY.fullmatch(self.partition + "!" + self.sort) is None:
            raise InvalidKey(f"not a key: {self.partition!r}, {self.sort!r}")


def is_key_part(text: str) -> bool:
    return _KEY_PART.fullmatch(text) is not None


def month_of(counter: str) -> str:
    """Return a counter's name up to a month: `u:calls:2026-03` of `u:calls:2026-03-02`.

    A name without a month is returned whole. Counters that share it can be reserved together.
    """
    month = _MONTH.match(counter)
    return counter if month is None else month[0]


def serialised(value: Any) -> str:
    """Return JSON. Raises ValueError for a value that JSON cannot express: NaN, an infinity, a lone surrogate."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    text.encode()
    return text


def parsed(text: str) -> Any:
    """Return the value that `serialised` wrote as this text. Pydantic's parser takes half the time of `json`."""
    return from_json(text)


class Row(NamedTuple):
    key: Key
    document: Document


@dataclass(frozen=True, kw_only=True)
class Updated:
    """A row before and after an update; None: absent. They are equal if nothing was changed."""

    before: Document | None
    after: Document | None


@dataclass(frozen=True, kw_only=True)
class Page(Generic[T]):
    """Some rows in order. `after` is the cursor of the next page; None: there is none."""

    rows: Sequence[T]
    after: str | None


@dataclass(frozen=True, kw_only=True)
class Counter:
    """A counter's value. `ends_at` None: it does not end, or the store does not keep its end."""

    name: str
    value: int
    ends_at: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class Bound:
    """An addition of `by` to a counter, if its value is `most` at most after it; `most` None: any value.

    `most` may be an awaitable: an engine that counts before it judges awaits it in parallel with counting. A `by` below
    0 gives places back, and its `most` is None. `ends_at`: as for `increment`.
    """

    counter: str
    by: int = 1
    most: int | Awaitable[int | None] | None = None
    ends_at: datetime | None = None

    async def settled(self) -> int | None:
        """Return `most`. An exception of its awaitable propagates."""
        return await self.most if isinstance(self.most, Awaitable) else self.most


@dataclass(frozen=True, kw_only=True)
class Reserved:
    """The result of a reserve. `values` are those after it, of the counters that the engine read or raised.

    `refused` names the counters that would have passed their bounds. If it is empty, all were added to; else none.
    """

    values: Mapping[str, int]
    refused: tuple[str, ...] = ()


class StoreError(Exception):
    """A store's verb failed."""


class AlreadyExists(StoreError):
    """The key is taken."""


class InvalidKey(StoreError):
    """The key cannot be addressed on every store."""


class StoreUnavailable(StoreError):
    """The engine did not answer, or failed. A write may or may not have happened."""


class StoreNotReady(StoreUnavailable):
    """The engine answered, but its configuration does not fit. The text, for the log, names the correction."""


class Store(Protocol):
    @property
    def keeps_ended_counters(self) -> bool:
        """True if counters stay after their end until they are dropped. False: the engine deletes them."""

    @property
    def reserves_at_once(self) -> bool:
        """True if one request reserves several counters. False: they are counted one by one, in the given order."""

    async def get(self, table: Table, key: Key) -> Document | None:
        """Return the row with its extensions; None: absent. It contains every acknowledged write."""

    async def add(self, table: Table, key: Key, document: Document) -> None:
        """Write a row under a fresh key, once.

        Raises AlreadyExists if the store notices that the key is taken. To decide a race, use `claim`.
        """

    async def take_back(self, table: Table, key: Key) -> None:
        """Undo the caller's `add` of a row that no other caller has read, by one request. An absent row is no error."""

    async def extend(self, table: Table, key: Key, field: str, value: Any) -> None:
        """Set one field of a row without rewriting the row: no conflict with an `update`.

        The later of two extensions of one field counts. If the row does not exist, the call has no effect. Raises
        InvalidKey unless the field has the form of a key's part.
        """

    async def put(self, table: Table, key: Key, document: Document) -> None:
        """Write a register. The last writer wins; a write that was not answered may still arrive late."""

    async def claim(self, table: Table, key: Key, document: Document) -> None:
        """Create a row if it is absent. At most one caller is ever acknowledged; all others get AlreadyExists.

        After a `delete` the key is free again. After StoreUnavailable the caller may own the key or not.
        """

    async def update(self, table: Table, key: Key, change: Change) -> Updated:
        """Read, change, write; loses no acknowledged update.

        If `change` raises, its exception propagates and nothing is written. If it returns an equal document, nothing is
        written either. Extensions that `change` leaves out are dropped.
        """

    async def delete(self, table: Table, key: Key) -> None:
        """Delete a row with its extensions; it stays deleted. An absent row is no error."""

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
        """Return a page of a partition's rows, in the order of their sort parts.

        It has up to `limit` rows after `after`, a sort part that need not exist; None: from the beginning. `between`
        bounds the sort parts: low inclusive, high exclusive. The cost is the page's, whatever the table's size. While
        other rows are added and deleted, a row that exists throughout is returned exactly once over the pages. Raises
        InvalidKey if `partition` or `after` cannot be part of a key.
        """

    async def increment(self, counter: str, by: int = 1, *, ends_at: datetime | None = None) -> int:
        """Add to a counter, atomically, and return its value. An absent counter is 0. Raises ValueError beyond STEP.

        The value is exact for answered calls; one without an answer may have been counted. After `ends_at` the store
        may forget the counter: its name must not be used again.
        """

    async def reserve(self, bounds: Sequence[Bound]) -> Reserved:
        """Add to each counter its own number, or to none. No value passes its bound, under any concurrency.

        The counters differ, and belong to one month (`month_of`): else ValueError. A lost answer may leave them too
        high. Giving back is refused if a counter has fewer places, and counts once if the network repeats the request;
        HYPR Micro guarantees neither. An exception of an awaited bound propagates, and nothing is added.
        """

    async def counters(self, prefix: str) -> Mapping[str, int]:
        """Return the counters with this prefix of their names, in the order of their names.

        A prefix contains at least the owner: the whole part of the names up to their first colon.
        """

    async def erase(self, table: Table, partition: str) -> bool:
        """Delete the rows of a partition that no caller writes any more. Returns whether none is left.

        False: the time ran out; call again. It may stop anywhere and be repeated: no row is ever returned older or with
        fewer extensions than before. Costs a request per document on HYPR Micro, per 25 rows on DynamoDB.
        """

    async def drop(self, counters: Sequence[str]) -> None:
        """Delete counters that no caller counts any more: a closed owner's, an ended window's.

        Absent counters are no error. Repeatable. Costs a request per counter on HYPR Micro; on DynamoDB one per 25, and
        one per counter of a day whose month is not deleted with it.
        """

    async def scan(self, table: Table, *, after: str | None = None, limit: int = 1000) -> Page[Row]:
        """Return every row of a table, by pages, in any order, for maintenance. A page may be short, even empty."""

    async def scan_counters(self, *, after: str | None = None, limit: int = 1000) -> Page[Counter]:
        """Return every counter, by pages, in any order, for maintenance. A page may be short, even empty."""

    async def verify(self, tables: Sequence[Table]) -> None:
        """Check the tables, and create missing parts of them. Raises StoreNotReady if they cannot be used."""
