"""Pages of lists, newest first: of one partition, filtered, or merged from several."""

import heapq
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from shared.core.ids import first_id
from shared.stores.port import Document, Page, Row, Store, Table

FILTERED_READ: Final = 500
"""Rows that a filtered page reads. A larger number makes pages fuller where few rows match, and each page slower."""


@dataclass(frozen=True, kw_only=True)
class Window:
    """A part of a list, newest first. `since` is inclusive, `until` exclusive; None: open. `after`: the last page's."""

    limit: int = 20
    after: str | None = None
    since: datetime | None = None
    until: datetime | None = None

    @property
    def between(self) -> tuple[str, str]:
        return first_id(self.since) if self.since else "0", first_id(self.until) if self.until else "g"


async def newest(
    store: Store,
    table: Table,
    partition: str,
    window: Window,
    *,
    keep: Callable[[Document], bool] | None = None,
) -> Page[Row]:
    """Return a page, newest first, in one read. With `keep` it may be short though more rows follow."""
    read = window.limit if keep is None else FILTERED_READ
    page = await store.page(table, partition, after=window.after, limit=read, newest_first=True, between=window.between)
    kept = [row for row in page.rows if keep is None or keep(row.document)]
    if len(kept) <= window.limit:
        return Page(rows=kept, after=page.after)
    return Page(rows=kept[: window.limit], after=kept[window.limit - 1].key.sort)


def merged(pages: Sequence[Page[Row]], limit: int) -> Page[Row]:
    """Merge pages of several partitions into one, newest first.

    It ends where the first of them ends: beyond that, rows of that partition would be missing.
    """
    known_to = max((page.after for page in pages if page.after is not None), default="")
    rows = [
        row
        for row in heapq.merge(*(page.rows for page in pages), key=lambda row: row.key.sort, reverse=True)
        if row.key.sort >= known_to
    ]
    more = known_to != "" or len(rows) > limit
    return Page(rows=rows[:limit], after=rows[:limit][-1].key.sort if more and rows else None)
