"""The store port: what every store promises, whatever lies below it.

Rows are JSON documents under a key of a partition and an optional sort part. Tables hold rows of one of three kinds:

- **facts** are added once, under a fresh key, and extended by further facts beside them (`revoked_at`, `title`);
- **changing rows** are rewritten whole, and lose no acknowledged change;
- **registers** hold the last value written, for what may be a moment stale.

Counters are numbers under a name, for what changes with every call. The part of a name up to its first colon says what
the counter belongs to: those of one owner lie together, and are read together.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, Generic, Protocol, TypeVar

PAGE_BYTES: Final = 900_000
"""A page ends early before its documents exceed this many bytes of JSON (the public answer's bound is 1 MB), but
holds at least one row."""

STEP: Final = 2**53
"""The most that one increment adds or takes: what every store counts exactly."""

_KEY_PART = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,127}")

T = TypeVar("T")

Document = dict[str, Any]
"""A JSON object: what `json.loads` can give. Numbers survive exactly."""

Change = Callable[[Document | None], Document | None]
"""From the row as it is (None: absent) to the row as it shall be (None: deleted). Raises to refuse. It may be called
more than once, so it must not act."""


class Kind(StrEnum):
    FACTS = "facts"
    CHANGING = "changing"
    REGISTERS = "registers"


@dataclass(frozen=True, kw_only=True)
class Table:
    """A named set of rows. `database` groups tables on stores that have few of them.

    The rows of one partition are spread over `shards` partitions of an engine that bounds what one of its own takes; a
    page then asks each. It is fixed once there are rows.
    """

    name: str
    kind: Kind
    database: str
    shards: int = 1


@dataclass(frozen=True)
class Key:
    """Where a row lies. Parts are 1 to 128 of `[A-Za-z0-9_.-]`, not beginning with a dot; no personal data and no
    secret, since stores log them. Raises InvalidKey."""

    partition: str
    sort: str = ""

    def __post_init__(self) -> None:
        if not is_key_part(self.partition) or not (self.sort == "" or is_key_part(self.sort)):
            raise InvalidKey(f"not a key: {self.partition!r}, {self.sort!r}")


def is_key_part(text: str) -> bool:
    return _KEY_PART.fullmatch(text) is not None


def serialised(value: Any) -> str:
    """JSON, or ValueError for what JSON cannot hold: NaN, infinities, lone surrogates."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    text.encode()
    return text


@dataclass(frozen=True, kw_only=True)
class Row:
    key: Key
    document: Document


@dataclass(frozen=True, kw_only=True)
class Updated:
    """What an update found, and what it left; None: absent. They are equal if it changed nothing."""

    before: Document | None
    after: Document | None


@dataclass(frozen=True, kw_only=True)
class Page(Generic[T]):
    """Some rows in order. `after` continues with the next; None: there are no more."""

    rows: Sequence[T]
    after: str | None


@dataclass(frozen=True, kw_only=True)
class Counter:
    """`ends_at` None: it does not end, or the store does not keep when."""

    name: str
    value: int
    ends_at: datetime | None = None


class StoreError(Exception):
    """What every store raises."""


class AlreadyExists(StoreError):
    """The key is taken."""


class InvalidKey(StoreError):
    """The key cannot be addressed on every store."""


class StoreUnavailable(StoreError):
    """No answer, or none that says anything. A write may or may not have happened."""


class StoreNotReady(StoreUnavailable):
    """The store answered, and cannot serve this service as it is set up. The text says why, for the log."""


class Store(Protocol):
    async def get(self, table: Table, key: Key) -> Document | None:
        """The row, with its extensions; None: absent. Sees every acknowledged write."""

    async def add(self, table: Table, key: Key, document: Document) -> None:
        """Write a row under a fresh key, once.

        Raises AlreadyExists where the key turns out to be taken; it does not decide a race: `claim` does.
        """

    async def take_back(self, table: Table, key: Key) -> None:
        """Undo an `add` of one's own that nobody else knows of: one request, and nothing stays. Absent is fine."""

    async def extend(self, table: Table, key: Key, field: str, value: Any) -> None:
        """Set one field of a row as a fact of its own beside it: no rewrite, no conflict with an `update`.

        Of two extensions of one field the later one stands. Beside an absent row it changes nothing. A field is 1 to
        128 of the characters of a key's part; InvalidKey for others.
        """

    async def put(self, table: Table, key: Key, document: Document) -> None:
        """Write a register. The last writer wins, and a write that was never answered may still land late."""

    async def claim(self, table: Table, key: Key, document: Document) -> None:
        """Create a row if it is absent. At most one caller is ever acknowledged; AlreadyExists for the rest.

        After a `delete` the key is free again. StoreUnavailable leaves open who has it.
        """

    async def update(self, table: Table, key: Key, change: Change) -> Updated:
        """Read, change, write; loses no acknowledged update.

        What `change` raises passes through and nothing is written; nor is it when `change` returns what it got.
        Extensions that `change` leaves out are dropped.
        """

    async def delete(self, table: Table, key: Key) -> None:
        """Gone, with its extensions, and stays gone. Absent is fine."""

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
        """Up to `limit` rows of a partition in the order of their sort parts, after `after`; costs the page.

        `between` bounds the sort parts: low inclusive, high exclusive. Rows that stay are neither skipped nor repeated
        over the pages when others come and go. `after` need not exist (any more). Raises InvalidKey when no row could
        lie in `partition`, or at `after`.
        """

    async def increment(self, counter: str, by: int = 1, *, ends_at: datetime | None = None) -> int:
        """Add to a counter, atomically, and return its value. An unknown counter is 0. ValueError beyond STEP.

        Exact for every answered call; a lost answer may leave it `by` too high. Of a counter with `ends_at` nothing is
        promised after that time: its name is not used again.
        """

    async def counters(self, prefix: str) -> Mapping[str, int]:
        """The counters whose names begin so, in the order of their names.

        A prefix holds at least the whole part of the names up to their first colon.
        """

    async def scan(self, table: Table, *, after: str | None = None, limit: int = 1000) -> Page[Row]:
        """Every row of a table, by pages, in no promised order; for maintenance."""

    async def scan_counters(self, *, after: str | None = None, limit: int = 1000) -> Page[Counter]:
        """Every counter, by pages, in no promised order; for maintenance."""

    async def verify(self, tables: Sequence[Table]) -> None:
        """Make sure the tables can be used: what is missing is created, what cannot be raises StoreNotReady."""
