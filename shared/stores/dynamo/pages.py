"""Read pages of the DynamoDB table: ranges of a partition, and scans of the whole table.

The requested rows may be a small part of a scan. So it may end a page early, even empty: it begins no further request
after `enough`, a time of the same clock as `deadline`.
"""

from collections import deque
from collections.abc import Callable
from typing import Final, TypeVar

from shared.core.concurrency import gather_settled
from shared.stores.checked import PageRows, Place
from shared.stores.dynamo.client import Dynamo
from shared.stores.dynamo.items import (
    Item,
    Stored,
    counter_partition,
    item_key,
    partitions,
    place_of,
    read_counters,
    read_item,
)
from shared.stores.port import Counter, Row, Table

SLACK: Final = 4
"""Rows that a page of a spread table requests of each shard beyond its share. More of them are read in vain; fewer make
a second request likelier, since rows are not spread evenly."""

SCANNED: Final = 100
"""Least items that one request of a scan reads: most may be of other tables."""

T = TypeVar("T")


async def read_page(
    dynamo: Dynamo,
    table: Table,
    partition: str,
    low: str,
    high: str,
    *,
    limit: int,
    newest_first: bool,
    deadline: float,
) -> tuple[list[Row], bool]:
    """Return the rows of a half-open range that fit a page, and whether more follow. Raises DynamoError."""
    ask = limit + 1 if table.shards == 1 else limit // table.shards + SLACK
    shards = [_Shard(dynamo, name, low, high, ask=ask) for name in partitions(table, partition)]
    page = PageRows[Stored](limit, lambda stored: stored.size, most_bytes=table.page_bytes)
    while True:
        await gather_settled(*(shard.read_on(deadline, newest_first=newest_first) for shard in shards))
        heads = [shard for shard in shards if shard.rows]
        if not heads:
            return _rows(page.rows), False
        first = (max if newest_first else min)(heads, key=lambda shard: shard.rows[0].key.sort)
        if not page.take(first.rows.popleft()):
            return _rows(page.rows), True


async def scan_rows(
    dynamo: Dynamo, table: Table, *, after: Place | None, limit: int, deadline: float, enough: float
) -> tuple[list[Row], Place | None]:
    """Return some rows of a table, and the position of the scan; None: the end. Raises DynamoError."""
    page = PageRows[Stored](limit, lambda stored: stored.size, most_bytes=table.page_bytes)
    place = await _scan(dynamo, f"{table.name}#", read_item, page, after, deadline=deadline, enough=enough)
    return _rows(page.rows), place


async def scan_counters(
    dynamo: Dynamo,
    has_ended: Callable[[Item], bool],
    *,
    after: Place | None,
    limit: int,
    deadline: float,
    enough: float,
) -> tuple[list[Counter], Place | None]:
    """Return some counters that have not ended, and the scan's position. None: the end. Raises DynamoError.

    The counters of one item are returned together, and may be more than `limit`.
    """

    def read(item: Item) -> list[Counter] | None:
        return None if has_ended(item) else read_counters(item)

    page = PageRows[list[Counter]](limit, lambda _: 0, len)
    place = await _scan(dynamo, counter_partition(""), read, page, after, deadline=deadline, enough=enough)
    return [counter for counters in page.rows for counter in counters], place


async def _scan(
    dynamo: Dynamo,
    begin: str,
    read: Callable[[Item], T | None],
    page: PageRows[T],
    place: Place | None,
    *,
    deadline: float,
    enough: float,
) -> Place | None:
    """Fill a page from the items of the partitions that begin with `begin`. `read` None: skip the item."""
    while True:
        items, read_to = await dynamo.scan(
            "begins_with(pk, :begin)",
            {":begin": {"S": begin}},
            limit=max(page.limit, SCANNED),
            after=None if place is None else item_key(*place),
            deadline=deadline,
        )
        for item in items:
            thing = read(item)
            if thing is not None and not page.take(thing):
                return place
            place = place_of(item)
        if read_to is None:
            return None
        place = place_of(read_to)
        if dynamo.deadline(0) > enough:
            return place


class _Shard:
    """The unread part of a range in one of DynamoDB's partitions."""

    def __init__(self, dynamo: Dynamo, partition: str, low: str, high: str, *, ask: int) -> None:
        self.rows: deque[Stored] = deque()
        self._dynamo = dynamo
        # DynamoDB's BETWEEN includes both ends. A space sorts just below the "!" that ends a sort key.
        self._values = {":pk": {"S": partition}, ":low": {"S": f"{low} "}, ":high": {"S": f"{high} "}}
        self._ask = ask
        self._after: Item | None = None
        self._done = False

    async def read_on(self, deadline: float, *, newest_first: bool) -> None:
        """Read until there is at least one row, or the range ends."""
        while not self.rows and not self._done:
            items, self._after = await self._dynamo.query(
                "pk = :pk AND sk BETWEEN :low AND :high",
                self._values,
                limit=self._ask,
                after=self._after,
                newest_first=newest_first,
                deadline=deadline,
            )
            self.rows.extend(map(read_item, items))
            self._done = self._after is None


def _rows(stored: list[Stored]) -> list[Row]:
    return [row.row() for row in stored]
