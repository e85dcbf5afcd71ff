"""Reading ranges of rows from HYPR Micro, a page at a time.

A row is several documents, and a read ends after so many documents, wherever that is: the last row of a full read may
go on after it.
"""

from typing import Final

from shared.micro import MicroClient
from shared.stores.micro.layout import Address, RowState, piles, read_row_state
from shared.stores.port import PAGE_BYTES, Key, Row, Table

SLACK: Final = 8
"""A page asks for a quarter more documents than rows, and so many: extensions and old versions lie between them."""

MOST: Final = 10_000
"""The server answers no more documents at once."""


async def read_rows(
    client: MicroClient, table: Table, low: str, high: str, *, limit: int, newest_first: bool, deadline: float
) -> tuple[list[Row], bool]:
    """The rows between two keys that fit a page, and whether there are more."""
    taken: list[Row] = []
    size, ask = 0, limit + limit // 4 + SLACK
    while low < high:
        read, low, high = await _read_on(
            client, table, low, high, limit=min(ask, MOST), newest_first=newest_first, deadline=deadline
        )
        for key, found in read:
            document = found.row()
            if document is None:
                continue
            size += found.size
            if len(taken) == limit or (taken and size > PAGE_BYTES):
                return taken, True
            taken.append(Row(key=key, document=document))
        ask = 2 * ask if len(taken) < limit else SLACK
    return taken, False


async def _read_on(
    client: MicroClient, table: Table, low: str, high: str, *, limit: int, newest_first: bool, deadline: float
) -> tuple[list[tuple[Key, RowState]], str, str]:
    """Some rows of a range, each whole, and the range that is left."""
    start, end = (high, low) if newest_first else (low, high)
    read = await client.query(
        table.database, start=start, end=end, limit=limit, reverse=newest_first, deadline=deadline
    )
    found = list(piles(read))
    if len(read) < limit:
        return found, high, high
    if not found:
        last = read[-1].key
        return ([], low, last) if newest_first else ([], last + "\0", high)
    # The last row is left to the next read, unless it alone fills one.
    if len(found) == 1:
        key = found[0][0]
        found = [(key, await read_row_state(client, Address.of(table, key), deadline=deadline))]
    else:
        found.pop()
    row = Address.of(table, found[-1][0])
    return (found, low, row.low) if newest_first else (found, row.high, high)
