"""Read ranges of rows from HYPR Micro, a page at a time.

A row is one or several documents, and a read ends after a number of documents: it may cut the last row.
"""

from typing import Final

from shared.micro import MicroClient, StoredDocument
from shared.stores.checked import PageRows
from shared.stores.micro.layout import Address, by_row, read_row, sized_row
from shared.stores.port import Key, Row, Table

SLACK: Final = 8
"""Documents that a page requests beyond 1.25 times its rows, for extensions and old versions. More of them make answers
longer; fewer make a second request likelier."""

BULK: Final = 1000
"""Rows above which a page serves counting, and may be short: it ends with the first answer that has a row. It requests
as many documents as rows: with more, a fifth of them would be read twice."""

MOST: Final = 10_000
"""Documents that the server returns at most in one answer."""


async def read_rows(
    client: MicroClient, table: Table, low: str, high: str, *, limit: int, newest_first: bool, deadline: float
) -> tuple[list[Row], bool]:
    """Return the rows between two documents' keys that fit a page, and whether more follow.

    A page of more than BULK rows ends with the first answer that has a row, and may be short.
    """
    page = PageRows[tuple[Row, int]](limit, lambda sized: sized[1], most_bytes=table.page_bytes)
    is_bulk, more = limit > BULK, False
    ask = limit if is_bulk else limit + limit // 4 + SLACK
    while low < high and not more:
        read, low, high = await _read_on(
            client, table, low, high, limit=min(ask, MOST), newest_first=newest_first, deadline=deadline
        )
        present = (sized for key, documents in read if (sized := sized_row(key, documents)) is not None)
        more = not all(page.take(sized) for sized in present) or (is_bulk and bool(page.rows) and low < high)
        ask = 2 * ask if len(page.rows) < limit else SLACK
    return [row for row, _ in page.rows], more


async def _read_on(
    client: MicroClient, table: Table, low: str, high: str, *, limit: int, newest_first: bool, deadline: float
) -> tuple[list[tuple[Key, list[StoredDocument]]], str, str]:
    """Return some rows of a range, each whole, and the range that is left."""
    start, end = (high, low) if newest_first else (low, high)
    read = await client.query(
        table.database, start=start, end=end, limit=limit, reverse=newest_first, deadline=deadline
    )
    rows = list(by_row(read, key=lambda document: document.key))
    if len(read) < limit:
        return rows, high, high
    if not rows:
        last = read[-1].key
        return ([], low, last) if newest_first else ([], last + "\0", high)
    # The last row may be cut. The next read returns it, unless it alone fills this one.
    if len(rows) == 1:
        key = rows[0][0]
        rows = [(key, await read_row(client, Address.of(table, key), deadline=deadline))]
    else:
        rows.pop()
    row = Address.of(table, rows[-1][0])
    return (rows, low, row.low) if newest_first else (rows, row.high, high)
