"""Read ranges of rows from HYPR Micro, a page at a time.

A row is several documents, and a read ends after a number of documents: the last row of a full read may be cut.
"""

from typing import Final

from shared.micro import MicroClient
from shared.stores.checked import PageRows
from shared.stores.micro.layout import Address, RowState, read_row_state, row_states
from shared.stores.port import Key, Row, Table

SLACK: Final = 8
"""Documents that a page asks for beyond 1.25 times its rows: extensions and old versions are in between. More makes
answers longer; less makes a second request likelier."""

BULK: Final = 1000
"""Rows: a larger page is read to count its rows. One answer is as good as a full page then, and to ask for more
documents than rows would read a fifth of them twice."""

MOST: Final = 10_000
"""Documents that the server returns at most."""


async def read_rows(
    client: MicroClient, table: Table, low: str, high: str, *, limit: int, newest_first: bool, deadline: float
) -> tuple[list[Row], bool]:
    """Return the rows between two documents' keys that fit a page, and whether there are more.

    A page of more than BULK rows ends with the first answer that has a row, and may be short.
    """
    page = PageRows[tuple[Row, int]](limit, lambda sized: sized[1], most_bytes=table.page_bytes)
    is_bulk, more = limit > BULK, False
    ask = limit if is_bulk else limit + limit // 4 + SLACK
    while low < high and not more:
        read, low, high = await _read_on(
            client, table, low, high, limit=min(ask, MOST), newest_first=newest_first, deadline=deadline
        )
        present = (
            (Row(key=key, document=document), state.size)
            for key, state in read
            if (document := state.row()) is not None
        )
        more = not all(page.take(sized) for sized in present) or (is_bulk and bool(page.rows) and low < high)
        ask = 2 * ask if len(page.rows) < limit else SLACK
    return [row for row, _ in page.rows], more


async def _read_on(
    client: MicroClient, table: Table, low: str, high: str, *, limit: int, newest_first: bool, deadline: float
) -> tuple[list[tuple[Key, RowState]], str, str]:
    """Return some rows of a range, each whole, and the range that is left."""
    start, end = (high, low) if newest_first else (low, high)
    read = await client.query(
        table.database, start=start, end=end, limit=limit, reverse=newest_first, deadline=deadline
    )
    rows = list(row_states(read))
    if len(read) < limit:
        return rows, high, high
    if not rows:
        last = read[-1].key
        return ([], low, last) if newest_first else ([], last + "\0", high)
    # The last row may be cut. It is left to the next read, unless it alone fills one.
    if len(rows) == 1:
        key = rows[0][0]
        rows = [(key, await read_row_state(client, Address.of(table, key), deadline=deadline))]
    else:
        rows.pop()
    row = Address.of(table, rows[-1][0])
    return (rows, low, row.low) if newest_first else (rows, row.high, high)
