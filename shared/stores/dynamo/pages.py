"""Pages of what lies in the DynamoDB table: ranges of a partition, and scans of all. A page reads little beyond itself.

A scan looks at the whole table, of which what is asked for may be a small part. It may end its pages early, even empty:
it begins no further request after `enough`, a time of the same clock as `deadline`.
"""

from collections import deque
from collections.abc import Callable
from typing import Final, Generic, TypeVar

from shared.core.concurrency import gather_settled
from shared.stores.dynamo import items as dynamo_rows
from shared.stores.dynamo.client import Dynamo
from shared.stores.dynamo.items import Item, Stored
from shared.stores.port import PAGE_BYTES, Counter, Page, Row, Table

SLACK: Final = 4
"""Rows that a page of a table that is spread asks each shard for, beyond its share."""

SCANNED: Final = 100
"""How many items a scan looks at, at least: most may be of other tables."""

T = TypeVar("T")


async def page(
    dynamo: Dynamo,
    table: Table,
    partition: str,
    *,
    after: str | None,
    limit: int,
    newest_first: bool,
    between: tuple[str, str] | None,
    deadline: float,
) -> Page[Row]:
    """As the port's `page`. Raises DynamoError."""
    low, high = dynamo_rows.bounds(between, after, newest_first=newest_first)
    if low > high:
        return Page(rows=[], after=None)
    ask = limit + 1 if table.shards == 1 else limit // table.shards + SLACK
    shards = [_Shard(dynamo, name, low, high, ask=ask) for name in dynamo_rows.partitions(table, partition)]
    taken = _Taken(limit, _size)
    while True:
        await gather_settled(*(shard.read_on(deadline, newest_first=newest_first) for shard in shards))
        heads = [shard for shard in shards if shard.rows]
        if not heads:
            return Page(rows=_rows(taken.things), after=None)
        first = (max if newest_first else min)(heads, key=lambda shard: shard.rows[0].key.sort)
        if not taken.take(first.rows.popleft()):
            return Page(rows=_rows(taken.things), after=taken.things[-1].key.sort)


async def scan_rows(
    dynamo: Dynamo, table: Table, *, after: str | None, limit: int, deadline: float, enough: float
) -> Page[Row]:
    """Raises DynamoError, and InvalidKey for what is no cursor."""
    taken = _Taken(limit, _size)
    cursor = await _scan(dynamo, f"{table.name}#", dynamo_rows.read, taken, after, deadline=deadline, enough=enough)
    return Page(rows=_rows(taken.things), after=cursor)


async def scan_counters(
    dynamo: Dynamo, counts: Callable[[Item], bool], *, after: str | None, limit: int, deadline: float, enough: float
) -> Page[Counter]:
    """Those that count, without tearing an item apart: one item's counters may be more than `limit`.

    Raises DynamoError, and InvalidKey for what is no cursor.
    """

    def read(item: Item) -> list[Counter] | None:
        return dynamo_rows.read_counters(item) if counts(item) else None

    taken = _Taken[list[Counter]](limit, lambda _: 0, count=len)
    begin = dynamo_rows.counter_partition("")
    cursor = await _scan(dynamo, begin, read, taken, after, deadline=deadline, enough=enough)
    return Page(rows=[counter for counters in taken.things for counter in counters], after=cursor)


async def _scan(
    dynamo: Dynamo,
    begin: str,
    read: Callable[[Item], T | None],
    taken: "_Taken[T]",
    after: str | None,
    *,
    deadline: float,
    enough: float,
) -> str | None:
    """Take from the items whose partitions begin so what `read` makes of them; None: nothing. Returns the cursor."""
    place = None if after is None else dynamo_rows.opened(after)
    while True:
        items, read_to = await dynamo.scan(
            "begins_with(pk, :begin)",
            {":begin": {"S": begin}},
            limit=max(taken.limit, SCANNED),
            after=place,
            deadline=deadline,
        )
        for item in items:
            thing = read(item)
            if thing is not None and not taken.take(thing):
                assert place is not None  # of what was taken: a page holds at least one
                return dynamo_rows.cursor(place)
            place = dynamo_rows.place_of(item)
        if read_to is None:
            return None
        place = read_to
        if dynamo.deadline(0) > enough:
            return dynamo_rows.cursor(place)


class _Shard:
    """What is left of a range in one of DynamoDB's partitions."""

    def __init__(self, dynamo: Dynamo, partition: str, low: str, high: str, *, ask: int) -> None:
        self.rows: deque[Stored] = deque()
        self._dynamo = dynamo
        self._values = {":pk": {"S": partition}, ":low": {"S": low}, ":high": {"S": high}}
        self._ask = ask
        self._after: Item | None = None
        self._done = False

    async def read_on(self, deadline: float, *, newest_first: bool) -> None:
        """Have at least one row, if there is one."""
        while not self.rows and not self._done:
            items, self._after = await self._dynamo.query(
                "pk = :pk AND sk BETWEEN :low AND :high",
                self._values,
                limit=self._ask,
                after=self._after,
                newest_first=newest_first,
                deadline=deadline,
            )
            self.rows.extend(map(dynamo_rows.read, items))
            self._done = self._after is None


class _Taken(Generic[T]):
    """What a page holds so far. `size` tells the bytes of a thing, `count` for how many it counts."""

    def __init__(self, limit: int, size: Callable[[T], int], count: Callable[[T], int] = lambda _: 1) -> None:
        self.things: list[T] = []
        self.limit = limit
        self._size_of = size
        self._size = 0
        self._count_of = count
        self._count = 0

    def take(self, thing: T) -> bool:
        """False: the page is full without it."""
        self._count += self._count_of(thing)
        if self.things and self._count > self.limit:
            return False
        self._size += self._size_of(thing)
        if self.things and self._size > PAGE_BYTES:
            return False
        self.things.append(thing)
        return True


def _size(stored: Stored) -> int:
    return stored.size


def _rows(stored: list[Stored]) -> list[Row]:
    return [each.row() for each in stored]
